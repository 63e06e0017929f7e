//! Ports that no other test takes.

use std::fs::File;
use std::net::TcpListener;

use rand::RngExt as _;

use crate::files;

/// A port on 127.0.0.1 that belongs to this test until the lease is dropped, also while nothing listens on it.
///
/// It lies below the range from which the system picks ports for outgoing connections, so that a server can be
/// stopped and started again on the same port.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    _lock: File,
}

impl PortLease {
    /// Takes a free port.
    #[must_use]
    pub fn take() -> Self {
        let directory = files::base_directory().join("ports");
        std::fs::create_dir_all(&directory).expect("the base directory is writable");
        for _ in 0..1000 {
            let port = rand::rng().random_range(20_000..32_000);
            let Some(lock) = files::try_lock(&directory.join(port.to_string())) else { continue };
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Self { port, _lock: lock };
            }
        }
        panic!("no free port between 20000 and 32000")
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A port on 127.0.0.1 on which nothing listens at the moment; nothing keeps it free.
#[must_use]
pub fn free_port() -> u16 {
    PortLease::take().port
}
