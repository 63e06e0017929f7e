//! Where the server programs of each major version are.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::account::{Account, unprivileged_account};
use crate::files;

/// The directory with `initdb` and `postgres` of this major version.
///
/// Looks at `TENANTDB_TEST_POSTGRES_<major>`, then `target/postgresql/<major>/bin`, then, for 15 first of all,
/// `/usr/lib/postgresql/<major>/bin`.
fn try_bin_dir(major: u32) -> Result<PathBuf, String> {
    let variable = format!("TENANTDB_TEST_POSTGRES_{major}");
    if let Some(directory) = std::env::var_os(&variable) {
        let directory = PathBuf::from(directory);
        return if usable(&directory) {
            Ok(reachable(&directory, major))
        } else {
            Err(format!("{variable} is {}, and there is no initdb and postgres there", directory.display()))
        };
    }
    let ours = files::target_directory().join("postgresql").join(major.to_string()).join("bin");
    let system = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    let candidates = if major == 15 { [system, ours] } else { [ours, system] };
    match candidates.iter().find(|directory| usable(directory)) {
        Some(directory) => Ok(reachable(directory, major)),
        None => Err(format!(
            "PostgreSQL {major} is not installed for tests: run `scripts/setup {}` (or set {variable} to a directory \
             with initdb and postgres); looked in {} and {}",
            if matches!(major, 15 | 18) { "test" } else { "test-all" },
            candidates[0].display(),
            candidates[1].display(),
        )),
    }
}

/// The directory of a server's programs; a missing server fails the test, and says how to install it.
#[must_use]
pub fn bin_dir(major: u32) -> PathBuf {
    try_bin_dir(major).unwrap_or_else(|message| panic!("{message}"))
}

/// Whether tests on this major version can run. With `CI=true` a missing server is a panic; elsewhere it is a line on
/// stderr (written past the test harness's capture) and `false`, upon which the test returns.
#[must_use]
pub fn available(major: u32) -> bool {
    try_bin_dir(major).inspect_err(|message| skip(message)).is_ok()
}

/// Says why a test can't run here; on CI that is a failure.
pub fn skip(message: &str) {
    assert!(!on_ci(), "{message}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped {test}: {message}");
}

/// Whether this is CI, where nothing may be skipped.
fn on_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

fn usable(directory: &Path) -> bool {
    directory.join("postgres").is_file() && directory.join("initdb").is_file()
}

/// The same programs where the server's account can reach them.
///
/// As root, with the repository under a directory that only root may enter (such as one made by `mktemp -d`), the
/// account that the server runs as can't; the installation is then copied once to the shared base directory.
fn reachable(directory: &Path, major: u32) -> PathBuf {
    let Some(account) = unprivileged_account() else { return directory.to_owned() };
    let directory = directory.canonicalize().expect("a directory that was just looked at");
    if enterable(&directory, account) {
        return directory;
    }
    let metadata = directory.join("postgres").metadata().expect("a file that was just looked at");
    let key = format!("{major}-{}-{}", metadata.size(), metadata.mtime());
    let base = files::base_directory().join("postgresql");
    let copy = base.join(key);
    if !copy.is_dir() {
        std::fs::create_dir_all(&base).expect("the base directory is writable");
        let _lock = files::lock(&base.join("lock"));
        if !copy.is_dir() {
            let prefix = directory.parent().expect("a bin directory has a parent");
            let fresh = files::new_directory(&base, "new-", None);
            files::copy_as(prefix, &fresh.join("prefix"), None, true);
            std::fs::rename(fresh.join("prefix"), &copy).expect("rename within the base directory");
            let _ = std::fs::remove_dir_all(&fresh);
        }
    }
    copy.join("bin")
}

fn enterable(directory: &Path, account: Account) -> bool {
    directory.ancestors().all(|ancestor| {
        ancestor.metadata().is_ok_and(|metadata| {
            let bit = if metadata.uid() == account.uid {
                0o100
            } else if metadata.gid() == account.gid {
                0o010
            } else {
                0o001
            };
            metadata.mode() & bit != 0
        })
    })
}

/// The full version, such as `postgres (PostgreSQL) 15.18`, as the program itself says it.
pub(crate) fn version(bin: &Path) -> String {
    static KNOWN: OnceLock<std::sync::Mutex<std::collections::BTreeMap<PathBuf, String>>> = OnceLock::new();
    let mut known =
        KNOWN.get_or_init(std::sync::Mutex::default).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(version) = known.get(bin) {
        return version.clone();
    }
    let output = crate::account::command(&bin.join("postgres"), None)
        .arg("--version")
        .output()
        .unwrap_or_else(|error| panic!("can't run {}/postgres: {error}", bin.display()));
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(version.contains("PostgreSQL"), "{}/postgres --version said {version:?}", bin.display());
    known.insert(bin.to_owned(), version.clone());
    version
}
