//! Places at which a crash test can end the process, as `kill -9` would. Release builds have none.

/// Ends the process here when `TENANTDB_FAILPOINT` is `<name>` or, for its n-th passage, `<name>:<n>`. Each passage is
/// traced, so that a test can tell where it could end.
#[cfg(debug_assertions)]
pub fn hit(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static WANTED: OnceLock<Option<(String, usize)>> = OnceLock::new();
    static PASSED: AtomicUsize = AtomicUsize::new(0);

    tracing::trace!("{name}");
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("TENANTDB_FAILPOINT").ok()?;
        Some(match text.rsplit_once(':') {
            Some((name, count)) => (name.to_owned(), count.parse().unwrap_or(1)),
            None => (text, 1),
        })
    });
    if let Some((wanted, count)) = wanted
        && wanted == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        std::process::abort();
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub fn hit(_name: &str) {}
