//! `tenantdb apply`.

use std::sync::Arc;
use std::time::Instant;

use tenantdb_core::{Claim, Consent, Depth, Engine, Plan, Report, Risk, Step};

use super::Context;
use super::consent::Asking;
use crate::arguments::ApplyArguments;
use crate::engines::for_engine;
use crate::error::{Error, Exit};
use crate::input::{Draft, Input, ServerInput};
use crate::output::progress::Progress;
use crate::output::report::{Told, Totals};
use crate::output::{plan as plan_output, style};
use crate::resolve::{self, Extent, Looked};
use crate::server::{self, Connected};

/// Makes it so.
pub async fn run(context: &Context, arguments: ApplyArguments) -> Result<Exit, Error> {
    let began = Instant::now();
    let input = resolve::check(context, Draft::read(&arguments.files.files, &context.home)?).await?;
    let depth = if arguments.refresh { Depth::Deep } else { Depth::Shallow };
    let extent =
        Extent { depth, prune: arguments.prune, reissue: arguments.reissue, enforce: arguments.enforce_policy };
    let asking = Asking::of(arguments.yes, arguments.output);
    let mut told = Told::new(arguments.output);
    for server in input.targets(arguments.prune)? {
        let applied = one_server(context, &input, server, extent, asking).await;
        told.add(context, &server.server.resource.metadata.name, server.databases(), applied);
    }
    told.finish(began.elapsed(), Totals::summary)
}

async fn one_server(
    context: &Context,
    input: &Input,
    server: &ServerInput,
    extent: Extent,
    asking: Asking,
) -> Result<Report, Error> {
    context.interrupt.check()?;
    let reached = server::connect(context, &server.server.resource).await?;
    for_engine!(reached, connected => {
        let looked = resolve::look(context, input, server, &connected, None, extent).await;
        let report = match looked {
            Ok(looked) => work(context, server, &connected, looked, asking).await,
            Err(error) => Err(error),
        };
        connected.pass.engine.close().await;
        report
    })
}

/// Remembers a server that was reached, carries out, and remembers the ledger that was made for it.
pub async fn work<E: Engine>(
    context: &Context,
    server: &ServerInput,
    connected: &Connected<E>,
    looked: Looked<E>,
    asking: Asking,
) -> Result<Report, Error> {
    let is_declared = server.is_declared;
    let server = &server.server.resource;
    let ledger = E::ledger(&looked.observed).map(str::to_owned);
    context.home.remember(server, ledger.as_deref())?;
    if looked.plan.tenants.is_empty() && is_declared {
        let (name, version) = (&server.metadata.name, E::version(&looked.observed));
        style::note(&format!(
            "server {name}: {} {version} answers and is remembered; no database is declared for it",
            E::NAME
        ));
    }
    let Looked { desired, observed, plan } = looked;
    let observed = Arc::new(observed);
    let report = carry_out(connected, &desired, observed.clone(), plan, asking).await?;
    let has_ledger = ledger.is_some() || report.prepared;
    if has_ledger && let Err(failure) = connected.pass.engine.remember(&desired, &observed).await {
        style::warning(&failure.to_string(), "the next run notes who uses these databases");
    }
    if report.prepared {
        let remembered = match connected.pass.engine.ledger_id().await {
            Ok(ledger) => context.home.remember(server, ledger.as_deref()),
            Err(failure) => Err(failure.into()),
        };
        // The work is done, and is told; the next run remembers the ledger.
        if let Err(error) = remembered {
            style::warning(&error.message(), "run it again, so that the server is known by its ledger");
        }
    }
    Ok(report)
}

/// Asks for consent where it is needed, and carries out.
pub async fn carry_out<E: Engine>(
    connected: &Connected<E>,
    desired: &E::Desired,
    observed: Arc<E::Observed>,
    plan: Plan<E::Step>,
    asking: Asking,
) -> Result<Report, Error> {
    tell_pruned::<E>(desired, &observed);
    let consent = consent(&plan, asking)?;
    let work = plan.tenants.iter().filter(|tenant| !tenant.steps.is_empty()).count();
    let progress = Progress::new(work);
    let report = connected.pass.apply(desired, observed, plan, consent, progress.listener()).await;
    progress.finish();
    Ok(report)
}

/// Tells what is about to go because nothing declares it any more, before anything is done.
fn tell_pruned<E: Engine>(desired: &E::Desired, observed: &E::Observed) {
    let request = desired.as_ref();
    if request.declared.is_none() {
        return;
    }
    let pruned: Vec<String> = request.undeclared(&E::inventory(observed)).map(Claim::path).collect();
    if !pruned.is_empty() {
        style::note(&format!("no longer declared: {}", pruned.join(", ")));
    }
}

/// Asks for consent to what can hurt.
fn consent<S: Step>(plan: &Plan<S>, asking: Asking) -> Result<Consent, Error> {
    let risk = plan.risk();
    match asking {
        Asking::Consented => return Ok(Consent::to(Risk::Destructive)),
        Asking::Nobody => return Ok(Consent::to(Risk::Safe)),
        Asking::User if risk == Risk::Safe => return Ok(Consent::to(Risk::Safe)),
        Asking::User => plan_output::print(plan),
    }
    let question = match risk {
        Risk::Destructive => "This destroys data. Go on?",
        _ => "This takes access away or ends sessions. Go on?",
    };
    Ok(Consent::to(if asking.ask(question)? { risk } else { Risk::Safe }))
}
