//! The program as a user runs it, against real servers.

mod access;
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
mod ensure;
mod everyday;
mod input;
mod isolation;
mod logins;
mod managed;
mod members;
mod names;
mod oracles;
mod outputs;
mod projects;
mod terminal;
mod tls;
mod trouble;
mod world;
