//! Starting PostgreSQL's programs: as the right account, without the caller's surroundings.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::account::Account;

/// Variables of the caller that PostgreSQL's programs would heed.
fn is_ours_to_remove(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"PG") || name.starts_with(b"LC_") || name == b"LANG" || name == b"LANGUAGE"
}

/// A command without the caller's `PG*` variables and language (we read what it says), in a directory that everybody
/// can enter, with nothing to read.
pub(crate) fn command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    if let Some(account) = account {
        // As root this also drops root's supplementary groups.
        command.uid(account.uid).gid(account.gid);
    }
    for (name, _) in std::env::vars_os() {
        if is_ours_to_remove(&name) {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    command
}

/// A command for a program that stays when we end: Ctrl-C in the terminal doesn't reach it, and it holds none of the
/// files that we may have been given open (the pipe of a `make`, say, whose reader would wait for the server's end).
pub(crate) fn daemon(program: &Path, account: Option<&Account>) -> Command {
    let mut command = command(Path::new("/bin/sh"), account);
    command.args(["-c", r#"exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec "$@""#, "sh"]).arg(program).process_group(0);
    command
}
