//! `tenantdb server takeover`.

mod transfer;

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::{Namespace, did_you_mean};
use tenantdb_core::{Authority, Claim, Engine, Failure, Inventory, Origin, TenantSummary};

use self::transfer::Transfer;
use super::Context;
use crate::arguments::{Output, TakeoverArguments};
use crate::commands::consent::Asking;
use crate::engines::ask;
use crate::error::{Error, Exit};
use crate::input;
use crate::output::{count, say, style};
use crate::server::Seen;

/// Gives what another authority has on a server to ours, or to a cluster's.
pub async fn run(context: &Context, arguments: TakeoverArguments) -> Result<Exit, Error> {
    let to = match &arguments.cluster_id {
        Some(id) => Authority::cluster(id)
            .map_err(|error| Error::input(error.to_string(), "give it what the operator has as --cluster-id"))?,
        None => input::authority(&context.home)?,
    };
    let from = &arguments.from;
    if *from == to && !context.in_cluster {
        let message = format!("{from} is already who you are here");
        return Err(Error::input(message, "name the one that had them before"));
    }
    let server = context.server(&arguments.name).await?;
    let taking = Taking { context, from, to: &to, arguments: &arguments };
    ask!(context, &server, seen => taking.run(&seen).await).map(|exit| exit.unwrap_or(Exit::Done))
}

/// What is given by whom to whom.
struct Taking<'a> {
    context: &'a Context,
    from: &'a Authority,
    to: &'a Authority,
    arguments: &'a TakeoverArguments,
}

impl Taking<'_> {
    async fn run<E: Engine>(&self, seen: &Seen<'_, E>) -> Result<Exit, Error> {
        let Self { context, from, to, arguments, .. } = self;
        let name = &arguments.name;
        if seen.is_restored() {
            style::error(
                &format!("the ledger of {name} was restored from a dump, and may not know whose they are by now"),
                Some(&format!("apply what is declared first, then `tenantdb server accept-ledger {name}`")),
            );
            return Ok(Exit::Refused);
        }
        let held = seen.inventory();
        let claims: BTreeSet<Claim> = held.iter().map(|tenant| tenant.claim.clone()).collect();
        let origins = self.origins().await?;
        let theirs: BTreeSet<Claim> = claims.iter().filter(|claim| claim.authority == **from).cloned().collect();
        let theirs = if from == to { standing_elsewhere(&held, from, &origins) } else { theirs };
        if theirs.is_empty() && from == to {
            let message = format!("what {from} has on {name} is declared where it was, or not at all");
            return Err(Error::input(message, "apply what is declared first; there is nothing to take over"));
        }
        if theirs.is_empty() {
            return Err(unknown(&claims, from, to, name.as_str()));
        }
        let is_anothers = |claim: &&Claim| from != to && claims.contains(&claim.of(to));
        let both: Vec<String> = theirs.iter().filter(is_anothers).map(Claim::path).collect();
        if !both.is_empty() {
            style::error(
                &format!("{from} and {to} both have {}", both.join(", ")),
                Some("delete or rename one of the two in its declarations; nothing was taken over"),
            );
            return Ok(Exit::Refused);
        }
        let Some(transfer) = self.transfer(seen, &theirs).await? else { return Ok(Exit::Refused) };
        let paths: Vec<String> = theirs.iter().map(Claim::path).collect();
        style::note(&format!("{from} has on {name}: {}", paths.join(", ")));
        if !Asking::of(arguments.yes, Output::Text).ask(&format!("Give them to {to}?"))? {
            style::error("needs consent", Some("answer yes at the terminal, or run it with --yes"));
            return Ok(Exit::Refused);
        }
        transfer.deliver(context).await?;
        let origin = |claim: &Claim| Some((claim.clone(), origins.get(&claim.namespace)?.clone()));
        let standing: BTreeMap<Claim, Origin> = theirs.iter().filter_map(origin).collect();
        let standing = context.in_cluster.then_some(&standing);
        seen.connected.pass.engine.take_over(from, to, transfer.forgotten(), standing).await?;
        for place in context.home.places()? {
            place.take_over(&theirs, to).map_err(Failure::from)?;
        }
        transfer.tell_operator(context, &theirs).await;
        say!("{} on {name} taken over from {from}", count(theirs.len(), "database"));
        Ok(Exit::Done)
    }

    /// Where what is declared in the cluster stands, if there is one.
    async fn origins(&self) -> Result<BTreeMap<Namespace, Origin>, Error> {
        if !self.context.in_cluster {
            return Ok(BTreeMap::new());
        }
        Ok(tenantdb_kubernetes::origins(self.context.cluster.client().await?).await?)
    }

    /// What becomes of the credentials; `None` when some are not here and nobody said what to do about that.
    async fn transfer<E: Engine>(
        &self,
        seen: &Seen<'_, E>,
        theirs: &BTreeSet<Claim>,
    ) -> Result<Option<Transfer>, Error> {
        let Self { context, from, to, arguments } = self;
        if !context.in_cluster {
            return Ok(Some(Transfer::default()));
        }
        let delivered =
            seen.delivered(from).into_iter().filter(|(delivery, _)| theirs.contains(&delivery.claim)).collect();
        let transfer = Transfer::of(context, delivered, from, to).await?;
        if let (Some(missing), false) = (transfer.missing(), arguments.reissue) {
            style::error(
                &format!("these credentials can't be read here, and nothing was taken over: {missing}"),
                Some(
                    "run it where they are, with --credentials if that is a folder of its own; or --reissue has new ones \
                     made, and the earlier ones go on logging in",
                ),
            );
            return Ok(None);
        }
        Ok(Some(transfer))
    }
}

/// What an authority has for declarations that stood elsewhere than those that stand in the cluster now.
fn standing_elsewhere(held: &Inventory, authority: &Authority, now: &BTreeMap<Namespace, Origin>) -> BTreeSet<Claim> {
    let stands_elsewhere = |tenant: &&TenantSummary| {
        let now = now.get(&tenant.claim.namespace);
        tenant.origin.as_ref().is_some_and(|origin| now.is_some_and(|found| found != origin))
    };
    held.of(authority).filter(stands_elsewhere).map(|tenant| tenant.claim.clone()).collect()
}

fn unknown(claims: &BTreeSet<Claim>, from: &Authority, to: &Authority, server: &str) -> Error {
    let others: BTreeSet<&str> = claims.iter().map(|claim| claim.authority.as_str()).collect();
    let others: Vec<&str> = others.into_iter().filter(|other| *other != to.as_str()).collect();
    let otherwise = match others.as_slice() {
        [] if to.cluster_id().is_some() => format!("nobody but {to} has anything there"),
        [] => "nobody but you has anything there".to_owned(),
        others => format!("there are {}", others.join(", ")),
    };
    let hint = did_you_mean(from.as_str(), others.iter().copied(), otherwise);
    Error::input(format!("{from} has nothing on {server}"), hint)
}
