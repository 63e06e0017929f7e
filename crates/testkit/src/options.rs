//! What a test wants its server to be.

/// Who tenantdb is on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Admin {
    /// The superuser `postgres`.
    Superuser,
    /// `admin_user`, a plain `LOGIN CREATEDB CREATEROLE` role.
    Plain,
}

/// How a [`TestServer`](crate::TestServer) is set up.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) major: u32,
    pub(crate) admin: Admin,
    pub(crate) fsync: bool,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) hba: Vec<String>,
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Options {
    /// The usual server of this major version.
    #[must_use]
    pub fn new(major: u32, admin: Admin) -> Self {
        Self { major, admin, fsync: false, settings: Vec::new(), hba: Vec::new(), files: Vec::new() }
    }

    /// The server's major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Whether writes reach the disk (default: no). Measurements turn it on.
    #[must_use]
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// A setting for `postgresql.conf`; the last one of a name wins.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line for `pg_hba.conf`, before the usual one.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// A file in the data directory, readable for the server alone (a certificate, its key).
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    /// Starts it.
    #[must_use]
    pub fn start(self) -> crate::TestServer {
        crate::TestServer::with(self)
    }
}
