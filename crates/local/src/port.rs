//! A port for the server.

use std::net::{Ipv4Addr, TcpListener};

use rand::RngExt as _;

/// Below the range from which systems pick ports for outgoing connections, so that a stopped server seldom loses its
/// port to one.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Whether nothing listens there now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A port on which nothing listens now.
pub(crate) fn pick() -> Option<u16> {
    let mut random = rand::rng();
    std::iter::repeat_with(|| random.random_range(RANGE)).take(500).find(|port| is_free(*port))
}
