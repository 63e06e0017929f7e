//! `tenantdb server accept-ledger`.

use tenantdb_core::Engine as _;

use super::Context;
use crate::arguments::{AcceptLedgerArguments, Output};
use crate::commands::consent::Asking;
use crate::engines::ask;
use crate::error::{Error, Exit};
use crate::output::{say, style};

/// Lets a ledger that was restored from a dump be trusted with what destroys.
pub async fn run(context: &Context, arguments: AcceptLedgerArguments) -> Result<Exit, Error> {
    let AcceptLedgerArguments { name, yes } = arguments;
    let server = context.home.server(&name)?;
    let asked = ask!(context, &server, seen => {
        if !seen.is_restored() {
            style::note(&format!("the ledger of {name} was not restored from a dump; there is nothing to accept"));
            return Ok(Exit::Done);
        }
        style::note("what was not applied since the restore is what the ledger says of it: orphaned, or unprotected");
        if !Asking::of(yes, Output::Text).ask("Is all that is declared on this server applied?")? {
            style::error("needs consent", Some("answer yes at the terminal, or run it with --yes"));
            return Ok(Exit::Refused);
        }
        seen.connected.pass.engine.accept_ledger().await?;
        say!("the ledger of {name} is accepted as it is");
        Ok(Exit::Done)
    });
    asked.map(|exit| exit.unwrap_or(Exit::Done))
}
