//! One local server.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use secrecy::SecretString;

use crate::account::Account;
use crate::error::{Error, OnPath as _, Result};
use crate::files;
use crate::initialise::Work;
use crate::installation::{Installation, NotFound};
use crate::layout::{Layout, servers};
use crate::lock::Lock;
use crate::postmaster::{self, Found, PidFile};
use crate::record::Record;
use crate::{log, port, program, settings};

/// How long a start may take; recovery after a crash is part of it.
const START_PATIENCE: Duration = Duration::from_mins(2);
const STOP_PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(10);
/// How often another port is tried, when the one that was free is taken in the moment before the server takes it.
const PORT_TRIES: usize = 10;
/// What a server says that is kept from starting by something that passes: the last children of one that was killed, or
/// one that another tenantdb started in its last moment.
const TRANSIENT: [&str; 2] = ["pre-existing shared memory block", "lock file \"postmaster.pid\""];
/// How much of the log an error quotes.
const QUOTED_LINES: usize = 12;

/// A server under `$TENANTDB_HOME/servers/<name>/`, whether it is there already or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalServer {
    name: String,
    home: PathBuf,
}

/// Where a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was never started.
    Uninitialised,
    /// It is there and doesn't run.
    Stopped,
    /// It runs.
    Running {
        /// The process.
        pid: i32,
        /// The port on 127.0.0.1.
        port: u16,
    },
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uninitialised => f.write_str("uninitialised"),
            Self::Stopped => f.write_str("stopped"),
            Self::Running { port, .. } => write!(f, "running on port {port}"),
        }
    }
}

/// A server that runs, and how to log in to it.
#[derive(Debug, Clone)]
pub struct Running {
    /// `127.0.0.1`.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The admin's name, [`ADMIN`](crate::ADMIN).
    pub username: String,
    /// The admin's password.
    pub password: SecretString,
    /// The process.
    pub pid: i32,
    /// The version of the programs that it was last started with, such as `15.18`.
    pub version: String,
    /// Whether this call made the cluster.
    pub initialised: bool,
    /// Whether this call started the server.
    pub started: bool,
}

impl LocalServer {
    /// The server of this name in this home. Touches nothing.
    ///
    /// # Errors
    /// [`Error::InvalidName`] for a name that isn't a Kubernetes name (it becomes a directory's).
    pub fn new(home: &Path, name: &str) -> Result<Self> {
        let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = name.as_bytes();
        let valid = bytes.iter().all(|byte| fine(*byte) || matches!(byte, b'-' | b'.'))
            && bytes.first().is_some_and(|byte| fine(*byte))
            && bytes.last().is_some_and(|byte| fine(*byte))
            && bytes.len() <= 200;
        if !valid {
            return Err(Error::InvalidName(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), home: home.to_owned() })
    }

