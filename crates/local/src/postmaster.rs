//! The server's process: finding it, telling it from others, signalling it.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, OnPath as _, Result};

/// What `postmaster.pid` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PidFile {
    /// The first line.
    pub(crate) pid: i32,
    /// The fourth line; 0 in the first moments of a start.
    pub(crate) port: u16,
    /// Whether the eighth line says that connections are accepted.
    pub(crate) ready: bool,
}

impl PidFile {
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let pid = lines.first()?.trim().parse().ok().filter(|pid| *pid > 1)?;
        let port = lines.get(3).and_then(|line| line.trim().parse().ok()).unwrap_or(0);
        let ready = lines.get(7).is_some_and(|line| line.trim() == "ready");
        Some(Self { pid, port, ready })
    }
}

/// The pid file of a data directory and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is no pid file: the server was stopped in order, or never started.
    Nothing,
    /// The server runs.
    Running(PidFile),
    /// There is a pid file, and no server to it: a crash, or a process id that went to another program.
    Stale,
}

/// Looks for the server of a data directory.
pub(crate) fn find(data: &Path) -> Result<Found> {
    let path = data.join("postmaster.pid");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error).on("read", &path),
    };
    let found = PidFile::parse(&String::from_utf8_lossy(&bytes)).filter(|file| serves(file.pid, data));
    Ok(found.map_or(Found::Stale, Found::Running))
}

/// Removes a stale pid file, if there is one: it would keep the server from starting if its number now is another
/// program's. Should a server of this data run after all, what it shares in memory still keeps a second one out.
pub(crate) fn remove_stale(data: &Path) -> Result<()> {
    let path = data.join("postmaster.pid");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).on("remove", &path),
        _ => Ok(()),
    }
}

/// Asks the server to stop, ending its sessions. It must have been found just now.
pub(crate) fn ask_to_stop(server: PidFile, data: &Path) -> Result<()> {
    match kill(Pid::from_raw(server.pid), Signal::SIGINT) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => {
            Err(Error::Io { action: "stop the server of", path: data.to_owned(), source: io::Error::from(error) })
        }
    }
}

/// Whether this process is the server of this data directory.
pub(crate) fn serves(pid: i32, data: &Path) -> bool {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let proc = Path::new("/proc").join(pid.to_string());
    if Path::new("/proc/self/stat").exists() {
        // A server works in its data directory. In a container even root may be kept from seeing that.
        return match fs::read_link(proc.join("cwd")) {
            Ok(directory) => directory == data && arguments(&proc).first().is_some_and(|program| is_postgres(program)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => names(&arguments(&proc), &data),
            Err(_) => false,
        };
    }
    let Ok(output) = crate::program::command(Path::new("/bin/ps"), None)
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
    else {
        return false;
    };
    let needle = [b" -D ", data.as_os_str().as_bytes()].concat();
    output.status.success() && output.stdout.windows(needle.len()).any(|part| part == needle)
}

fn arguments(proc: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(proc.join("cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// Whether these are the arguments of a postgres that was started for this data directory.
fn names(arguments: &[Vec<u8>], data: &Path) -> bool {
    arguments.first().is_some_and(|program| is_postgres(program))
        && arguments.windows(2).any(|pair| pair[0] == b"-D" && pair[1] == data.as_os_str().as_bytes())
}

fn is_postgres(program: &[u8]) -> bool {
    // A server's own children call themselves `postgres: checkpointer` and the like.
    program.rsplit(|byte| *byte == b'/').next() == Some(b"postgres")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_pid_file() {
        let whole = "4711\n/data\n1700000000\n21000\n\n127.0.0.1\n  123 456\nready   \n";
        assert_eq!(PidFile::parse(whole), Some(PidFile { pid: 4711, port: 21_000, ready: true }));
        let early = "4711\n/data\n1700000000\n21000\n\n";
        assert_eq!(PidFile::parse(early), Some(PidFile { pid: 4711, port: 21_000, ready: false }));
        for broken in ["", "\n", "x\n", "-1\n", "0\n", "1\n", "99999999999999\n"] {
            assert_eq!(PidFile::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn no_other_process_is_taken_for_the_server() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(find(directory.path()).unwrap(), Found::Nothing);
        let ours = std::process::id();
        fs::write(directory.path().join("postmaster.pid"), format!("{ours}\n{}\n", directory.path().display()))
            .unwrap();
        assert_eq!(find(directory.path()).unwrap(), Found::Stale);
        fs::write(directory.path().join("postmaster.pid"), "not a number\n").unwrap();
        assert_eq!(find(directory.path()).unwrap(), Found::Stale);
        remove_stale(directory.path()).unwrap();
        remove_stale(directory.path()).unwrap();
        assert_eq!(find(directory.path()).unwrap(), Found::Nothing);
    }

    #[test]
    fn a_server_is_known_by_its_arguments() {
        let arguments = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let data = Path::new("/srv/dev/data");
        assert!(names(&arguments("/usr/lib/postgresql/15/bin/postgres -D /srv/dev/data -p 21000"), data));
        assert!(!names(&arguments("/usr/lib/postgresql/15/bin/postgres -D /srv/dev2/data -p 21000"), data));
        assert!(!names(&arguments("/usr/bin/less -D /srv/dev/data"), data));
        assert!(!names(&arguments(""), data));
    }
}
