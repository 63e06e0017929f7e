//! How a server is configured. Both files are written anew at each start, so that a newer tenantdb mends them.

use std::path::Path;

use crate::account::Account;
use crate::error::{OnPath as _, Result};
use crate::files;

const FILE: &str = "tenantdb.conf";

const SETTINGS: &str = "\
# Written by tenantdb at each start; change nothing here.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 200

# To stderr, which is server.log. Statements never, also not those that fail: they could hold secrets.
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] %q%u@%d '
log_timezone = 'UTC'
log_statement = 'none'
log_min_duration_statement = -1
log_min_error_statement = panic
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
lc_messages = 'C'
";

/// Every login needs a password. `postgres` has none, so it can't log in.
const HBA: &str = "\
# Written by tenantdb at each start; change nothing here.
host all all 127.0.0.1/32 scram-sha-256
";

/// Writes the settings into a data directory.
pub(crate) fn write(data: &Path, account: Option<&Account>) -> Result<()> {
    let main = data.join("postgresql.conf");
    let include = format!("include = '{FILE}'");
    let text = std::fs::read_to_string(&main).on("read", &main)?;
    if !text.lines().any(|line| line == include) {
        files::write_private(&main, format!("{text}\n{include}\n").as_bytes(), account)?;
    }
    write_if_changed(&data.join(FILE), SETTINGS, account)?;
    write_if_changed(&data.join("pg_hba.conf"), HBA, account)
}

fn write_if_changed(path: &Path, content: &str, account: Option<&Account>) -> Result<()> {
    if files::read_if_there(path)?.as_deref() == Some(content) {
        return Ok(());
    }
    files::write_private(path, content.as_bytes(), account)
}
