//! What resources say of themselves, and what is told beside: pure but for the two that write.

pub(crate) mod events;
pub(crate) mod notes;
pub mod reason;
pub(crate) mod report;
pub(crate) mod status;
mod text;
pub(crate) mod writer;
