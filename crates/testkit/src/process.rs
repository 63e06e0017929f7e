//! The server's process.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::account::{Account, command};

/// How long a start or a stop may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(5);

/// A running postmaster, our child.
#[derive(Debug)]
pub(crate) struct Postmaster {
    child: Child,
}

/// What starting one needs.
pub(crate) struct Start<'a> {
    pub(crate) bin: &'a Path,
    pub(crate) data: &'a Path,
    pub(crate) log: &'a Path,
    pub(crate) port: u16,
    pub(crate) account: Option<Account>,
}

impl Postmaster {
    /// Starts the server and waits until it accepts connections. After a kill the old server's processes may still
    /// be on their way out; that is waited for.
    pub(crate) fn start(start: &Start<'_>) -> Result<Self, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = fs::metadata(start.log).map_or(0, |metadata| metadata.len());
            let mut postmaster = Self::spawn(start)?;
            loop {
                if postmaster.ready(start.data) {
                    return Ok(postmaster);
                }
                if let Ok(Some(status)) = postmaster.child.try_wait() {
                    let log = fs::read(start.log).unwrap_or_default();
                    let log = String::from_utf8_lossy(log.get(usize::try_from(said).unwrap_or(0)..).unwrap_or(&[]))
                        .into_owned();
                    let passing =
                        ["pre-existing shared memory block", "Address already in use", "lock file \"postmaster.pid\""];
                    if passing.iter().any(|text| log.contains(text)) && Instant::now() < deadline {
                        std::thread::sleep(Duration::from_millis(50));
                        break;
                    }
                    return Err(format!("the server ended with {status} while starting:\n{log}"));
                }
                if Instant::now() > deadline {
                    postmaster.signal(Signal::SIGKILL);
                    return Err(format!("the server did not start within {PATIENCE:?}"));
                }
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn spawn(start: &Start<'_>) -> Result<Self, String> {
        let log = || -> std::io::Result<File> { OpenOptions::new().create(true).append(true).open(start.log) };
        let describe = |error| format!("can't start the server: {error}");
        let child = command(&start.bin.join("postgres"), start.account)
            .arg("-D")
            .arg(start.data)
            .args(["-p", &start.port.to_string()])
            .stdout(Stdio::from(log().map_err(describe)?))
            .stderr(Stdio::from(log().map_err(describe)?))
            // Ctrl-C in the terminal is for the test, which then ends the server in its own way.
            .process_group(0)
            .spawn()
            .map_err(describe)?;
        Ok(Self { child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn ready(&self, data: &Path) -> bool {
        let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else { return false };
        let mut lines = text.lines();
        lines.next() == Some(&self.child.id().to_string())
            && lines.nth(6).is_some_and(|status| status.trim() == "ready")
    }

    /// Sends a signal, waits for the end, and kills what doesn't end in time.
    pub(crate) fn end(&mut self, with: Signal) {
        self.signal(with);
        let deadline = Instant::now() + PATIENCE;
        while self.runs() {
            if Instant::now() > deadline {
                self.signal(Signal::SIGKILL);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn signal(&mut self, signal: Signal) {
        // A child that was not waited for keeps its process id, so this can't hit another process.
        if self.runs()
            && let Ok(pid) = i32::try_from(self.child.id())
        {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// Ends the server that a dead test process left behind, if it still runs on this data directory.
pub(crate) fn end_leftover(data: &Path) {
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else { return };
    let Some(pid) = text.lines().next().and_then(|line| line.parse::<i32>().ok()) else { return };
    if works_in(pid, data) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
    }
}

fn works_in(pid: i32, data: &Path) -> bool {
    if Path::new("/proc/self").exists() {
        // In a container even root may be kept from seeing where another user's process works.
        return match fs::read_link(format!("/proc/{pid}/cwd")) {
            Ok(cwd) => cwd == resolved(data),
            Err(_) => fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&*data.to_string_lossy())),
        };
    }
    is_about(pid, data)
}

/// Ends a process that a dead test process left behind, if its command line speaks of this directory.
pub(crate) fn end_if_about(pid: i32, directory: &Path) {
    if is_about(pid, directory) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn is_about(pid: i32, directory: &Path) -> bool {
    let output = std::process::Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&*directory.to_string_lossy()))
}

fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
