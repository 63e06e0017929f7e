//! The program as a user runs it, against real servers.

mod adoption;
mod apply;
mod bootstrap;
mod canary;
mod crash;
mod custody;
mod declared;
mod deletion;
mod docs;
mod drift;
mod everyday;
mod extensions;
mod init;
mod input;
mod isolation;
mod logins;
mod members;
mod names;
mod outputs;
mod policy;
mod projects;
mod terminal;
mod tls;
mod trouble;
mod world;
