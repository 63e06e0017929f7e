//! The places where a credential can live, one module each.

mod disk;
pub mod dotenv;
mod encoding;
pub mod file;
pub mod secret;
mod sidecar;

pub use encoding::Encoding;
