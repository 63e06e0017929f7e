//! The server's log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::error::{OnPath as _, Result};

/// How much of the end is read for a few lines.
const TAIL: u64 = 256 * 1024;
/// Above this a start puts the log aside.
const LARGE: u64 = 16 * 1024 * 1024;

/// Opens the log for the server to write to. It stays ours: the server gets it open.
pub(crate) fn open(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).on("open", path)
}

/// How long the log is.
pub(crate) fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// Puts a large log aside as `server.log.1`, of which there is one. Only while the server is stopped.
pub(crate) fn rotate(path: &Path) -> Result<()> {
    if length(path) > LARGE {
        fs::rename(path, path.with_extension("log.1")).on("rename", path)?;
    }
    Ok(())
}

/// The last lines, of those that begin at `from` or later; none if there is no log.
pub(crate) fn tail(path: &Path, from: u64, lines: usize) -> Result<Vec<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).on("read", path),
    };
    let start = length(path).saturating_sub(TAIL).max(from);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start)).and_then(|_| file.take(TAIL).read_to_end(&mut bytes)).on("read", path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
    Ok(all.split_off(all.len().saturating_sub(lines)))
}
