//! Databases that are named on the command line, wherever they are.

use tenantdb_api::{DatabaseServer, Declared, Namespace, did_you_mean};
use tenantdb_core::{Authority, Claim, Failure, FailureKind};

use super::Context;
use crate::arguments::DeclaredName;
use crate::engines::ask;
use crate::error::Error;
use crate::input;
use crate::output::style;

/// What a command is about on one server.
pub struct Target {
    /// The server.
    pub server: Declared<DatabaseServer>,
    /// Who declared them.
    pub authority: Authority,
    /// The databases.
    pub claims: Vec<Claim>,
}

/// What to do about a name that can't be taken.
pub struct Hints {
    /// One that is on several servers.
    pub on_several: &'static str,
    /// One that is another project's.
    pub of_another: &'static str,
}

/// Finds each of our names in the ledgers of the servers that were used from here; `on_several` is what to do about one
/// that is on more than one of them.
pub async fn find(
    context: &Context,
    namespace: &Namespace,
    names: &[DeclaredName],
    on_several: &'static str,
) -> Result<Vec<Target>, Error> {
    let of_another = "run it in the folder of that project; `tenantdb server takeover` is for one that is lost";
    find_of(context, input::authority(&context.home)?, namespace, names, Hints { on_several, of_another }).await
}

/// The same for the names of an authority.
pub async fn find_of(
    context: &Context,
    authority: Authority,
    namespace: &Namespace,
    names: &[DeclaredName],
    Hints { on_several, of_another }: Hints,
) -> Result<Vec<Target>, Error> {
    let mut targets = Vec::new();
    let mut unfound: Vec<&DeclaredName> = names.iter().collect();
    let (mut known, mut others, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for server in context.home.servers()? {
        let all = match claims(context, &server).await {
            Ok(all) => all,
            Err(error) => {
                silent.push(error);
                continue;
            }
        };
        let (held, theirs): (Vec<Claim>, Vec<Claim>) = all.into_iter().partition(|claim| claim.authority == authority);
        known.extend(held.iter().map(|claim| (claim.namespace.clone(), claim.name.clone())));
        let is_named = |name: &DeclaredName, claim: &Claim| name.names(claim.kind, claim.name.as_str());
        let wanted = |claim: &Claim| {
            claim.namespace == *namespace && claim.access.is_none() && names.iter().any(|name| is_named(name, claim))
        };
        others.extend(theirs.into_iter().filter(wanted));
        let claims: Vec<Claim> = held.into_iter().filter(wanted).collect();
        for name in names {
            let of_name: Vec<&Claim> = claims.iter().filter(|claim| is_named(name, claim)).collect();
            if of_name.len() > 1 {
                let message = format!("{namespace}/{} is both a database and a role", name.name);
                return Err(Error::input(message, format!("say `tdb/{0}` or `role/{0}`", name.name)));
            }
            if let (Some(twice), false) = (of_name.first(), unfound.contains(&name)) {
                return Err(Error::input(format!("{} is on several servers", twice.path()), on_several));
            }
        }
        unfound.retain(|name| !claims.iter().any(|claim| is_named(name, claim)));
        if !claims.is_empty() {
            targets.push(Target { server: Declared::synthetic(server), authority: authority.clone(), claims });
        }
    }
    let Some(DeclaredName { name, .. }) = unfound.first() else {
        // Whoever has all that was named need not hear from the others.
        for error in silent {
            style::warning(&error.message(), "`tenantdb server forget` is for one that is gone for good");
        }
        return Ok(targets);
    };
    if !silent.is_empty() {
        for error in silent {
            error.report();
        }
        // It may well be there: nothing similar is proposed.
        let message = format!("{namespace}/{name} is on none of the servers that answered");
        return Err(Error::Failure(
            Failure::new(FailureKind::Unreachable, message).hint("see why the others don't, and run it again"),
        ));
    }
    if let Some(other) = others.iter().find(|claim| claim.name == *name) {
        return Err(Error::input(
            format!("{} is a database of {}, and not of {authority}", other.path(), other.authority),
            of_another,
        ));
    }
    let hint = if let Some((elsewhere, _)) = known.iter().find(|(_, held)| held == name) {
        format!("there is one in the namespace {elsewhere}: -n {elsewhere}")
    } else {
        let names = known.iter().map(|(_, name)| name.as_str());
        did_you_mean(name.as_str(), names, "`tenantdb status` lists them all; -n names another namespace")
    };
    Err(Error::input(format!("no database {namespace}/{name} of {authority}"), hint))
}

/// The claims that a server holds, whoever's they are.
async fn claims(context: &Context, server: &DatabaseServer) -> Result<Vec<Claim>, Error> {
    let asked = ask!(context, server, seen => {
        Ok(seen.inventory().iter().map(|tenant| tenant.claim.clone()).collect())
    });
    asked.map(Option::unwrap_or_default)
}