    /// All servers of a home, by name.
    ///
    /// # Errors
    /// When the home can't be read. One that isn't there has no servers.
    pub fn list(home: &Path) -> Result<Vec<Self>> {
        let directory = servers(home);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).on("read", &directory),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.on("read", &directory)?;
            if entry.path().join("data").is_dir()
                && let Some(name) = entry.file_name().to_str()
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names.iter().filter_map(|name| Self::new(home, name).ok()).collect())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory with all that belongs to it.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        servers(&self.home).join(&self.name)
    }

    /// Where it stands. Starts and changes nothing.
    ///
    /// # Errors
    /// When its files can't be read.
    pub fn state(&self) -> Result<State> {
        let layout = self.layout()?;
        if !initialised(&layout)? {
            return Ok(State::Uninitialised);
        }
        Ok(match postmaster::find(&layout.data())? {
            Found::Running(PidFile { pid, port, .. }) => State::Running { pid, port },
            Found::Nothing | Found::Stale => State::Stopped,
        })
    }

    /// The programs for it: of its data's major version, any supported one when it is new.
    ///
    /// # Errors
    /// [`NotFound`] says where it looked, and how to install them.
    pub fn installation(&self) -> Result<Installation, NotFound> {
        let version = self.layout().and_then(|layout| data_version(&layout)).ok().flatten();
        match version {
            Some(major) => Installation::find_major(major),
            None => Installation::find(),
        }
    }

    /// Makes sure that it runs: initialises it if it is new, starts it if it is stopped, and waits until it accepts
    /// connections. Several at once are safe: one does the work, all get the same server.
    ///
    /// Repairs what a crash or a kill left, at whatever moment that was. The server stays when this process ends.
    ///
    /// # Errors
    /// Each says what happened and, by [`Error::hint`], what to do.
    pub fn start(&self, installation: &Installation) -> Result<Running> {
        self.start_with(|| Ok(installation.clone()))
    }

    /// The same, with programs that are only looked for when it doesn't run.
    ///
    /// # Errors
    /// The same, and those of looking for the programs.
    pub fn start_with<E: From<Error>>(&self, programs: impl FnOnce() -> Result<Installation, E>) -> Result<Running, E> {
        let account = Account::for_data(&self.layout()?.data())?;
        self.layout()?.prepare(&self.name, account.as_ref())?;
        // Again: only now that it is there, its real path is known.
        let layout = self.layout()?;
        let _lock = Lock::take(&layout, &self.name)?;
        // And again: while we waited, another start may have made it.
        let account = Account::for_data(&layout.data())?;
        layout.clean();
        match self.joined(&layout)? {
            Some(running) => Ok(running),
            None => Ok(self.start_stopped(&layout, &programs()?, account.as_ref())?),
        }
    }

    /// A server that runs already, and how to log in to it.
    fn joined(&self, layout: &Layout) -> Result<Option<Running>> {
        if !initialised(layout)? {
            return Ok(None);
        }
        let (Some(server), Some(record)) = (self.join(layout)?, Record::read(&layout.record())?) else {
            return Ok(None);
        };
        Ok(Some(running(note_port(layout, record, server.port)?, server, false, false)))
    }

    /// Starts one that doesn't run, and makes it first if it is new.
    fn start_stopped(&self, layout: &Layout, programs: &Installation, account: Option<&Account>) -> Result<Running> {
        let work = Work { server: &self.name, layout, installation: programs, account };
        let new = !initialised(layout)?;
        let record = if new {
            check_programs(programs, account)?;
            work.initialise()?
        } else if let Some(record) = Record::read(&layout.record())? {
            record
        } else {
            // Its admin's password is lost. Nobody else knows it either, so it gets a new one.
            self.check_version(layout, programs)?;
            if let Some(server) = self.join(layout)? {
                self.wait_for_stop(layout, server)?;
            }
            postmaster::remove_stale(&layout.data())?;
            work.new_password()?
        };
        self.check_version(layout, programs)?;
        check_programs(programs, account)?;
        settings::write(&layout.data(), account)?;
        let (record, server, started) = self.launch(layout, programs, account, record)?;
        Ok(running(record, server, new, started))
    }

    /// Stops it, ending its sessions in order, and waits for its end. Does nothing if it doesn't run.
    ///
    /// # Errors
    /// [`Error::StillStopping`] when it takes too long, and when it may not be signalled.
    pub fn stop(&self) -> Result<()> {
        let layout = self.layout()?;
        if !initialised(&layout)? {
            return Ok(());
        }
        let _lock = Lock::take(&layout, &self.name)?;
        match postmaster::find(&layout.data())? {
            Found::Running(server) => self.wait_for_stop(&layout, server),
            Found::Nothing | Found::Stale => Ok(()),
        }
    }

    fn layout(&self) -> Result<Layout> {
        Layout::new(&self.home, &self.name)
    }

    fn check_version(&self, layout: &Layout, installation: &Installation) -> Result<()> {
        let programs = installation.version().major;
        match data_version(layout)? {
            Some(data) if data != programs => Err(Error::OtherVersion { server: self.name.clone(), data, programs }),
            _ => Ok(()),
        }
    }

    /// Waits for a server that runs already; it may still be starting, for a tenantdb that did not live to see it
    /// ready. `None` if there is none (any more).
    fn join(&self, layout: &Layout) -> Result<Option<PidFile>> {
        let start = Instant::now();
        loop {
            match postmaster::find(&layout.data())? {
                Found::Running(server) if server.ready => return Ok(Some(server)),
                Found::Running(_) if start.elapsed() > START_PATIENCE => return Err(self.still_starting(layout, 0)),
                Found::Running(_) => thread::sleep(PAUSE),
                Found::Nothing | Found::Stale => return Ok(None),
            }
        }
    }

    /// Starts the stopped server. `false`: one was there after all.
    fn launch(
        &self,
        layout: &Layout,
        installation: &Installation,
        account: Option<&Account>,
        mut record: Record,
    ) -> Result<(Record, PidFile, bool)> {
        log::rotate(&layout.log())?;
        let start = Instant::now();
        let mut ports_tried = 0;
        loop {
            // A tenantdb that was killed may have started one in its last moment, which shows itself only now.
            if let Some(server) = self.join(layout)? {
                return Ok((note_port(layout, record, server.port)?, server, false));
            }
            postmaster::remove_stale(&layout.data())?;
            let port = match record.port.filter(|port| port::becomes_free(*port)) {
                Some(port) => port,
                None => port::pick().ok_or_else(|| Error::NoPort { server: self.name.clone() })?,
            };
            let version = installation.version().to_string();
            if record.port != Some(port) || record.version != version {
                record = Record { port: Some(port), version, ..record };
                record.write(&layout.record())?;
            }
            let logged = log::length(&layout.log());
            let mut child = spawn(layout, installation, account, port)?;
            if let Some(server) = self.await_ready(layout, &mut child, start, logged)? {
                reap(child);
                return Ok((record, server, true));
            }
            let said = log::tail(&layout.log(), logged, QUOTED_LINES)?.join("\n");
            if said.contains("could not create any TCP/IP sockets") && ports_tried < PORT_TRIES {
                ports_tried += 1;
                record.port = None;
            } else if TRANSIENT.iter().any(|text| said.contains(text)) && start.elapsed() < START_PATIENCE {
                thread::sleep(Duration::from_millis(100));
            } else {
                return Err(self.not_started(layout, logged));
            }
        }
    }

    /// Waits until a server that was just started accepts connections; `None` if it ended instead.
    fn await_ready(&self, layout: &Layout, child: &mut Child, start: Instant, logged: u64) -> Result<Option<PidFile>> {
        let pid = i32::try_from(child.id()).unwrap_or(0);
        loop {
            if child.try_wait().on("wait for", &layout.data())?.is_some() {
                return Ok(None);
            }
            if let Found::Running(server) = postmaster::find(&layout.data())?
                && server.ready
                && server.pid == pid
            {
                return Ok(Some(server));
            }
            if start.elapsed() > START_PATIENCE {
                return Err(self.still_starting(layout, logged));
            }
            thread::sleep(PAUSE);
        }
    }

    fn wait_for_stop(&self, layout: &Layout, server: PidFile) -> Result<()> {
        postmaster::ask_to_stop(server, &layout.data())?;
        let start = Instant::now();
        // Not by the pid file: that one goes a moment before the process.
        while postmaster::serves(server.pid, &layout.data()) {
            if start.elapsed() > STOP_PATIENCE {
                return Err(Error::StillStopping { server: self.name.clone(), pid: server.pid, waited: STOP_PATIENCE });
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn not_started(&self, layout: &Layout, logged: u64) -> Error {
        let last = log::tail(&layout.log(), logged, QUOTED_LINES).unwrap_or_default();
        Error::Start { server: self.name.clone(), last, log_path: layout.log() }
    }

    fn still_starting(&self, layout: &Layout, logged: u64) -> Error {
        let last = log::tail(&layout.log(), logged, QUOTED_LINES).unwrap_or_default();
        Error::StillStarting { server: self.name.clone(), waited: START_PATIENCE, last, log_path: layout.log() }
    }
}

fn check_programs(installation: &Installation, account: Option<&Account>) -> Result<()> {
    match account {
        Some(account) if account.blocked_at(installation.bin()).is_some() => {
            Err(Error::ProgramsUnreachable { bin: installation.bin().to_owned(), account: account.clone() })
        }
        _ => Ok(()),
    }
}

/// Notes the port that the server really runs on.
fn note_port(layout: &Layout, mut record: Record, port: u16) -> Result<Record> {
    if record.port != Some(port) {
        record.port = Some(port);
        record.write(&layout.record())?;
    }
    Ok(record)
}

fn running(record: Record, server: PidFile, initialised: bool, started: bool) -> Running {
    Running {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        username: record.username,
        password: record.password,
        pid: server.pid,
        version: record.version,
        initialised,
        started,
    }
}

/// Whether there is a cluster. It is moved into place whole, so its presence is enough.
fn initialised(layout: &Layout) -> Result<bool> {
    let data = layout.data();
    data.try_exists().on("read", &data)
}

/// The major version of the cluster, if there is one.
fn data_version(layout: &Layout) -> Result<Option<u32>> {
    let text = files::read_if_there(&layout.data().join("PG_VERSION"))?;
    Ok(text.and_then(|text| text.trim().parse().ok()))
}

fn spawn(layout: &Layout, installation: &Installation, account: Option<&Account>, port: u16) -> Result<Child> {
    let path = layout.log();
    let log = log::open(&path)?;
    let also = log.try_clone().on("open", &path)?;
    let program = installation.program("postgres");
    program::daemon(&program, account)
        .arg("-D")
        .arg(layout.data())
        .args(["-p", &port.to_string()])
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(also))
        .spawn()
        .on("run", &program)
}

/// Takes note of the server's end for as long as this process lives, so that it is not left as a zombie.
fn reap(mut child: Child) {
    let name = "local server".to_owned();
    // Without the thread there would be a zombie at worst, which `find` does not take for the server.
    let _ = thread::Builder::new().name(name).spawn(move || child.wait());
}
