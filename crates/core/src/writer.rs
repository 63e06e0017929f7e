//! Who writes, as others are told.

/// This process and its host, as `4711@db-admin`.
#[must_use]
pub fn writer() -> String {
    format!("{}@{}", std::process::id(), host())
}

/// The name of this machine.
#[must_use]
pub fn host() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    host.unwrap_or_else(|| "localhost".to_owned())
}
