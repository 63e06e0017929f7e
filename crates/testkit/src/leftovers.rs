//! No server outlives its test, however the test ends.
//!
//! Each server's directory holds a lock file, locked by the test process for as long as it lives. A small shell
//! process waits for the end of the test process (it holds the reading end of a pipe whose writing end nobody else
//! has) and then removes the server; where that one was killed as well, the next test process finds a directory whose
//! lock is free, and removes it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use crate::{files, process};

/// A server's directory; removed when dropped, or when the test process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    lock: Option<File>,
    watch: Option<Child>,
}

impl Home {
    /// A new, empty one; on disk if writes should reach it.
    pub(crate) fn new(fsync: bool) -> Self {
        static SWEPT: Once = Once::new();
        let _sweeping = files::lock(&files::base_directory().join("sweep-lock"));
        SWEPT.call_once(|| [true, false].map(files::server_directory).iter().for_each(|base| sweep(base)));
        let base = files::server_directory(fsync);
        let path = files::new_directory(&base, "server-", None);
        let lock = files::lock(&path.join("lock"));
        let watch = watch(&path);
        Self { path, lock: Some(lock), watch: Some(watch) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends a process with this directory, which has to be in its command line.
    pub(crate) fn keep_process(&self, process: &Child) {
        let mut file = File::options().create(true).append(true).open(self.path.join(PROCESSES)).expect("a file");
        writeln!(file, "{}", process.id()).expect("a line can be written");
    }
}

/// The file with the numbers of further processes.
const PROCESSES: &str = "processes";

impl Drop for Home {
    fn drop(&mut self) {
        remove(&self.path);
        self.lock = None;
        if let Some(mut watch) = self.watch.take() {
            // It ends when its standard input does.
            drop(watch.stdin.take());
            let _ = watch.wait();
        }
    }
}

/// Starts the process that removes the server when this one is gone.
fn watch(home: &Path) -> Child {
    // The first line of postmaster.pid is the server's process, or once was: signal it only if it runs on this data.
    let script = r#"
        cat >/dev/null
        test -d "$1" || exit 0
        if pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null); then
            if test -d /proc/self; then
                it="$(readlink "/proc/$pid/cwd") $(tr '\0' ' ' <"/proc/$pid/cmdline")"
            else
                it=$(ps -ww -o command= -p "$pid")
            fi
            case "$it" in *"$1/data"*) kill -QUIT "$pid" ;; esac
        fi
        cat "$1/processes" 2>/dev/null | while read -r pid; do
            case "$(ps -ww -o command= -p "$pid")" in *"$1/"*) kill -KILL "$pid" ;; esac
        done
        for i in 1 2 3 4 5; do rm -rf "$1" && exit 0; sleep 1; done
    "#;
    Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .arg(home)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("/bin/sh can be started")
}

/// Removes the servers of dead test processes.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let path = entry.path();
        if name.as_encoded_bytes().starts_with(b"server-") && files::try_lock(&path.join("lock")).is_some() {
            process::end_leftover(&path.join("data"));
            let processes = fs::read_to_string(path.join(PROCESSES)).unwrap_or_default();
            processes.lines().filter_map(|pid| pid.parse().ok()).for_each(|pid| process::end_if_about(pid, &path));
            remove(&path);
        }
    }
}

/// Removes a directory in which dying processes may still write.
pub(crate) fn remove(path: &Path) {
    for _ in 0..50 {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::sleep(Duration::from_millis(20)),
            _ => return,
        }
    }
}
