//! A port for the server.

use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt as _;

/// Below the range from which systems pick ports for outgoing connections, so that a stopped server seldom loses its
/// port to one.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Whether nothing listens there now.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Whether it is free, or is so in a moment: a server that was just killed lets go of its port a little later.
pub(crate) fn becomes_free(port: u16) -> bool {
    let deadline = Instant::now() + Duration::from_secs(1);
    while !is_free(port) {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// A port on which nothing listens now.
pub(crate) fn pick() -> Option<u16> {
    let mut random = rand::rng();
    std::iter::repeat_with(|| random.random_range(RANGE)).take(500).find(|port| is_free(*port))
}
