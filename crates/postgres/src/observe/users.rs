//! Who uses logins that are to be taken away.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use tenantdb_core::Failure;

use super::text::{bytes_of, text};
use crate::ESTATE;
use crate::connect::{Session, Statement};
use crate::sql::{Membership, names, texts};

/// A session of such a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// What it calls itself.
    pub(crate) application: String,
    /// Where it comes from, as far as the server tells.
    pub(crate) address: Option<String>,
    /// The database that it is in.
    pub(crate) database: String,
    /// Since when it is there.
    pub(crate) since: Option<Timestamp>,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { application, address, database, since } = self;
        let application = if application.is_empty() { "a session" } else { application };
        write!(f, "{application} in database {database}")?;
        address.iter().try_for_each(|address| write!(f, " from {address}"))?;
        since.iter().try_for_each(|since| write!(f, " since {since}"))
    }
}

/// The sessions of these logins, by login. Where they come from is shown to members of a role only: the estate is one
/// for the length of the look.
pub(crate) async fn read(
    session: &Session,
    logins: &[String],
    options: bool,
) -> Result<BTreeMap<String, Vec<User>>, Failure> {
    let member = format!("GRANT {} TO {ESTATE}{}", names(logins), Membership::Inherit.options(options));
    session.run(&[Statement::new("BEGIN"), Statement::new(member)]).await?;
    let [login, database, application] =
        ["usename::text", "coalesce(datname, '')::text", "application_name"].map(bytes_of);
    let users = session
        .query(
            format!(
                "SELECT {login}, {database}, {application}, pg_catalog.host(client_addr), \
                 floor(extract(epoch FROM backend_start))::bigint FROM pg_catalog.pg_stat_activity \
                 WHERE usename IN ({}) ORDER BY backend_start, pid",
                texts(logins)
            ),
            &[],
        )
        .await;
    session.run(&[Statement::new("ROLLBACK")]).await?;
    let mut found: BTreeMap<String, Vec<User>> = BTreeMap::new();
    for row in &users? {
        found.entry(text(row, 0)).or_default().push(User {
            database: text(row, 1),
            application: text(row, 2),
            address: row.get(3),
            since: row.get::<_, Option<i64>>(4).and_then(|seconds| Timestamp::from_second(seconds).ok()),
        });
    }
    Ok(found)
}
