//! `tenantdb plan`.

use tenantdb_core::{Depth, Engine};

use super::Context;
use crate::arguments::{PlanArguments, PlanOutput};
use crate::engines::for_engine;
use crate::error::{Error, Exit};
use crate::input::{Draft, Input, ServerInput};
use crate::output::json::{self, Plans, Problem, ServerPlan};
use crate::output::{markdown, plan as text, say, style};
use crate::resolve::{self, Extent, Looked};
use crate::server;

/// Shows what would change and why.
pub async fn run(context: &Context, arguments: PlanArguments) -> Result<Exit, Error> {
    let input = resolve::check(context, Draft::read(&arguments.files.files, &context.home)?).await?;
    let depth = if arguments.refresh { Depth::Deep } else { Depth::Shallow };
    let extent = Extent { depth, prune: arguments.prune, enforce: arguments.enforce_policy, ..Extent::PLAIN };
    let mut shown = Shown::new(arguments.output);
    let mut exit = Exit::Done;
    for server in input.targets(arguments.prune)? {
        context.interrupt.check()?;
        match look(context, &input, server, extent, &mut shown).await {
            Ok(is_empty) if !is_empty && arguments.exit_code => exit = exit.worst(Exit::Pending),
            Ok(_) => {}
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

/// Plans for a server, and has that shown; whether there is nothing to do.
async fn look(
    context: &Context,
    input: &Input,
    server: &ServerInput,
    extent: Extent,
    shown: &mut Shown,
) -> Result<bool, Error> {
    let declared = &server.server.resource;
    let reached = server::look(context, declared).await?;
    let is_there = reached.is_some();
    let reached = if let Some(reached) = reached {
        reached
    } else {
        style::note(&format!("server {} was never started; it would be made", declared.metadata.name));
        server::unconnected(context, declared)?
    };
    for_engine!(reached, connected => {
        let nothing = (!is_there).then(Default::default);
        let looked = resolve::look(context, input, server, &connected, nothing, extent).await;
        connected.pass.engine.close().await;
        looked.map(|looked| shown.add(server, &looked))
    })
}

/// What is shown: as text at once, otherwise when all is known.
struct Shown {
    output: PlanOutput,
    totals: text::Totals,
    json: Plans,
    sections: Vec<String>,
}

impl Shown {
    fn new(output: PlanOutput) -> Self {
        Self { output, totals: text::Totals::default(), json: Plans::default(), sections: Vec::new() }
    }

    /// Adds what was planned for a server; whether that is nothing.
    fn add<E: Engine>(&mut self, server: &ServerInput, Looked { observed, plan, .. }: &Looked<E>) -> bool {
        self.totals.add(plan);
        match self.output {
            PlanOutput::Text => text::print(plan),
            PlanOutput::Json => self.json.servers.push(ServerPlan::of(plan)),
            PlanOutput::Sql => {
                say!("{}", E::script(plan, observed, &server.server.resource));
                text::notes(plan);
            }
            PlanOutput::Markdown => self.sections.push(markdown::plan(plan)),
        }
        plan.is_empty()
    }

    fn add_unknown(&mut self, server: &ServerInput, error: &Error) {
        self.totals.add_unknown(server.databases());
        let name = server.server.resource.metadata.name.as_str();
        self.json.servers.push(ServerPlan::failed(name, Problem::of_error(error)));
    }

    fn finish(self) -> Result<(), Error> {
        match self.output {
            PlanOutput::Text => say!("{}", self.totals.summary()),
            PlanOutput::Json => json::print(self.json)?,
            PlanOutput::Sql => say!("-- {}", self.totals.summary()),
            PlanOutput::Markdown => say!("{}", markdown::plans(&self.sections, &self.totals.summary())),
        }
        Ok(())
    }
}
