//! The places where a credential can live, one module each.

mod encoding;
pub mod file;

pub use encoding::Encoding;
