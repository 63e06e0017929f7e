//! Databases that are named on the command line, wherever they are.

use tenantdb_api::{DatabaseServer, Declared, Namespace, ObjectName, did_you_mean};
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
    let mut search = Search {
        authority,
        namespace,
        names,
        targets: Vec::new(),
        known: Vec::new(),
        others: Vec::new(),
        silent: Vec::new(),
    };
    for server in context.home.servers()? {
        match claims(context, &server).await {
            Ok(all) => search.take_in(server, all, on_several)?,
            Err(error) => search.silent.push(error),
        }
    }
    if let Some(name) = search.unfound() {
        return Err(search.not_found(&name.name, of_another));
    }
    // Whoever has all that was named need not hear from the others.
    for error in search.silent {
        style::warning(&error.message(), "`tenantdb server forget` is for one that is gone for good");
    }
    Ok(search.targets)
}

/// What is looked for, and what the servers said of it.
struct Search<'a> {
    authority: Authority,
    namespace: &'a Namespace,
    names: &'a [DeclaredName],
    targets: Vec<Target>,
    /// All that the authority has.
    known: Vec<Claim>,
    /// What others have of these names.
    others: Vec<Claim>,
    /// Why servers did not answer.
    silent: Vec<Error>,
}

impl<'a> Search<'a> {
    /// Takes in what a server holds.
    fn take_in(&mut self, server: DatabaseServer, all: Vec<Claim>, on_several: &'static str) -> Result<(), Error> {
        let (held, theirs): (Vec<Claim>, Vec<Claim>) =
            all.into_iter().partition(|claim| claim.authority == self.authority);
        let is_wanted = |claim: &Claim| {
            let is_named = self.names.iter().any(|name| is_named(name, claim));
            claim.namespace == *self.namespace && claim.access.is_none() && is_named
        };
        let claims: Vec<Claim> = held.iter().filter(|claim| is_wanted(claim)).cloned().collect();
        let theirs: Vec<Claim> = theirs.into_iter().filter(is_wanted).collect();
        for name in self.names {
            let mut of_name = claims.iter().filter(|claim| is_named(name, claim));
            let Some(found) = of_name.next() else { continue };
            if of_name.next().is_some() {
                let message = format!("{}/{} is both a database and a role", self.namespace, name.name);
                return Err(Error::input(message, format!("say `tdb/{0}` or `role/{0}`", name.name)));
            }
            if self.has(name) {
                return Err(Error::input(format!("{} is on several servers", found.path()), on_several));
            }
        }
        self.known.extend(held);
        self.others.extend(theirs);
        if !claims.is_empty() {
            let (server, authority) = (Declared::synthetic(server), self.authority.clone());
            self.targets.push(Target { server, authority, claims });
        }
        Ok(())
    }

    /// Whether a server has what is meant by a name.
    fn has(&self, name: &DeclaredName) -> bool {
        self.targets.iter().flat_map(|target| &target.claims).any(|claim| is_named(name, claim))
    }

    /// The first name that no server has.
    fn unfound(&self) -> Option<&'a DeclaredName> {
        self.names.iter().find(|name| !self.has(name))
    }

    /// Why there is none of this name, as far as can be told.
    fn not_found(self, name: &ObjectName, of_another: &'static str) -> Error {
        let Self { authority, namespace, known, others, silent, .. } = self;
        if !silent.is_empty() {
            for error in silent {
                error.report();
            }
            // It may well be there: nothing similar is proposed.
            let message = format!("{namespace}/{name} is on none of the servers that answered");
            let failure = Failure::new(FailureKind::Unreachable, message);
            return Error::Failure(failure.hint("see why the others don't, and run it again"));
        }
        if let Some(other) = others.iter().find(|claim| claim.name == *name) {
            let message = format!("{} is a database of {}, and not of {authority}", other.path(), other.authority);
            return Error::input(message, of_another);
        }
        let hint = if let Some(Claim { namespace, .. }) = known.iter().find(|held| held.name == *name) {
            format!("there is one in the namespace {namespace}: -n {namespace}")
        } else {
            let names = known.iter().map(|held| held.name.as_str());
            did_you_mean(name.as_str(), names, "`tenantdb status` lists them all; -n names another namespace")
        };
        Error::input(format!("no database {namespace}/{name} of {authority}"), hint)
    }
}

fn is_named(name: &DeclaredName, claim: &Claim) -> bool {
    name.names(claim.kind, claim.name.as_str())
}

/// The claims that a server holds, whoever's they are.
async fn claims(context: &Context, server: &DatabaseServer) -> Result<Vec<Claim>, Error> {
    let asked = ask!(context, server, seen => {
        Ok(seen.inventory().iter().map(|tenant| tenant.claim.clone()).collect())
    });
    asked.map(Option::unwrap_or_default)
}
