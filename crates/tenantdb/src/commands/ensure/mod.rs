//! `tenantdb ensure`: one service's database, for a build script.

mod cluster;
mod github;
mod server;
mod service;
mod variables;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantdb_api::{DatabaseServer, Declared};
use tenantdb_core::{
    Claim, CredentialStep, Depth, Engine, Failure, FailureKind, Note, Plan, Refusal, RefusalKind, Report, Risk, Step,
    Task, notes,
};
use tenantdb_credentials::environment;
use tenantdb_credentials::stores::Local;
use tenantdb_credentials::stores::dotenv::{self, DotenvPlace};

use self::github::GithubEnvironment;
use self::service::Service;
use self::variables::{Environment, Process};
use super::consent::Asking;
use super::{Context, apply, print};
use crate::arguments::{EnsureArguments, EnsureFormat, Output};
use crate::engines::{self, for_engine};
use crate::error::{Error, Exit};
use crate::input::{Input, ServerInput};
use crate::output::report::{self, Told, Totals};
use crate::output::style;
use crate::resolve::{self, Extent};
use crate::server::{self as servers, Connected};

/// What to do about a server that anybody could pretend to be.
const UNVERIFIED: &str =
    "set PGSSLMODE=verify-full and PGSSLROOTCERT, or PGSSLMODE=disable on a trusted way; or `tls` in TENANTDB_SERVER";

/// Makes or confirms a service's database, and writes its variables.
pub async fn run(context: &Context, arguments: &EnsureArguments) -> Result<Exit, Error> {
    let began = Instant::now();
    if !is_wanted(&Process)? {
        return Ok(Exit::Done);
    }
    let service = Service::of(&Process, arguments.prefix.as_deref())?;
    let github = match arguments.format {
        Some(EnsureFormat::GithubEnv) => Some(GithubEnvironment::of(&Process)?),
        Some(EnsureFormat::Env) | None => None,
    };
    let file = dotenv::resolved(&arguments.file).map_err(|error| {
        let Failure { message, hint, .. } = error.into();
        Error::input(message, hint.unwrap_or_default())
    })?;
    if arguments.context.is_some() {
        let server = server::name(context, &Process).await?;
        let declaration = service.declaration_for_cluster(arguments.adopt, server);
        let place = DotenvPlace::open(&file, service.prefix(arguments.prefix.as_deref())).map_err(Failure::from)?;
        let ensured = cluster::ensure(context, &service.authority, &declaration, &place, arguments.timeout).await?;
        return tell(context, ensured, &place, arguments, github.as_ref(), began);
    }
    let server = server::server(context, &Process).await?;
    let input = input(&service, server, arguments.adopt)?;
    let [server] = input.servers.as_slice() else { return Err(Error::failed("there is one server")) };
    wait(context, &input, server, Duration::from_secs(arguments.wait)).await?;

    let prefix = service.prefix(arguments.prefix.as_deref());
    let place = DotenvPlace::open(&file, prefix).map_err(Failure::from)?;
    servers::warn_of_unverified_with(&server.server.resource, UNVERIFIED);
    let reached = servers::reach(context, &server.server.resource).await?;
    let ensured = for_engine!(reached, connected => {
        let connected = connected.delivering_to(Arc::new(Local(place.clone())));
        let ensured = ensure(context, &input, server, &connected, arguments).await;
        connected.pass.engine.close().await;
        ensured
    });
    let mut report = ensured?;
    refuse_without(&place, &mut report)?;
    tell(context, report, &place, arguments, github.as_ref(), began)
}

/// Tells what was done, or hands the variables out.
fn tell(
    context: &Context,
    report: Report,
    place: &DotenvPlace,
    arguments: &EnsureArguments,
    github: Option<&GithubEnvironment>,
    began: Instant,
) -> Result<Exit, Error> {
    if arguments.format.is_none() {
        let mut told = Told::new(Output::Text);
        told.add(context, &report.server.clone(), 1, Ok(report));
        return told.finish(began.elapsed(), Totals::summary);
    }
    // Standard output is for the variables alone.
    let exit = Exit::from(report.outcome());
    if let (Exit::Done, Some(tenant)) = (exit, report.tenants.first()) {
        give(place, &tenant.claim, github)?;
    }
    report::tell_rest(&report);
    Ok(exit)
}

