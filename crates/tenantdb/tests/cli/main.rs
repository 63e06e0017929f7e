//! The program as a user runs it, against real servers.

mod apply;
mod isolation;
mod world;
