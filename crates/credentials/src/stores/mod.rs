//! The places where a credential can live, one module each.

mod disk;
pub mod dotenv;
mod encoding;
pub mod file;
mod local;
pub mod secret;
mod sidecar;

pub use encoding::Encoding;
pub use local::{Local, LocalPlace};
