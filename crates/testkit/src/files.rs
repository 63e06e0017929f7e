//! Directories, locks and copies.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use rand::RngExt as _;

use crate::account::{Account, give, unprivileged_account};

/// Cargo's target directory: the one that holds the running test binary, else the workspace's.
pub(crate) fn target_directory() -> PathBuf {
    let tagged = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.ancestors().find(|ancestor| ancestor.join("CACHEDIR.TAG").is_file()).map(Path::to_owned));
    tagged.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}

/// Free memory, in bytes, from which on scratch files are kept there: some hundred small clusters.
const PLENTY: u64 = 4 << 30;

/// Where to make what is gone after a test: in memory where there is plenty of it, else on disk. The account that
/// servers run as can get there.
#[must_use]
pub fn scratch_directory() -> PathBuf {
    in_memory().unwrap_or_else(on_disk)
}

#[allow(clippy::useless_conversion, reason = "the numbers are narrower on other systems")]
fn in_memory() -> Option<PathBuf> {
    let path = Path::new("/dev/shm");
    let found = statvfs(path).ok()?;
    let free = u64::from(found.blocks_available()) * u64::from(found.fragment_size());
    (free >= PLENTY && !found.flags().contains(FsFlags::ST_NOEXEC)).then(|| path.to_owned())
}

/// The system's temporary directory, or `/tmp` when the account that servers run as can't enter that one.
fn on_disk() -> PathBuf {
    unprivileged_account().map_or_else(std::env::temp_dir, |_| PathBuf::from("/tmp"))
}

/// The directory under which servers keep their data: on disk for those whose writes should reach one.
pub(crate) fn server_directory(fsync: bool) -> PathBuf {
    own_directory(&if fsync { on_disk() } else { scratch_directory() })
}

/// The directory for what test processes share.
pub(crate) fn base_directory() -> PathBuf {
    own_directory(&on_disk())
}

fn own_directory(parent: &Path) -> PathBuf {
    let uid = nix::unistd::Uid::effective().as_raw();
    let base = parent.join(format!("tenantdb-testkit-{uid}"));
    match DirBuilder::new().mode(0o755).create(&base) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => panic!("can't make {}: {error}", base.display()),
    }
    // Its name can be guessed, so make sure that nobody else made it.
    let metadata = fs::symlink_metadata(&base).unwrap_or_else(|error| panic!("{}: {error}", base.display()));
    assert!(
        metadata.is_dir() && metadata.uid() == uid && metadata.mode() & 0o022 == 0,
        "{} is not a directory that only this user can write; remove it",
        base.display()
    );
    base
}

/// An exclusive lock on a file, made if missing; held until the value is dropped.
pub(crate) fn lock(path: &Path) -> File {
    let file = open_lock(path).unwrap_or_else(|error| panic!("can't open {}: {error}", path.display()));
    file.lock().unwrap_or_else(|error| panic!("can't lock {}: {error}", path.display()));
    file
}

/// The same if nobody holds it; a directory that somebody removes meanwhile is theirs.
pub(crate) fn try_lock(path: &Path) -> Option<File> {
    let file = match open_lock(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        opened => opened.unwrap_or_else(|error| panic!("can't open {}: {error}", path.display())),
    };
    file.try_lock().is_ok().then_some(file)
}

fn open_lock(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// A new directory with a random name, private to the account.
pub(crate) fn new_directory(parent: &Path, prefix: &str, account: Option<Account>) -> PathBuf {
    let path = parent.join(format!("{prefix}{}", random_text(10)));
    DirBuilder::new()
        .mode(if account.is_some() { 0o700 } else { 0o755 })
        .create(&path)
        .unwrap_or_else(|error| panic!("can't make {}: {error}", path.display()));
    give(&path, account);
    path
}

/// Random letters and digits.
pub(crate) fn random_text(length: usize) -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(length).map(char::from).collect()
}

/// Writes a file that only its owner, the account, can read.
pub(crate) fn write_private(path: &Path, content: &[u8], account: Option<Account>) {
    let fail = |error: std::io::Error| -> ! { panic!("can't write {}: {error}", path.display()) };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap_or_else(|error| fail(error));
    std::io::Write::write_all(&mut file, content).unwrap_or_else(|error| fail(error));
    give(path, account);
}

/// Copies a directory tree that has no symbolic links.
pub fn copy_tree(from: &Path, to: &Path) {
    copy_as(from, to, None, false);
}

/// Copies a directory tree; every copy belongs to the account. `links` says whether symbolic links are copied as such
/// (there are none in a fresh cluster, so elsewhere one is a mistake).
pub(crate) fn copy_as(from: &Path, to: &Path, account: Option<Account>, links: bool) {
    let fail = |path: &Path, error: std::io::Error| -> ! { panic!("can't copy {}: {error}", path.display()) };
    let metadata = fs::metadata(from).unwrap_or_else(|error| fail(from, error));
    fs::create_dir(to).unwrap_or_else(|error| fail(to, error));
    fs::set_permissions(to, fs::Permissions::from_mode(metadata.mode() & 0o777))
        .unwrap_or_else(|error| fail(to, error));
    give(to, account);
    for entry in fs::read_dir(from).unwrap_or_else(|error| fail(from, error)) {
        let entry = entry.unwrap_or_else(|error| fail(from, error));
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap_or_else(|error| fail(&source, error));
        if kind.is_dir() {
            copy_as(&source, &copy, account, links);
        } else if kind.is_symlink() && links {
            let goal = fs::read_link(&source).unwrap_or_else(|error| fail(&source, error));
            std::os::unix::fs::symlink(goal, &copy).unwrap_or_else(|error| fail(&copy, error));
        } else {
            fs::copy(&source, &copy).unwrap_or_else(|error| fail(&source, error));
            give(&copy, account);
        }
    }
}