/// Whether the variables ask for what can be done; what they ask for beside it is told.
fn is_wanted(environment: &impl Environment) -> Result<bool, Error> {
    if let Some(other) = environment.get("SETUP_DATABASES")?.filter(|value| value != "true") {
        style::note(&format!("SETUP_DATABASES is `{other}`: nothing is done"));
        return Ok(false);
    }
    let types = environment.get("DB_TYPES")?.unwrap_or_else(|| "postgres".to_owned());
    let types: Vec<&str> = types.split(',').map(str::trim).filter(|kind| !kind.is_empty()).collect();
    let known = ["postgres", "postgresql", "redis", "rabbitmq"];
    if let Some(other) = types.iter().find(|kind| !known.contains(kind)) {
        return Err(Error::input(format!("DB_TYPES: `{other}` is no type"), "it takes postgres, redis and rabbitmq"));
    }
    let (postgres, others): (Vec<&str>, Vec<&str>) = types.into_iter().partition(|kind| kind.starts_with("postgres"));
    let others = others.join(" and ");
    match (postgres.is_empty(), others.is_empty()) {
        (_, true) if postgres.is_empty() => {
            Err(Error::input("DB_TYPES names no type", "leave it out, or set postgres"))
        }
        (_, true) => Ok(true),
        (true, false) => {
            Err(Error::input(format!("DB_TYPES: {others} is not supported yet"), "only postgres is, until then"))
        }
        (false, false) => {
            let hint = "its variables are not written; go on setting them as you did";
            style::warning(&format!("DB_TYPES: {others} is not supported yet"), hint);
            Ok(true)
        }
    }
}

/// The service as a declaration on its server, if it can be one.
fn input(service: &Service, server: Declared<DatabaseServer>, adopt: bool) -> Result<Input, Error> {
    let mut server = ServerInput::declared(server);
    server.tenants = vec![Declared::synthetic(service.declaration(adopt)).tenant()];
    if let Some(problem) = servers::problem(&server.server) {
        return Err(Error::input(problem.message, problem.hint.unwrap_or_default()));
    }
    if let Some(wrong) = engines::problems(&server, &service.authority).into_iter().next() {
        return Err(Error::input(wrong.message, "set SERVICE_DB_NAME or SERVICE_DB_USER to another name"));
    }
    Ok(Input { authority: service.authority.clone(), servers: vec![server], others: Vec::new() })
}

