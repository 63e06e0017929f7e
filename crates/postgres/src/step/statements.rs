//! The statements of each step.

use tenantdb_api::tenant_database::Create;

use super::{PostgresStep, Proof, level};
use crate::extension;
use crate::init;
use crate::ledger::CHANGED_MEANWHILE;
use crate::observe::{ON_DATABASE, ON_ROLE};
use crate::sql::{Membership, name, names, text, text_or_null, texts};
use crate::{ESTATE, LEDGER, Taking};

/// What is sent in the place of a verifier when a statement is shown.
pub(crate) const REDACTED: &str = "'<verifier>'";

impl PostgresStep {
    /// The statements of the step, with a placeholder for the verifier; those of the ledger are with its tables.
    #[allow(clippy::too_many_lines, reason = "one arm for each kind of step, and nothing else")]
    pub(crate) fn sql(&self, verifier: &str) -> Vec<String> {
        match self {
            Self::CreateEstate { admin, create, options } => {
                let role = format!("CREATE ROLE {ESTATE} NOLOGIN CREATEDB CREATEROLE");
                let options = Membership::Full.options(*options);
                let membership = format!("GRANT {ESTATE} TO {}{options}", name(admin));
                if *create { vec![role, membership] } else { vec![membership] }
            }
            Self::CreateLedger { create } => {
                let database = format!("CREATE DATABASE {LEDGER} TEMPLATE template0 ALLOW_CONNECTIONS false");
                let rest = [
                    format!("REVOKE ALL ON DATABASE {LEDGER} FROM PUBLIC"),
                    format!("ALTER DATABASE {LEDGER} ALLOW_CONNECTIONS true"),
                ];
                create.then_some(database).into_iter().chain(rest).collect()
            }
            Self::CreateDatabase { database, limit, create, providers } => {
                let limit = limit.map_or_else(String::new, |limit| format!(" CONNECTION LIMIT {limit}"));
                let made = creation(create, *providers);
                vec![format!("CREATE DATABASE {}{made} ALLOW_CONNECTIONS false{limit}", name(database))]
            }
            Self::AdoptDatabase { database, owner, login, administer, schemas, taking, options, .. } => {
                let administer = administer.then(|| Taking::AsLogin.around(administer_role(owner, *options)));
                let adopted = adopt(database, owner, *login, schemas, taking, *options);
                administer.into_iter().flatten().chain(adopted).collect()
            }
            Self::RetireLogin { role, database } => retire(role, database),
            Self::CreateOwner { owner, .. } => vec![format!("CREATE ROLE {} NOLOGIN", name(owner))],
            Self::CreateSlot { role, owner, database, how, login, limit, settings } => {
                let login = if *login { format!("LOGIN PASSWORD {verifier}") } else { "NOLOGIN".to_owned() };
                let limit = limit.map_or_else(String::new, |limit| format!(" CONNECTION LIMIT {limit}"));
                let role_name = name(role);
                let inherit = if *how == Membership::Switch { "NOINHERIT" } else { "INHERIT" };
                let create = format!("CREATE ROLE {role_name} {inherit} IN ROLE {} {login}{limit}", name(owner));
                let switch = format!("ALTER ROLE {role_name} SET role = {}", text(owner));
                let switch = (*how == Membership::Switch).then_some(switch);
                let settings =
                    settings.iter().map(|(parameter, value)| set(role, database.as_deref(), parameter, value));
                std::iter::once(create).chain(switch).chain(settings).collect()
            }
            Self::CreateOwnerLogin { owner, database, login, limit, settings } => {
                let login = match login {
                    Some(Proof::Password) => format!("LOGIN PASSWORD {verifier}"),
                    Some(Proof::External) => "LOGIN".to_owned(),
                    None => "NOLOGIN".to_owned(),
                };
                let limit = limit.map_or_else(String::new, |limit| format!(" CONNECTION LIMIT {limit}"));
                let create = format!("CREATE ROLE {} {login}{limit}", name(owner));
                let settings =
                    settings.iter().map(|(parameter, value)| set(owner, database.as_deref(), parameter, value));
                std::iter::once(create).chain(settings).collect()
            }
            Self::EnableLogin { role, proof, .. } => {
                let password = if *proof == Proof::Password { verifier } else { "NULL" };
                vec![format!("ALTER ROLE {} LOGIN PASSWORD {password}", name(role))]
            }
            Self::DisableLogin { role } => vec![format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", name(role))],
            Self::EndLogins { roles, .. } => {
                roles.iter().map(|role| format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", name(role))).collect()
            }
            Self::LiftExpiry { role } => vec![format!("ALTER ROLE {} VALID UNTIL 'infinity'", name(role))],
            Self::TakePowers { role, powers, taking } => taking.around(without(role, powers)),
            Self::SetInherit { role, inherit } => {
                vec![format!("ALTER ROLE {} {}", name(role), if *inherit { "INHERIT" } else { "NOINHERIT" })]
            }
            Self::GrantMembership { role, owner, options } => {
                vec![format!("GRANT {} TO {}{}", name(owner), name(role), Membership::Switch.options(*options))]
            }
            Self::JoinRole { role, member, options, taking } => {
                let options = Membership::Inherit.options(*options);
                taking.around(format!("GRANT {} TO {}{options}", name(role), name(member)))
            }
            Self::LeaveRole { role, member, grantor, taking } => taking.around(leave(role, member, grantor.as_deref())),
            Self::Admit { database, login, taking } => {
                taking.around(format!("GRANT CONNECT ON DATABASE {} TO {}", name(database), name(login)))
            }
            Self::CreateLevel { role } => vec![format!("CREATE ROLE {} NOLOGIN", name(role))],
            Self::GrantLevel { role, owner, level: granted, anew, options } => {
                level::grant(role, owner, granted, *anew, *options)
            }
            Self::EmptyLevels { roles, owner, options } => level::revoke(roles, owner, *options),
            Self::Set { role, database, parameter, value } => vec![set(role, database.as_deref(), parameter, value)],
            Self::Reset { role, database, parameter, taking } => {
                taking.around(reset(role, database.as_deref(), parameter))
            }
            Self::LimitRole { role, limit } => {
                vec![format!("ALTER ROLE {} CONNECTION LIMIT {}", name(role), limit.unwrap_or(-1))]
            }
            Self::Isolate { database, public, connect, visitors, create } => {
                let database = name(database);
                let revoke = public.then(|| format!("REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC"));
                let connect = (!connect.is_empty())
                    .then(|| format!("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {}", names(connect)));
                let create = create.as_ref().map(|owner| let_create(&database, owner));
                let visitors = (!visitors.is_empty())
                    .then(|| format!("GRANT CONNECT ON DATABASE {database} TO {}", names(visitors)));
                [revoke, connect, create, visitors].into_iter().flatten().collect()
            }
            Self::Dismiss { database, visitors, grantors } => {
                let database = name(database);
                let grantors = (!grantors.is_empty()).then(|| {
                    format!("REVOKE GRANT OPTION FOR ALL ON DATABASE {database} FROM {} CASCADE", names(grantors))
                });
                let visitors = format!("REVOKE ALL ON DATABASE {database} FROM {} CASCADE", names(visitors));
                grantors.into_iter().chain([visitors]).collect()
            }
            Self::OwnDatabase { database, taking } => {
                taking.around(format!("ALTER DATABASE {} OWNER TO {ESTATE}", name(database)))
            }
            Self::UnmarkTemplate { database } => vec![format!("ALTER DATABASE {} IS_TEMPLATE false", name(database))],
            Self::LimitDatabase { database, limit } => {
                vec![format!("ALTER DATABASE {} CONNECTION LIMIT {}", name(database), limit.unwrap_or(-1))]
            }
            Self::Comment { database, comment } => {
                vec![format!("COMMENT ON DATABASE {} IS {}", name(database), text_or_null(comment.as_ref()))]
            }
            Self::OpenDatabase { database, .. } => {
                vec![format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", name(database))]
            }
            Self::CloseDatabase { database } => {
                vec![format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", name(database))]
            }
            Self::OwnSchema { schema, owner, taking } => {
                taking.around(format!("ALTER SCHEMA {} OWNER TO {}", name(schema), name(owner)))
            }
            Self::CreateSchema { schema, owner } => {
                vec![format!("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", name(schema), name(owner))]
            }
            Self::CreateExtension { extension, schema, version, making } => {
                extension::create(extension, schema, version.as_deref(), making)
            }
            Self::ChangeExtension { extension, change, taking } => {
                taking.around_all(extension::change(extension, change))
            }
            // What is in it may be a secret.
            Self::RunScript { role, script, .. } => vec![format!("-- logged in as {}: {}", name(role), script.name())],
            Self::RecordScript { role, database, declared, .. } => {
                vec![init::remove_mark(role, database, declared.as_deref())]
            }
            Self::EndSessions { database, own, strangers, outsiders, options } => {
                let tenants: Vec<&String> = own.iter().chain(strangers).collect();
                end_sessions(database, &tenants, &outsiders.iter().collect::<Vec<_>>(), *options)
            }
            Self::EndLocks { logins, roles, options } => end_locks(logins, roles, *options),
            Self::DropDatabase { database } => vec![format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", name(database))],
            Self::EmptySlot { role, owner, database, stays, options } => {
                empty_slot(role, owner, database, *stays, *options)
            }
            Self::LeaveDatabase { roles, holders, options, .. } => {
                let options = Membership::Full.options(*options);
                let (all, roles) = (format!("{}, {}", names(holders), names(roles)), names(roles));
                vec![
                    format!("GRANT {all} TO {ESTATE}{options}"),
                    format!("DROP OWNED BY {roles}"),
                    format!("REVOKE {all} FROM {ESTATE}"),
                ]
            }
            Self::DropLevels { roles } | Self::DropRoles { roles } => {
                roles.iter().map(|role| format!("DROP ROLE IF EXISTS {}", name(role))).collect()
            }
            Self::CreateLedgerTables
            | Self::UpgradeLedger { .. }
            | Self::Claim { .. }
            | Self::Recover { .. }
            | Self::AcceptDatabase { .. }
            | Self::RecordSlot { .. }
            | Self::ForgetDatabase { .. }
            | Self::RecordDatabase { .. }
            | Self::RecordDelivery { .. }
            | Self::TakeOver { .. }
            | Self::RecordChange { .. }
            | Self::RecordDeletion { .. }
            | Self::RecordOrphan { .. }
            | Self::Settle { .. }
            | Self::Forget => Vec::new(),
        }
    }
}

impl PostgresStep {
    /// Asks whose sessions there are to end, where ending them is all that the step does.
    pub(crate) fn whom_it_ends(&self) -> Option<String> {
        let Self::EndSessions { database, own, strangers, outsiders, .. } = self else { return None };
        let logins: Vec<&String> = own.iter().chain(strangers).chain(outsiders).collect();
        let of_these = in_database_or_holding_it(database);
        (!logins.is_empty()).then(|| format!("SELECT a.pid {}", sessions(&logins, &of_these)))
    }
}

/// Lets the estate decide who joins a role, without being a member of it itself.
pub(crate) fn administer_role(role: &str, options: bool) -> String {
    let options = if options { ", INHERIT FALSE, SET FALSE" } else { "" };
    format!("GRANT {} TO {ESTATE} WITH ADMIN OPTION{options}", name(role))
}

/// Gives a database to the estate and what its owner had to the tenant, in one transaction: it is taken from there on.
/// What was granted to an owner is lost when it owns it no more, so the tenant's grants come last.
fn adopt(database: &str, owner: &str, login: bool, schemas: &[String], taking: &Taking, options: bool) -> Vec<String> {
    let (database, tenant) = (name(database), name(owner));
    let schemas = schemas.iter().map(|schema| format!("ALTER SCHEMA {} OWNER TO {tenant}", name(schema)));
    let connect = login.then(|| format!("GRANT CONNECT ON DATABASE {database} TO {tenant}"));
    let moved = schemas
        .chain([format!("ALTER DATABASE {database} OWNER TO {ESTATE}"), let_create(&database, owner)])
        .chain(connect);
    let (before, after) = match taking {
        Taking::AsLogin => (Some("SET LOCAL ROLE NONE".to_owned()), Some(format!("SET LOCAL ROLE {ESTATE}"))),
        Taking::AsEstate | Taking::AsMember { .. } => (None, None),
    };
    let options = Membership::Full.options(options);
    let (join, leave) = (format!("GRANT {tenant} TO {ESTATE}{options}"), format!("REVOKE {tenant} FROM {ESTATE}"));
    [join].into_iter().chain(before).chain(moved).chain(after).chain([leave]).collect()
}

/// Takes a login away that nobody uses: a session that came in since it was looked at ends the transaction instead.
fn retire(role: &str, database: &str) -> Vec<String> {
    let unused = format!(
        "DO $tenantdb$ BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE usename = {}) THEN \
         RAISE EXCEPTION 'it is in use' USING ERRCODE = '{CHANGED_MEANWHILE}'; END IF; END $tenantdb$",
        text(role)
    );
    let (role, database) = (name(role), name(database));
    vec![
        format!("ALTER ROLE {role} NOLOGIN PASSWORD NULL"),
        format!("REVOKE CONNECT ON DATABASE {database} FROM {role}"),
        unused,
    ]
}

/// Hands what a slot owns to its tenant. What is taken away besides is all that it was granted, its way into the
/// database as well (PostgreSQL documentation, DROP OWNED).
fn empty_slot(slot: &str, owner: &str, database: &str, stays: bool, options: bool) -> Vec<String> {
    let (slot, owner) = (name(slot), name(owner));
    let options = Membership::Full.options(options);
    let let_in = stays.then(|| format!("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {slot}", name(database)));
    let emptied = [
        format!("GRANT {owner}, {slot} TO {ESTATE}{options}"),
        format!("REASSIGN OWNED BY {slot} TO {owner}"),
        format!("DROP OWNED BY {slot}"),
        format!("REVOKE {owner}, {slot} FROM {ESTATE}"),
    ];
    emptied.into_iter().chain(let_in).collect()
}

/// Lets a tenant make schemas, extensions and temporary tables: whatever its logins do there, they do as the tenant.
fn let_create(database: &str, owner: &str) -> String {
    format!("GRANT CREATE, TEMPORARY ON DATABASE {database} TO {}", name(owner))
}

/// How a database is made. A locale is libc's, unless it is ICU's: whatever the template's provider is (PostgreSQL
/// documentation, CREATE DATABASE).
fn creation(create: &Create, providers: bool) -> String {
    let template = create.template.as_ref().map_or_else(|| "template0".to_owned(), name);
    let encoding = create.encoding.as_ref().map(|encoding| format!(" ENCODING {}", text(encoding)));
    let locale = create.locale.as_ref().map(|locale| format!(" LOCALE {}", text(locale)));
    let provider = match (&create.icu_locale, &create.locale) {
        (Some(icu), _) => Some(format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", text(icu))),
        (None, Some(_)) if providers => Some(" LOCALE_PROVIDER libc".to_owned()),
        (None, _) => None,
    };
    let options = [encoding, locale, provider].into_iter().flatten();
    format!(" TEMPLATE {template}{}", options.collect::<String>())
}

fn set(role: &str, database: Option<&str>, parameter: &str, value: &str) -> String {
    format!("ALTER ROLE {}{} SET {} = {}", name(role), in_database(database), name(parameter), text(value))
}

/// Takes powers off a role.
pub(crate) fn without(role: &str, powers: &[&str]) -> String {
    let powers: Vec<String> = powers.iter().map(|power| format!("NO{power}")).collect();
    format!("ALTER ROLE {} {}", name(role), powers.join(" "))
}

/// Takes a role out of another, and out with it whom it let in there.
pub(crate) fn leave(role: &str, member: &str, grantor: Option<&str>) -> String {
    let grantor = grantor.map_or_else(String::new, |grantor| format!(" GRANTED BY {}", name(grantor)));
    format!("REVOKE {} FROM {}{grantor} CASCADE", name(role), name(member))
}

/// Takes a parameter off a role.
pub(crate) fn reset(role: &str, database: Option<&str>, parameter: &str) -> String {
    format!("ALTER ROLE {}{} RESET {}", name(role), in_database(database), name(parameter))
}

fn in_database(database: Option<&str>) -> String {
    database.map_or_else(String::new, |database| format!(" IN DATABASE {}", name(database)))
}

/// Ends the sessions in a database, and those that hold a lock on it: tenants' as the estate, others' as the administrator.
fn end_sessions(database: &str, tenants: &[&String], outsiders: &[&String], options: bool) -> Vec<String> {
    let of_these = in_database_or_holding_it(database);
    let tenants = terminate(tenants, &of_these, options);
    let outsiders =
        if outsiders.is_empty() { Vec::new() } else { Taking::AsLogin.around_all(signal(outsiders, &of_these)) };
    tenants.into_iter().chain(outsiders).collect()
}

fn in_database_or_holding_it(database: &str) -> String {
    let database = text(database);
    format!(
        "a.datname = {database} OR a.pid IN (SELECT l.pid FROM pg_catalog.pg_locks l \
         JOIN pg_catalog.pg_database d ON d.oid = l.objid WHERE d.datname = {database} AND {ON_DATABASE})"
    )
}

/// Ends the sessions that hold a lock on roles.
fn end_locks(logins: &[String], roles: &[String], options: bool) -> Vec<String> {
    let of_these = format!(
        "a.pid IN (SELECT l.pid FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_roles o ON o.oid = l.objid \
         WHERE o.rolname IN ({}) AND {ON_ROLE})",
        texts(roles)
    );
    terminate(&logins.iter().collect::<Vec<_>>(), &of_these, options)
}

/// Ending a session takes the privileges of its login: they are taken for the length of the transaction only.
fn terminate(logins: &[&String], of_these: &str, options: bool) -> Vec<String> {
    if logins.is_empty() {
        return Vec::new();
    }
    let options = Membership::Inherit.options(options);
    let joined = format!("GRANT {} TO {ESTATE}{options}", names(logins));
    let left = format!("REVOKE {} FROM {ESTATE}", names(logins));
    std::iter::once(joined).chain(signal(logins, of_these)).chain([left]).collect()
}

/// Ends sessions, and waits until they are gone.
fn signal(logins: &[&String], of_these: &str) -> Vec<String> {
    vec![
        // A session that ends by itself between the look and the signal is worth no warning.
        "SET LOCAL client_min_messages = error".to_owned(),
        format!("SELECT pg_catalog.pg_terminate_backend(a.pid, 10000) {}", sessions(logins, of_these)),
        "SET LOCAL client_min_messages = notice".to_owned(),
    ]
}

fn sessions(logins: &[&String], of_these: &str) -> String {
    format!("FROM pg_catalog.pg_stat_activity a WHERE a.usename IN ({}) AND ({of_these})", texts(logins))
}
