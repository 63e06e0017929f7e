//! Finding the server's programs on this machine.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::program;

/// The variable that names a bin directory, and so ends all searching.
pub const BIN_VARIABLE: &str = "TENANTDB_POSTGRES_BIN";
/// The oldest major version that tenantdb works with.
pub(crate) const OLDEST_MAJOR: u32 = 14;

const NEEDED: [&str; 2] = ["initdb", "postgres"];

/// PostgreSQL's programs: a directory with `initdb` and `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    bin: PathBuf,
    version: Version,
}

/// A server version, such as 15.18.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// 15.
    pub(crate) major: u32,
    /// `15.18`, or `19beta1`.
    pub(crate) text: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Version {
    /// Reads what `postgres --version` says: `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(said: &str) -> Option<Self> {
        let text = said.split("(PostgreSQL)").nth(1)?.split_whitespace().next()?;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        Some(Self { major: text[..digits].parse().ok()?, text: text.to_owned() })
    }
}

impl Installation {
    /// The first that is fit of: the directory in `TENANTDB_POSTGRES_BIN` (if set, nothing else will do), `PATH`,
    /// `/usr/lib/postgresql/*/bin`, Homebrew, Postgres.app; in a place with several, the newest.
    ///
    /// # Errors
    /// [`NotFound`] says where it looked, and how to install PostgreSQL.
    pub fn find() -> Result<Self, NotFound> {
        Search::of_this_machine().run(None)
    }

    /// The same for one major version: a server's data fits only that.
    ///
    /// # Errors
    /// [`NotFound`] says where it looked, and how to install PostgreSQL.
    pub(crate) fn find_major(major: u32) -> Result<Self, NotFound> {
        Search::of_this_machine().run(Some(major))
    }

    /// The programs in this directory.
    ///
    /// # Errors
    /// [`NotFound`] says what is wrong with it.
    pub fn at(bin: &Path) -> Result<Self, NotFound> {
        inspect(bin, None).map_err(|reason| NotFound {
            wanted: None,
            looked: vec![Looked { place: bin.display().to_string(), reason }],
            variable_is_set: false,
        })
    }

