//! A cluster made once by initdb, from which each test's is copied.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::account::{Account, command, unprivileged_account};
use crate::{binaries, files};

/// Part of the cache's key: raise it when what [`make`] does changes.
const FORMAT: u32 = 1;

/// A cluster that is only ever copied.
pub(crate) struct Template {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The password of `postgres`.
    pub(crate) superuser_password: String,
}

/// The template for these programs, made now if need be.
pub(crate) fn of(bin: &Path) -> Template {
    let version = binaries::version(bin);
    let built = bin.join("postgres").metadata().expect("the server program is there").mtime();
    let key: String = format!("{version}-{built}-{FORMAT}")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let cache = files::target_directory().join("testkit");
    let path = cache.join(key);
    if !path.is_dir() {
        fs::create_dir_all(&cache).unwrap_or_else(|error| panic!("can't make {}: {error}", cache.display()));
        let _lock = files::lock(&cache.join("lock"));
        if !path.is_dir() {
            make(bin, &cache, &path);
        }
    }
    let superuser_password = fs::read_to_string(path.join("superuser-password")).expect("the template is complete");
    Template { data: path.join("data"), superuser_password }
}

fn make(bin: &Path, cache: &Path, path: &Path) {
    let account = unprivileged_account();
    let base = files::base_directory();
    // initdb writes where its account can; what it made is then moved to the cache, which that account may not enter.
    let work = files::new_directory(&base, "initdb-", account);
    let data = work.join("data");
    let password = files::random_text(24);
    let password_file = work.join("password");
    files::write_private(&password_file, password.as_bytes(), account);
    if let Err(first) = initdb(bin, &data, &password_file, "C.UTF-8", account) {
        // Some systems have no C.UTF-8.
        let _ = fs::remove_dir_all(&data);
        if let Err(second) = initdb(bin, &data, &password_file, "C", account) {
            let _ = fs::remove_dir_all(&work);
            panic!("initdb failed: {first}\n{second}");
        }
    }
    let fresh = files::new_directory(cache, "new-", None);
    files::copy_as(&data, &fresh.join("data"), None, false);
    files::write_private(&fresh.join("superuser-password"), password.as_bytes(), None);
    fs::rename(&fresh, path).unwrap_or_else(|error| panic!("can't make {}: {error}", path.display()));
    let _ = fs::remove_dir_all(&work);
}

fn initdb(bin: &Path, data: &Path, password_file: &Path, locale: &str, account: Option<Account>) -> Result<(), String> {
    let output = command(&bin.join("initdb"), account)
        .arg("--pgdata")
        .arg(data)
        .arg("--pwfile")
        .arg(password_file)
        .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--lc-messages=C"])
        .arg(format!("--locale={locale}"))
        // Small WAL files make a copy cheap.
        .args(["--wal-segsize=1", "--no-sync", "--no-instructions"])
        .output()
        .map_err(|error| format!("can't run {}/initdb: {error}", bin.display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}
