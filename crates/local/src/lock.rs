//! One at a time: the lock that starting, stopping and repairing a server take.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, OnPath as _, Result};
use crate::layout::Layout;

/// Longer than any start takes.
const PATIENCE: Duration = Duration::from_mins(4);
const PAUSE: Duration = Duration::from_millis(20);

/// The lock of a server, held until dropped. The system frees it when its holder dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for it.
    pub(crate) fn take(layout: &Layout, server: &str) -> Result<Self> {
        let path = layout.lock();
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).on("open", &path)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(error)) => return Err(error).on("lock", &path),
                Err(TryLockError::WouldBlock) if start.elapsed() > PATIENCE => {
                    return Err(Error::Busy { server: server.to_owned(), waited: PATIENCE });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            }
        }
    }
}
