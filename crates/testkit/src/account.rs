//! The account that a server runs as: PostgreSQL refuses to run as root.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::{Gid, Uid, User};

/// An operating system account that a server process is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    /// The user id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
}

/// The account to start servers as when the tests run as root: `postgres`, else `nobody`; `None` when they don't.
#[must_use]
pub(crate) fn unprivileged_account() -> Option<Account> {
    if !Uid::effective().is_root() {
        return None;
    }
    let user = ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .expect("running as root, and this system has neither a user `postgres` nor a user `nobody`");
    Some(Account { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}

/// Gives a file or directory to the account; does nothing when the tests don't run as root.
pub(crate) fn give(path: &std::path::Path, account: Option<Account>) {
    if let Some(Account { uid, gid }) = account {
        nix::unistd::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .unwrap_or_else(|error| panic!("can't give {} to uid {uid}: {error}", path.display()));
    }
}

/// A command that runs as the account, with the C locale, outside of any directory that the account can't enter, and
/// without the caller's `PG*` variables.
pub(crate) fn command(program: &std::path::Path, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C").current_dir("/").stdin(std::process::Stdio::null());
    command
}
