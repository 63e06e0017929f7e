//! Files that are written whole or not at all, by one writer at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tenantdb_core::{PlaceError, Version};

/// Whoever has the lock writes one credential, which takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(1);

/// What a file holds, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, PlaceError> {
    let read = || {
        // A pipe that nobody writes into would be waited for forever.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        fs::read(path)
    };
    match read() {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, "read", &error)),
    }
}

/// Removes a file; none being there is success.
pub(super) fn remove(path: &Path) -> Result<(), PlaceError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, "remove", &error)),
        _ => Ok(()),
    }
}

/// Makes a folder that only its owner may look into, and those above it.
pub(super) fn make_folder(path: &Path) -> Result<(), PlaceError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| failed(path, "create", &error))
}

/// Writes a file of mode 0600, under a lock, so that a reader sees the old or the new one, and a crash leaves one of
/// them. It is made as `unfinished`, on the same disk.
pub(super) fn write(unfinished: &Path, path: &Path, text: &[u8]) -> Result<(), PlaceError> {
    let write = || {
        // One that a crash left may be readable for others: it is made anew.
        if let Err(error) = fs::remove_file(unfinished)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(unfinished)?;
        keep_owner(path, &file)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(unfinished, path)
    };
    write().map_err(|error| failed(path, "write", &error))
}

/// A file stays its owner's, whoever writes it: only they can read it.
fn keep_owner(path: &Path, file: &File) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(earlier) if earlier.uid() != file.metadata()?.uid() => {
            fchown(file, Some(earlier.uid()), Some(earlier.gid()))
        }
        _ => Ok(()),
    }
}

/// Sees that what was done in a folder reaches the disk.
pub(super) fn sync(folder: &Path) -> Result<(), PlaceError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed(folder, "write", &error))
}

/// Takes a lock; it is let go when the file is closed.
pub(super) fn lock(path: &Path) -> Result<File, PlaceError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed(path, "open", &error))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(failed(path, "lock", &error)),
            Err(TryLockError::WouldBlock) if began.elapsed() > PATIENCE => return Err(busy(path)),
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
        }
    }
}

/// Tells one state of several texts from every other.
pub(super) fn version<'a>(texts: impl IntoIterator<Item = Option<&'a [u8]>>) -> Version {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update(text.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
        hasher.update(text.unwrap_or_default());
    }
    let mut start = [0; 8];
    start.copy_from_slice(&hasher.finalize()[..8]);
    Version(u64::from_be_bytes(start))
}

fn busy(path: &Path) -> PlaceError {
    let message = format!("{} has been locked by another process for {} s", path.display(), PATIENCE.as_secs());
    let hint = "another tenantdb writes credentials there, or was stopped while it did; end it and run this again";
    PlaceError::Failed { message, hint: Some(hint.to_owned()) }
}

/// What could not be done with a file.
pub(super) fn failed(path: &Path, verb: &str, error: &io::Error) -> PlaceError {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Some("see who owns it, or name another (TENANTDB_HOME, --credentials, --file)")
        }
        io::ErrorKind::StorageFull => Some("make room on the disk and run it again"),
        _ => None,
    };
    PlaceError::Failed { message: format!("can't {verb} {}: {error}", path.display()), hint: hint.map(str::to_owned) }
}
