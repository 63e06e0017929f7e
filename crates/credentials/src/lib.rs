//! Credentials without an engine: how a password is made, what the server is shown of it, what an application reads,
//! which of two logins is next, and the places where a credential lives.

mod custody;
pub mod environment;
mod format;
mod keys;
mod password;
pub mod stores;
mod verifier;

pub use custody::{Decision, Facts, OnServer, SlotFacts, SlotState, decide};
pub use format::{Document, InvalidTemplate, render, secret_type, stage};
pub use password::generate;
pub use verifier::{InvalidVerifier, Verifier};
