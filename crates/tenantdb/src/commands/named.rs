//! Databases that are named on the command line, wherever they are.

use tenantdb_api::{DatabaseServer, Declared, Namespace, ObjectName, did_you_mean};
use tenantdb_core::{Authority, Claim, Engine as _, Failure, FailureKind};
use tenantdb_postgres::Postgres;

use super::Context;
use crate::error::{Error, Exit};
use crate::input;

/// What a command is about on one server.
pub struct Target {
    /// The server.
    pub server: Declared<DatabaseServer>,
    /// Who declared them.
    pub authority: Authority,
    /// The databases.
    pub claims: Vec<Claim>,
}

/// Finds each name in the ledgers of the servers that were used from here; `on_several` is what to do about one that is on
/// more than one of them.
pub async fn find(
    context: &Context,
    namespace: &Namespace,
    names: &[ObjectName],
    on_several: &str,
) -> Result<(Vec<Target>, Exit), Error> {
    let authority = input::authority(&context.home)?;
    let mut targets = Vec::new();
    let mut unfound: Vec<&ObjectName> = names.iter().collect();
    let (mut known, mut others) = (Vec::new(), Vec::new());
    let mut exit = Exit::Done;
    for server in context.home.servers()? {
        let all = match claims(context, &server).await {
            Ok(all) => all,
            Err(error) => {
                exit = exit.worst(error.report());
                continue;
            }
        };
        let (held, theirs): (Vec<Claim>, Vec<Claim>) = all.into_iter().partition(|claim| claim.authority == authority);
        known.extend(held.iter().map(|claim| claim.name.to_string()));
        let wanted = |claim: &Claim| claim.namespace == *namespace && names.contains(&claim.name);
        others.extend(theirs.into_iter().filter(wanted));
        let claims: Vec<Claim> = held.into_iter().filter(wanted).collect();
        if let Some(twice) = claims.iter().find(|claim| !unfound.contains(&&claim.name)) {
            return Err(Error::input(format!("{} is on several servers", twice.path()), on_several));
        }
        unfound.retain(|name| !claims.iter().any(|claim| claim.name == **name));
        if !claims.is_empty() {
            targets.push(Target { server: Declared::synthetic(server), authority: authority.clone(), claims });
        }
    }
    let Some(name) = unfound.first() else { return Ok((targets, exit)) };
    if exit != Exit::Done {
        // It may well be there: nothing similar is proposed.
        let message = format!("database {namespace}/{name} is on none of the servers that answered");
        return Err(Error::Failure(
            Failure::new(FailureKind::Unreachable, message).hint("see why the others don't, and run it again"),
        ));
    }
    if let Some(other) = others.iter().find(|claim| claim.name == **name) {
        return Err(Error::input(
            format!("{} is a database of {}, and not of {authority}", other.path(), other.authority),
            "run it in the folder of that project; `tenantdb server takeover` is for one that is lost",
        ));
    }
    let otherwise = "`tenantdb status` lists them all; -n names another namespace";
    let hint = did_you_mean(name.as_str(), known.iter().map(String::as_str), otherwise);
    Err(Error::input(format!("no database {namespace}/{name} of {authority}"), hint))
}

/// The claims that a server holds, whoever's they are.
async fn claims(context: &Context, server: &DatabaseServer) -> Result<Vec<Claim>, Error> {
    let asked = context.ask(server, async |_, observed| {
        Ok(Postgres::tenants(&observed).into_iter().map(|tenant| tenant.claim).collect())
    });
    asked.await.map(Option::unwrap_or_default)
}