    /// Its directory.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Its version.
    #[must_use]
    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// There are no PostgreSQL programs that would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    wanted: Option<u32>,
    looked: Vec<Looked>,
    variable_is_set: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Looked {
    place: String,
    reason: String,
}

impl NotFound {
    /// How to get them.
    #[must_use]
    pub fn hint(&self) -> String {
        if self.variable_is_set {
            return format!(
                "set {BIN_VARIABLE} to a directory with initdb and postgres, or unset it to search for one"
            );
        }
        let (debian, fedora, brew) = match self.wanted {
            Some(major) => (format!("postgresql-{major}"), format!("postgresql{major}-server"), major),
            None => ("postgresql".to_owned(), "postgresql-server".to_owned(), 18),
        };
        format!(
            "install it (Debian, Ubuntu: apt-get install {debian}; Fedora: dnf install {fedora}; macOS: brew install \
             postgresql@{brew}), or set {BIN_VARIABLE} to the directory of its programs"
        )
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wanted {
            Some(major) => write!(f, "the server programs of PostgreSQL {major} were not found; looked in")?,
            None => write!(f, "no PostgreSQL server programs (version {OLDEST_MAJOR} or newer) were found; looked in")?,
        }
        for (index, Looked { place, reason }) in self.looked.iter().enumerate() {
            let separator = if index == 0 { " " } else { "; " };
            write!(f, "{separator}{place}: {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NotFound {}

/// Where to look.
#[derive(Debug, Default)]
pub(crate) struct Search {
    pub(crate) variable: Option<OsString>,
    pub(crate) path: Option<OsString>,
    /// Patterns with one `*` for the version.
    pub(crate) patterns: Vec<String>,
}

impl Search {
    fn of_this_machine() -> Self {
        let patterns = [
            "/usr/lib/postgresql/*/bin",
            // Fedora's and Red Hat's from postgresql.org.
            "/usr/pgsql-*/bin",
            "/opt/homebrew/opt/postgresql@*/bin",
            "/usr/local/opt/postgresql@*/bin",
            "/Applications/Postgres.app/Contents/Versions/*/bin",
        ];
        Self {
            variable: std::env::var_os(BIN_VARIABLE).filter(|value| !value.is_empty()),
            path: std::env::var_os("PATH"),
            patterns: patterns.map(str::to_owned).to_vec(),
        }
    }

    pub(crate) fn run(&self, wanted: Option<u32>) -> Result<Installation, NotFound> {
        if let Some(directory) = &self.variable {
            let directory = PathBuf::from(directory);
            let place = format!("{BIN_VARIABLE}={}", directory.display());
            let found = if directory.is_absolute() {
                inspect(&directory, wanted)
            } else {
                Err("is not an absolute path".to_owned())
            };
            return found.map_err(|reason| NotFound {
                wanted,
                looked: vec![Looked { place, reason }],
                variable_is_set: true,
            });
        }

        let mut looked = Vec::new();
        let mut note = |place: String, reason: String| looked.push(Looked { place, reason });
        let mut on_path = false;
        for directory in self.path.iter().flat_map(std::env::split_paths).filter(|path| path.is_absolute()) {
            let Ok(program) = directory.join("postgres").canonicalize() else { continue };
            on_path = true;
            // The link's goal first: what lies beside it belongs to it.
            let real = program.parent().unwrap_or(&directory);
            match inspect(real, wanted).or_else(|reason| inspect(&directory, wanted).map_err(|_| reason)) {
                Ok(found) => return Ok(found),
                Err(reason) => note(format!("PATH ({})", directory.display()), reason),
            }
        }
        if !on_path {
            note("PATH".to_owned(), "there is no postgres".to_owned());
        }

        for pattern in &self.patterns {
            let mut candidates = expand(pattern);
            if candidates.is_empty() {
                note(pattern.clone(), "nothing there".to_owned());
            }
            candidates.sort_by_key(|(version, _)| std::cmp::Reverse(version.clone()));
            for (_, directory) in candidates {
                match inspect(&directory, wanted) {
                    Ok(found) => return Ok(found),
                    Err(reason) => note(directory.display().to_string(), reason),
                }
            }
        }
        Err(NotFound { wanted, looked, variable_is_set: false })
    }
}

/// The directories that fit a pattern with one `*`, each with the numbers that stand in its place.
fn expand(pattern: &str) -> Vec<(Vec<u32>, PathBuf)> {
    let Some((before, after)) = pattern.split_once('*') else { return Vec::new() };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(if parent.is_empty() { "/" } else { parent }) else { return Vec::new() };
    let fits = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let version = name.to_str()?.strip_prefix(prefix)?;
        let numbers = version.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().ok()?;
        let directory = PathBuf::from(format!("{}{after}", entry.path().display()));
        directory.is_dir().then_some((numbers, directory))
    };
    entries.flatten().filter_map(fits).collect()
}

/// Whether the programs in a directory will do, else why not.
fn inspect(bin: &Path, wanted: Option<u32>) -> Result<Installation, String> {
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| !bin.join(name).is_file()).collect();
    if !missing.is_empty() {
        return Err(format!("there is no {}", missing.join(" and no ")));
    }
    let bin = bin.canonicalize().map_err(|error| error.to_string())?;
    let output = program::command(&bin.join("postgres"), None)
        .arg("--version")
        .output()
        .map_err(|error| format!("postgres can't be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let Some(version) = Version::parse(&said) else {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().chain(complaint.lines()).next().unwrap_or("nothing").to_owned();
        return Err(format!("postgres --version says {first:?}"));
    };
    match wanted {
        Some(major) if version.major != major => Err(format!("is version {version}")),
        None if version.major < OLDEST_MAJOR => Err(format!("is version {version}, older than {OLDEST_MAJOR}")),
        _ => Ok(Installation { bin, version }),
    }
}

#[cfg(test)]
#[path = "installation_tests.rs"]
mod tests;
