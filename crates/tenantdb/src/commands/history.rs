//! `tenantdb history`.

use tenantdb_api::DatabaseServer;
use tenantdb_core::Claim;

use super::{Context, take_in};
use crate::arguments::{HistoryArguments, Output, SubjectArguments};
use crate::engines::ask;
use crate::error::{Error, Exit};
use crate::output::json::{self, Entry, History};
use crate::output::table;

/// Shows what was done to a database, as the ledgers of the servers that were used from here have it.
pub async fn run(context: &Context, arguments: HistoryArguments) -> Result<Exit, Error> {
    let mut found = History::default();
    let mut exit = Exit::Done;
    for server in context.home.servers()? {
        let answer = of_server(context, &server, &arguments).await;
        exit = exit.worst(take_in(answer, &mut found.entries, &mut found.failures));
    }
    found.entries.sort_by_key(|entry| entry.at);
    if found.entries.is_empty() && exit == Exit::Done {
        let SubjectArguments { namespace, .. } = &arguments.subject;
        return Err(Error::input(
            format!(
                "nothing was ever done to {namespace}/{} on the servers that were used from here",
                arguments.subject.subject()
            ),
            "`tenantdb status` lists the databases; -n names another namespace",
        ));
    }
    if arguments.output == Output::Json {
        json::print(found)?;
        return Ok(exit);
    }
    if found.entries.is_empty() {
        return Ok(exit);
    }
    print(&found.entries);
    Ok(exit)
}

/// Whose it was is only told where it was not always the same.
fn print(entries: &[Entry]) {
    let same = entries.iter().all(|entry| entry.authority == entries[0].authority);
    let (header, rows): (&[&str], Vec<Vec<String>>) = if same {
        (&["WHEN", "SERVER", "BY", "WHAT"], entries.iter().map(|entry| cells(entry).into()).collect())
    } else {
        let with_authority = |entry: &Entry| {
            let [when, server, by, what] = cells(entry);
            vec![when, server, by, entry.authority.clone(), what]
        };
        (&["WHEN", "SERVER", "BY", "FOR", "WHAT"], entries.iter().map(with_authority).collect())
    };
    table::print(header, &rows);
}

fn cells(entry: &Entry) -> [String; 4] {
    let Entry { at, server, action, by, access, .. } = entry;
    let action = access.as_ref().map_or_else(|| action.clone(), |access| format!("{access}: {action}"));
    [at.to_string(), server.clone(), by.clone(), action]
}

async fn of_server(
    context: &Context,
    server: &DatabaseServer,
    arguments: &HistoryArguments,
) -> Result<Vec<Entry>, Error> {
    let asked = ask!(context, server, seen => {
        let SubjectArguments { namespace, name, access } = &arguments.subject;
        let history = seen.history(namespace, &name.name).await?;
        // A database's history is also that of its further logins.
        let is_meant = |claim: &Claim| {
            name.names(claim.kind, claim.name.as_str()) && (access.is_none() || claim.access == *access)
        };
        let history = history.into_iter().filter(|entry| is_meant(&entry.claim));
        let entries = history.map(|entry| Entry {
            at: entry.at,
            server: server.metadata.name.to_string(),
            authority: entry.claim.authority.to_string(),
            access: entry.claim.access.as_ref().map(ToString::to_string),
            action: entry.action,
            by: entry.by,
        });
        Ok(entries.collect())
    });
    asked.map(Option::unwrap_or_default)
}
