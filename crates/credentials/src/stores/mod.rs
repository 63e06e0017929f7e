//! The places where a credential can live, one module each.

pub mod file;
