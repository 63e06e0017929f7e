//! `tenantdb plan`.

use tenantdb_core::{Depth, Plan};
use tenantdb_postgres::{Observed, PostgresStep, script};

use super::Context;
use crate::arguments::{PlanArguments, PlanOutput};
use crate::error::{Error, Exit};
use crate::input::{Draft, Input, ServerInput};
use crate::output::json::{self, Plans, Problem, ServerPlan};
use crate::output::{markdown, plan as text, say, style};
use crate::resolve::{self, Looked, Request};
use crate::server;

/// Shows what would change and why.
pub async fn run(context: &Context, arguments: PlanArguments) -> Result<Exit, Error> {
    let input = resolve::check(context, Draft::read(&arguments.files.files, &context.home)?).await?;
    let depth = if arguments.refresh { Depth::Deep } else { Depth::Shallow };
    let request = Request { depth, prune: arguments.prune, enforce: arguments.enforce_policy, ..Request::PLAIN };
    let mut shown = Shown::new(arguments.output);
    let mut exit = Exit::Done;
    for server in input.targets(arguments.prune)? {
        context.interrupt.check()?;
        match look(context, &input, server, request).await {
            Ok(Looked { observed, plan, .. }) => {
                if !plan.is_empty() && arguments.exit_code {
                    exit = exit.worst(Exit::Pending);
                }
                shown.add(server, &observed, plan);
            }
            Err(error) => {
                shown.add_unknown(server, &error);
                exit = exit.worst(context.report(error));
            }
        }
    }
    if arguments.exit_code && shown.totals.refused() {
        exit = exit.worst(Exit::Refused);
    }
    shown.finish()?;
    Ok(exit)
}

async fn look(context: &Context, input: &Input, server: &ServerInput, request: Request) -> Result<Looked, Error> {
    let declared = &server.server.resource;
    let reached = server::look(context, declared).await?;
    let nothing = reached.is_none().then(Observed::nothing);
    let connected = if let Some(connected) = reached {
        connected
    } else {
        style::note(&format!("server {} was never started; it would be made", declared.metadata.name));
        server::unconnected(context, declared)?
    };
    let looked = resolve::look(context, input, server, &connected, nothing, request).await;
    connected.pass.engine.close().await;
    looked
}

/// What is shown: as text at once, otherwise when all is known.
struct Shown {
    output: PlanOutput,
    totals: text::Totals,
    json: Plans,
    plans: Vec<Plan<PostgresStep>>,
}

impl Shown {
    fn new(output: PlanOutput) -> Self {
        Self { output, totals: text::Totals::default(), json: Plans::default(), plans: Vec::new() }
    }

    fn add(&mut self, server: &ServerInput, observed: &Observed, plan: Plan<PostgresStep>) {
        self.totals.add(&plan);
        match self.output {
            PlanOutput::Text => text::print(&plan),
            PlanOutput::Json => self.json.servers.push(ServerPlan::of(&plan)),
            PlanOutput::Sql => {
                let admin = server.server.resource.spec.admin.as_ref();
                let maintenance = admin.map_or("postgres", |admin| admin.maintenance_database.as_str());
                say!("{}", script(&plan, observed, maintenance));
                text::notes(&plan);
            }
            PlanOutput::Markdown => self.plans.push(plan),
        }
    }

    fn add_unknown(&mut self, server: &ServerInput, error: &Error) {
        self.totals.add_unknown(server.tenants.len());
        let name = server.server.resource.metadata.name.as_str();
        self.json.servers.push(ServerPlan::failed(name, Problem::of_error(error)));
    }

    fn finish(self) -> Result<(), Error> {
        match self.output {
            PlanOutput::Text => say!("{}", self.totals.summary()),
            PlanOutput::Json => json::print(self.json)?,
            PlanOutput::Sql => say!("-- {}", self.totals.summary()),
            PlanOutput::Markdown => say!("{}", markdown::plans(&self.plans, &self.totals.summary())),
        }
        Ok(())
    }
}
