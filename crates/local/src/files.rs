//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::account::Account;
use crate::error::{OnPath as _, Result};

/// How the name of a file begins that is still being written.
pub(crate) const NEW_FILE: &str = ".new-";

/// Replaces a file by one with this content, mode 0600, in one step that survives a crash.
pub(crate) fn write_private(path: &Path, content: &[u8], owner: Option<&Account>) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(NEW_FILE).tempfile_in(directory).on("write in", directory)?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).on("write", path)?;
    if let Some(owner) = owner {
        owner.take(file.path())?;
    }
    file.persist(path).map_err(|error| error.error).on("write", path)?;
    sync_directory(directory)
}

/// Makes renames in a directory last.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory).and_then(|file| file.sync_all()).on("flush", directory)
}

/// The content of a file, `None` if it isn't there.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).on("read", path),
    }
}
