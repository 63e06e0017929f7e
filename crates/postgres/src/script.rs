//! A plan as a script for psql: what `apply` would send, but for passwords and the ledger.

use tenantdb_core::{Plan, Planned, Step as _, Task, TenantPlan};

use crate::ESTATE;
use crate::apply;
use crate::observe::Observed;
use crate::sql;
use crate::step::{LoginStep, PostgresStep, Proof, ServerStep, Venue};

/// The script of a plan. It is for psql, logged in as the administrator to the database `maintenance`, and stops at the
/// first error. Nobody can log in with what it makes before `apply` has given out a credential.
#[must_use]
pub fn script(plan: &Plan<PostgresStep>, observed: &Observed, maintenance: &str) -> String {
    let mut script = Script { text: String::new(), maintenance, at: Session::Login };
    script.line(&format!(
        "-- server {}: to be run by psql, as the administrator, in database {maintenance}",
        plan.server
    ));
    script.line("\\set ON_ERROR_STOP on");
    script.line("SET search_path = pg_catalog, pg_temp;");
    script.steps(&plan.preparation, None, false);
    let options = observed.shared.has_membership_options();
    for tenant in &plan.tenants {
        if tenant.shown().next().is_some() {
            let title = format!("\n-- {}", tenant.claim.path());
            script.line(&title);
            let owner = apply::owner(tenant, observed);
            script.steps(&tenant.steps, Some((tenant, &owner)), options);
        }
    }
    script.text
}

/// As whom and where psql is at a moment.
#[derive(PartialEq)]
enum Session {
    /// The administrator's own login, in the maintenance database.
    Login,
    /// The estate, in a database.
    Estate(String),
}

struct Script<'a> {
    text: String,
    maintenance: &'a str,
    at: Session,
}

impl Script<'_> {
    fn steps(
        &mut self,
        steps: &[Planned<PostgresStep>],
        tenant: Option<(&TenantPlan<PostgresStep>, &str)>,
        options: bool,
    ) {
        let engine = |step: &Planned<PostgresStep>| match &step.task {
            Task::Engine(step) => Some(step.clone()),
            Task::Credential(_) => None,
        };
        let steps: Vec<PostgresStep> = steps.iter().filter_map(engine).collect();
        let references: Vec<&PostgresStep> = steps.iter().collect();
        let mut rest = references.as_slice();
        while let Some(first) = rest.first() {
            let batch;
            (batch, rest) = rest.split_at(apply::batch(rest));
            let statements: Vec<String> = batch.iter().flat_map(|step| statements(step)).collect();
            if !statements.is_empty() {
                self.batch(first, statements, tenant, options);
            }
        }
    }

    fn batch(
        &mut self,
        first: &PostgresStep,
        mut statements: Vec<String>,
        tenant: Option<(&TenantPlan<PostgresStep>, &str)>,
        options: bool,
    ) {
        let maintenance = self.maintenance.to_owned();
        let inside = tenant.map_or_else(|| maintenance.clone(), |(tenant, _)| tenant.database.clone());
        let (session, transaction) = match first.venue() {
            // The ledger's database may not be there yet, and is apply's own.
            Venue::Maintenance if matches!(first, PostgresStep::Server(ServerStep::CreateEstate { .. })) => {
                (Session::Login, false)
            }
            Venue::Maintenance | Venue::Claim | Venue::Alone => (Session::Estate(maintenance), false),
            Venue::Ledger => (Session::Estate(maintenance), true),
            Venue::Tenant => {
                let (joining, leaving) = apply::membership(tenant.map_or("", |(_, owner)| owner), options);
                statements.insert(0, joining);
                statements.push(leaving);
                (Session::Estate(inside), true)
            }
            Venue::Login => (Session::Estate(inside), false),
            Venue::Inside => (Session::Estate(first.database().map_or(inside, str::to_owned)), true),
        };
        self.go(session);
        if transaction {
            self.line("BEGIN;");
        }
        for statement in statements {
            let end = if statement.starts_with("--") { "" } else { ";" };
            self.line(&format!("{statement}{end}"));
        }
        if transaction {
            self.line("COMMIT;");
        }
    }

    /// Changes the session, if it is another.
    fn go(&mut self, to: Session) {
        if self.at == to {
            return;
        }
        let database = |session: &Session| match session {
            Session::Login => self.maintenance.to_owned(),
            Session::Estate(database) => database.clone(),
        };
        let (from, into) = (database(&self.at), database(&to));
        if from != into {
            self.line(&format!("\\connect -reuse-previous=on {}", argument(&into)));
            self.line("SET search_path = pg_catalog, pg_temp;");
        }
        if let Session::Estate(_) = to {
            self.line(&format!("SET ROLE {ESTATE};"));
        }
        self.at = to;
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }
}

/// The statements of a step; a login is left without a password, and so without the right to log in.
fn statements(step: &PostgresStep) -> Vec<String> {
    match step {
        // The ledger's database is apply's own.
        PostgresStep::Server(step) if !matches!(step, ServerStep::CreateEstate { .. }) => Vec::new(),
        PostgresStep::Login(step) => without_password(step),
        _ => step.statements(),
    }
}

fn without_password(step: &LoginStep) -> Vec<String> {
    let spare = |role: &str, made: LoginStep| {
        let comment = format!("-- apply lets {} log in, with a password that it delivers", sql::name(role));
        std::iter::once(one_line(&comment)).chain(PostgresStep::from(made).statements()).collect()
    };
    let mut made = step.clone();
    match &mut made {
        LoginStep::CreateSlot { role, login: login @ true, .. } => {
            let role = role.clone();
            *login = false;
            spare(&role, made)
        }
        LoginStep::CreateOwnerLogin { owner, login: login @ Some(Proof::Password), .. } => {
            let owner = owner.clone();
            *login = None;
            spare(&owner, made)
        }
        LoginStep::EnableLogin { role, proof: Proof::Password, .. } => {
            vec![one_line(&format!("-- apply gives {} a password that it delivers", sql::name(role)))]
        }
        _ => PostgresStep::from(made).statements(),
    }
}

/// A comment ends with its line, whatever a name holds.
fn one_line(comment: &str) -> String {
    comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A database as `\connect` takes it, whatever is in its name: as a connection string (PostgreSQL documentation,
/// 32.1.1.1), in quotes of psql, which reads escapes in them as C does.
fn argument(database: &str) -> String {
    let value = database.replace('\\', "\\\\").replace('\'', "\\'");
    let quoted: String = format!("dbname='{value}'")
        .chars()
        .map(|c| match c {
            '\\' => "\\\\".to_owned(),
            '\'' => "''".to_owned(),
            // The arguments of `\connect`, and no others, lose double quotes as names do.
            '"' => "\"\"\"\"".to_owned(),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            c => c.to_string(),
        })
        .collect();
    format!("'{quoted}'")
}

#[cfg(test)]
mod tests {
    use super::argument;

    #[test]
    fn the_name_of_a_database_stays_a_name() {
        assert_eq!(argument("cafe"), "'dbname=''cafe'''");
        assert_eq!(argument("a=b c"), "'dbname=''a=b c'''");
        assert_eq!(argument("it's"), r"'dbname=''it\\''s'''");
        assert_eq!(argument("a\"b"), "'dbname=''a\"\"\"\"b'''");
        assert_eq!(argument(r"a\b"), r"'dbname=''a\\\\b'''");
    }
}
