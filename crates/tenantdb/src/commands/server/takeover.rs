//! `tenantdb server takeover`.

use std::collections::BTreeSet;

use tenantdb_api::did_you_mean;
use tenantdb_core::{Authority, Claim, Engine as _};
use tenantdb_postgres::Postgres;

use super::Context;
use crate::arguments::{Output, TakeoverArguments};
use crate::commands::consent::Asking;
use crate::error::{Error, Exit};
use crate::input;
use crate::output::{count, say, style};

/// Gives what another authority has on a server to ours.
pub async fn run(context: &Context, arguments: TakeoverArguments) -> Result<Exit, Error> {
    let TakeoverArguments { name, from, yes, place: _ } = arguments;
    let server = context.home.server(&name)?;
    let to = input::authority(&context.home)?;
    if from == to {
        return Err(Error::input(format!("{from} is already who you are here"), "name the one that had them before"));
    }
    let asked = context.ask(&server, async |connected, observed| {
        if Postgres::is_restored(&observed) {
            style::error(
                &format!("the ledger of {name} was restored from a dump, and may not know whose they are by now"),
                Some(&format!("apply what is declared first, then `tenantdb server accept-ledger {name}`")),
            );
            return Ok(Exit::Refused);
        }
        let claims: BTreeSet<Claim> = Postgres::tenants(&observed).into_iter().map(|tenant| tenant.claim).collect();
        let theirs = of(&claims, &from);
        if theirs.is_empty() {
            return Err(unknown(&claims, &from, &to, name.as_str()));
        }
        let both: Vec<String> =
            theirs.iter().filter(|claim| claims.contains(&claim.of(&to))).map(Claim::path).collect();
        if !both.is_empty() {
            style::error(
                &format!("{from} and {to} both have {}", both.join(", ")),
                Some("delete or rename one of the two in its declarations; nothing was taken over"),
            );
            return Ok(Exit::Refused);
        }
        let paths: Vec<String> = theirs.iter().map(Claim::path).collect();
        style::note(&format!("{from} has on {name}: {}", paths.join(", ")));
        if !Asking::of(yes, Output::Text).ask(&format!("Give them to {to}?"))? {
            style::error("needs consent", Some("answer yes at the terminal, or run it with --yes"));
            return Ok(Exit::Refused);
        }
        connected.pass.engine.take_over(&from, &to).await?;
        for place in context.home.places()? {
            place.take_over(&theirs, &to).map_err(tenantdb_core::Failure::from)?;
        }
        say!("{} on {name} taken over from {from}", count(theirs.len(), "database"));
        Ok(Exit::Done)
    });
    asked.await.map(|exit| exit.unwrap_or(Exit::Done))
}

fn of(claims: &BTreeSet<Claim>, authority: &Authority) -> BTreeSet<Claim> {
    claims.iter().filter(|claim| claim.authority == *authority).cloned().collect()
}

fn unknown(claims: &BTreeSet<Claim>, from: &Authority, to: &Authority, server: &str) -> Error {
    let others: BTreeSet<&str> = claims.iter().map(|claim| claim.authority.as_str()).collect();
    let others: Vec<&str> = others.into_iter().filter(|other| *other != to.as_str()).collect();
    let otherwise = match others.as_slice() {
        [] => "nobody but you has anything there".to_owned(),
        others => format!("there are {}", others.join(", ")),
    };
    let hint = did_you_mean(from.as_str(), others.iter().copied(), otherwise);
    Error::input(format!("{from} has nothing on {server}"), hint)
}
