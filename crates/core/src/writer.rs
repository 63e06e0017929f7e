//! Who writes, as others are told.

use crate::Tenure;

/// Who writes to a server, and how long.
#[derive(Clone, Debug)]
pub struct Writer {
    /// What others call this process.
    pub name: String,
    /// How long it may write.
    pub tenure: Tenure,
}

impl Default for Writer {
    /// This process, which may write as long as it likes.
    fn default() -> Self {
        Self { name: writer(), tenure: Tenure::default() }
    }
}

/// Who runs this process, and where, as `alice:4711@db-admin`.
#[must_use]
pub fn writer() -> String {
    format!("{}:{}@{}", user(), std::process::id(), host())
}

/// The name of the account, or its number if it has none.
fn user() -> String {
    let uid = nix::unistd::Uid::effective();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// The name of this machine.
#[must_use]
pub fn host() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    host.unwrap_or_else(|| "localhost".to_owned())
}