/// Waits until the server answers; says once for what.
async fn wait(context: &Context, input: &Input, server: &ServerInput, patience: Duration) -> Result<(), Error> {
    let began = Instant::now();
    let declared = &server.server.resource;
    let mut told = false;
    loop {
        context.interrupt.check()?;
        let Some(reached) = servers::ask(context, declared).await? else { return Ok(()) };
        let (address, answer) = for_engine!(reached, connected => {
            let nothing = connected.request(declared, &input.authority).into();
            let answer = connected.observe(&nothing, Depth::Shallow).await.map(drop);
            connected.pass.engine.close().await;
            (connected.address, answer)
        });
        let error = match answer {
            Err(Error::Failure(failure)) if failure.kind == FailureKind::Unreachable => failure,
            Err(Error::Failure(failure)) if failure.kind == FailureKind::LoginRefused => {
                let hint = "check POSTGRES_ADMIN_USER and POSTGRES_ADMIN_PASSWORD (or POSTGRES_PASSWORD); with \
                            TENANTDB_SERVER, what it declares";
                return Err(failure.hint(hint).into());
            }
            answer => return answer,
        };
        let seconds = patience.as_secs();
        let left = patience.saturating_sub(began.elapsed());
        if left.is_zero() {
            let waited = if seconds == 0 { String::new() } else { format!(", after {seconds} s of waiting") };
            let message = format!("PostgreSQL at {address} does not answer{waited}: {}", error.message);
            return Err(Failure { message, place: Vec::new(), ..error }.into());
        }
        if !told {
            told = true;
            style::note(&format!("waiting up to {seconds} s for PostgreSQL at {address}: {}", error.message));
        }
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
}

/// Looks, plans and carries out, as `apply` does. Each option consents to what it says and nothing else; what keeps a service from its credential is a refusal.
async fn ensure<E: Engine>(
    context: &Context,
    input: &Input,
    server: &ServerInput,
    connected: &Connected<E>,
    arguments: &EnsureArguments,
) -> Result<Report, Error> {
    let extent = Extent { depth: Depth::Deep, prune: false, reissue: arguments.reissue, enforce: false };
    let looked = resolve::look(context, input, server, connected, None, extent).await?;
    let lost = lost(&looked.plan);
    // Where nothing is asked for, what turns up meanwhile has nobody's consent.
    let consents = looked.plan.risk() > Risk::Safe
        && (lost.is_none() || arguments.reissue)
        && (!disrupts_others(&looked.plan) || arguments.adopt || arguments.yes);
    let asking = if consents { Asking::Consented } else { Asking::Nobody };
    let mut report = apply::work(context, server, connected, looked, asking).await?;
    for tenant in &mut report.tenants {
        let elsewhere = |kind: &Note| [&notes::CREDENTIAL_ELSEWHERE, &notes::LOGIN_LOST].contains(&kind);
        let found = tenant.conditions.iter().position(|condition| elsewhere(condition.kind));
        if let Some(condition) = found.map(|at| tenant.conditions.remove(at)) {
            let hint = "take the variables from there; --reissue makes a new password, and the earlier one ends";
            let refusal = Refusal::new(RefusalKind::Conflict, condition.message).hint(hint);
            tenant.refusal.get_or_insert(refusal);
        }
        if let (Some(lost), Some(refusal)) = (&lost, &mut tenant.refusal)
            && refusal.kind == RefusalKind::Consent
        {
            *refusal = lost.clone();
        }
        tenant.refusal.iter_mut().for_each(say_variables);
    }
    Ok(report)
}

/// Says which options and variables the fields are that a hint speaks of.
fn say_variables(refusal: &mut Refusal) {
    if let Some(hint) = refusal.hint.as_mut() {
        *hint = hint.replace("set `adopt: Existing`", "run it with --adopt");
    }
    let speaks = |hint: &&mut String| ["`database", "`owner", "`project: "].iter().any(|field| hint.contains(field));
    if let Some(hint) = refusal.hint.as_mut().filter(speaks) {
        *hint += " (here: SERVICE_DB_NAME is `database`, SERVICE_DB_USER `owner`, TENANTDB_PROJECT the project)";
    }
}

/// A service without its variables is not done, whatever else is: its login may have a password that only somebody else
/// knows, from before it was adopted.
fn refuse_without(place: &DotenvPlace, report: &mut Report) -> Result<(), Error> {
    for tenant in report.tenants.iter_mut().filter(|tenant| tenant.failure.is_none() && tenant.refusal.is_none()) {
        if place.variables(&tenant.claim).map_err(Failure::from)?.iter().next().is_none() {
            let message = "its login has a password that is not known here, and so is not in the file";
            let hint = "--reissue makes a new one, and the earlier one ends";
            tenant.refusal = Some(Refusal::new(RefusalKind::Conflict, message).hint(hint));
        }
    }
    Ok(())
}

/// Why the file does not hold the password that was delivered to it, if a new one would end it.
fn lost<S: Step>(plan: &Plan<S>) -> Option<Refusal> {
    let tenant = plan.tenants.first()?;
    let step = tenant.steps.iter().find(|step| step.risk > Risk::Safe && is_new_password(&step.task))?;
    let place = tenant.steps.iter().find_map(|step| match &step.task {
        Task::Credential(CredentialStep::Publish { location, .. }) => Some(location),
        _ => None,
    })?;
    let why = step.reason.strip_prefix("a new credential: ").unwrap_or(&step.reason);
    let message = format!("its credential is not in {place} as it was delivered: {why}");
    let hint = "put it back; or --reissue makes a new password, and the earlier one ends";
    Some(Refusal::new(RefusalKind::Consent, message).hint(hint))
}

/// Whether a step is a part of making a new password.
fn is_new_password<S: Step>(task: &Task<S>) -> bool {
    matches!(task, Task::Credential(_)) || task.kind() == "enable-login"
}

/// Whether somebody else loses something.
fn disrupts_others<S: Step>(plan: &Plan<S>) -> bool {
    let mut steps = plan.tenants.iter().flat_map(|tenant| &tenant.steps);
    steps.any(|step| step.risk > Risk::Safe && !is_new_password(&step.task))
}

/// Hands the variables out, beside the file.
fn give(place: &DotenvPlace, claim: &Claim, github: Option<&GithubEnvironment>) -> Result<(), Error> {
    let document = place.variables(claim).map_err(Failure::from)?;
    if let Some(github) = github {
        return github.give(&document);
    }
    let lines: String = document.iter().map(|(key, value)| environment::assignment(key, value) + "\n").collect();
    print(lines.as_bytes()).map(drop)
}
