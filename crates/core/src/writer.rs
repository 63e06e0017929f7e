//! Who writes, as others are told.

/// This process and its host, as `4711@db-admin`.
#[must_use]
pub fn writer() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{}@{}", std::process::id(), host.as_deref().unwrap_or("localhost"))
}
