//! The kinds of drift: each is tried on every server, and listed in the guide.

use std::fmt::Write as _;

/// One way in which a tenant stops being as declared.
pub struct Drift {
    /// What happened.
    pub name: &'static str,
    /// Who did it.
    pub by: By,
    sql: &'static str,
    /// What the plan says of it.
    pub reason: &'static str,
    /// How closely one has to look.
    pub look: Look,
    /// Who heals it.
    pub healed: Healed,
    /// The first version on which it can happen.
    pub from: u32,
}

/// Who changes something.
#[derive(Clone, Copy)]
pub enum By {
    /// Whoever may act as the estate, in this database.
    Administrator(&'static str),
    /// A superuser, in this database.
    Superuser(&'static str),
    /// The tenant itself, with its own credential.
    Tenant,
}

/// How closely one has to look to see it.
#[derive(Clone, Copy, PartialEq)]
pub enum Look {
    /// The usual look is enough.
    Usual,
    /// Only `--refresh` finds it.
    Refresh,
}

/// Who heals it.
#[derive(Clone, Copy, PartialEq)]
pub enum Healed {
    /// `apply` does.
    AtOnce,
    /// `apply` does, once somebody consented.
    WithConsent,
    /// `apply` does, with a superuser's login; else it tells the statement.
    BySuperuser,
}

const CATALOG: By = By::Administrator("postgres");
const INSIDE: By = By::Administrator("cafe");
const SUPERUSER: By = By::Superuser("postgres");
const SUPERUSER_INSIDE: By = By::Superuser("cafe");
const TENANT: By = By::Tenant;

impl Drift {
    const fn usual(by: By, name: &'static str, sql: &'static str, reason: &'static str) -> Self {
        Self { name, by, sql, reason, look: Look::Usual, healed: Healed::AtOnce, from: 15 }
    }

    const fn deep(by: By, name: &'static str, sql: &'static str, reason: &'static str) -> Self {
        Self { look: Look::Refresh, ..Self::usual(by, name, sql, reason) }
    }

    const fn asks(self) -> Self {
        Self { healed: Healed::WithConsent, ..self }
    }

    const fn by_a_superuser(self) -> Self {
        Self { healed: Healed::BySuperuser, ..self }
    }

    const fn from(self, version: u32) -> Self {
        Self { from: version, ..self }
    }

    /// The statements that did it. Before PostgreSQL 16 nobody but the bootstrap superuser grants memberships.
    pub fn sql(&self, version: u32) -> String {
        if version < 16 { self.sql.replace(" GRANTED BY tenantdb_owner", "") } else { self.sql.to_owned() }
    }

    fn row(&self) -> String {
        let who = match self.by {
            By::Tenant => "the tenant",
            By::Administrator(_) => "an administrator",
            By::Superuser(_) => "a superuser",
        };
        let look = if self.look == Look::Refresh { "with `--refresh`" } else { "always" };
        let healed = match self.healed {
            Healed::AtOnce => "yes",
            Healed::WithConsent => "asks first",
            Healed::BySuperuser => "with a superuser's login; else the statement is told",
        };
        let from = if self.from > 15 { format!(" (from PostgreSQL {} on)", self.from) } else { String::new() };
        let reason = self.reason.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("| {}{from} | {who} | {look} | `{reason}` | {healed} |\n", self.name)
    }
}

/// The kinds, as the guide lists them.
pub fn table() -> String {
    let head = "| what happened | who can | seen | what the plan says | healed |\n|---|---|---|---|---|\n";
    DRIFTS.iter().chain(OF_ACCESS).fold(head.to_owned(), |mut table, drift| {
        write!(table, "{}", drift.row()).unwrap();
        table
    })
}

/// Of a database and its own logins.
#[rustfmt::skip]
pub const DRIFTS: &[Drift] = &[
    Drift::usual(CATALOG, "comment changed", "COMMENT ON DATABASE cafe IS 'Invoices'", "comment \"Orders\"  # it was \"Invoices\""),
    Drift::usual(CATALOG, "comment removed", "COMMENT ON DATABASE cafe IS NULL", "comment \"Orders\"  # it was removed"),
    Drift::usual(CATALOG, "limit of a login lowered", "ALTER ROLE cafe_a CONNECTION LIMIT 1", "login cafe_a: at most 20 sessions  # it was 1"),
    Drift::usual(CATALOG, "limit of the spare login removed", "ALTER ROLE cafe_b CONNECTION LIMIT -1", "login cafe_b: at most 20 sessions  # it was unlimited"),
    Drift::usual(CATALOG, "limit of the database lowered", "ALTER DATABASE cafe CONNECTION LIMIT 2", "database cafe: at most 23 sessions in all  # it was 2"),
    Drift::usual(CATALOG, "a login and the tenant's role made to make roles", "ALTER ROLE cafe_a CREATEDB CREATEROLE; ALTER ROLE cafe CREATEROLE", "role cafe_a: no CREATEDB, no CREATEROLE  # it was CREATEDB CREATEROLE"),
    Drift::usual(CATALOG, "setting changed", "ALTER ROLE cafe_a IN DATABASE cafe SET statement_timeout = '1s'", "login cafe_a: statement_timeout = 30s  # it was 1s"),
    Drift::usual(CATALOG, "setting removed", "ALTER ROLE cafe_b IN DATABASE cafe RESET statement_timeout", "login cafe_b: statement_timeout = 30s  # it was unset"),
    Drift::usual(CATALOG, "setting added", "ALTER ROLE cafe_a SET work_mem = '1MB'", "login cafe_a: work_mem unset  # it was 1MB, which is not declared"),
    Drift::usual(TENANT, "the tenant removed its login's role", "SET ROLE NONE; ALTER ROLE cafe_a RESET role", "login cafe_a: role = cafe  # it was unset"),
    Drift::usual(TENANT, "the tenant set its login's role in its database", "SET ROLE NONE; ALTER ROLE cafe_a IN DATABASE cafe SET role = 'none'", "login cafe_a: role unset in database cafe  # it was none, which is not declared"),
    Drift::usual(TENANT, "the tenant lifted its own timeout", "SET ROLE NONE; ALTER ROLE cafe_a SET statement_timeout = 0", "login cafe_a: statement_timeout unset  # it was 0, which is not declared"),
    Drift::usual(CATALOG, "made a template", "ALTER DATABASE cafe IS_TEMPLATE true", "database cafe: no template  # whoever may make databases could copy it"),
    Drift::usual(CATALOG, "CONNECT granted to PUBLIC", "GRANT CONNECT ON DATABASE cafe TO PUBLIC", "database cafe: closed to PUBLIC  # every login could connect"),
    Drift::usual(CATALOG, "CONNECT taken from a slot", "REVOKE CONNECT ON DATABASE cafe FROM cafe_a", "database cafe: open to cafe_a  # a privilege was taken away"),
    Drift::usual(CATALOG, "CREATE taken from the tenant", "REVOKE CREATE ON DATABASE cafe FROM cafe", "database cafe: cafe may create in it  # a privilege was taken away"),
    Drift::usual(INSIDE, "login dropped", "DROP OWNED BY cafe_a; DROP ROLE cafe_a", "login cafe_a, at most 20 sessions, statement_timeout = 30s, timezone = UTC  # gone from the server"),
    Drift::usual(INSIDE, "spare login dropped", "DROP OWNED BY cafe_b; DROP ROLE cafe_b", "spare login cafe_b, at most 20 sessions, statement_timeout = 30s, timezone = UTC  # gone from the server"),
    Drift::usual(CATALOG, "login disabled", "ALTER ROLE cafe_a NOLOGIN", "login cafe_a: may log in  # its login was taken away"),
    Drift::usual(CATALOG, "spare login let in", "ALTER ROLE cafe_b LOGIN PASSWORD 'hunter2'", "role cafe_b: may not log in, no password  # it could log in, and holds no credential"),
    Drift::usual(CATALOG, "login taken out of the tenant's role", "REVOKE cafe FROM cafe_a GRANTED BY tenantdb_owner", "login cafe_a: member of cafe  # it was no member"),
    Drift::usual(CATALOG, "the tenant's role may log in", "ALTER ROLE cafe LOGIN PASSWORD 'hunter2'", "role cafe: may not log in, no password  # the tenant's role could log in"),
    Drift::usual(CATALOG, "password of a login made to expire", "ALTER ROLE cafe_a VALID UNTIL '2000-01-01'", "login cafe_a: valid for good  # its password was made to expire"),
    Drift::usual(CATALOG, "login made to inherit", "ALTER ROLE cafe_a INHERIT", "login cafe_a: NOINHERIT  # it was INHERIT"),
    Drift::deep(INSIDE, "schema public given back to the database's owner", "ALTER SCHEMA public OWNER TO pg_database_owner", "schema public: owned by cafe  # it was owned by pg_database_owner"),
    Drift::deep(INSIDE, "schema public given to another tenant", "ALTER SCHEMA public OWNER TO erp", "schema public: owned by cafe  # it was owned by erp"),
    Drift::deep(TENANT, "declared schema dropped", "DROP SCHEMA app", "schema app  # declared, not in the database"),
    Drift::deep(INSIDE, "declared schema given to another tenant", "ALTER SCHEMA app OWNER TO erp", "schema app: owned by cafe  # it was owned by erp"),
    Drift::deep(INSIDE, "extension dropped", "DROP EXTENSION pg_trgm", "extension pg_trgm in schema public  # declared, not in the database"),
    Drift::usual(CATALOG, "the tenant thrown out of a shared role", "SET ROLE tenantdb_owner; REVOKE readers FROM cafe", "role cafe: member of readers  # it was no member"),
    Drift::usual(CATALOG, "the tenant let others join a shared role", "SET ROLE tenantdb_owner; GRANT readers TO cafe WITH ADMIN OPTION", "role cafe: no member of readers  # it was one with ADMIN"),
    Drift::usual(CATALOG, "the tenant let into another role", "SET ROLE tenantdb_owner; GRANT strangers TO cafe", "role cafe: no member of strangers  # tenantdb_owner granted it, and nothing declares it"),
    Drift::usual(CATALOG, "a login let into another role", "SET ROLE tenantdb_owner; GRANT strangers TO cafe_b", "role cafe_b: no member of strangers  # tenantdb_owner granted it, and nothing declares it"),
    Drift::deep(INSIDE, "an extension of another version", "DROP EXTENSION hstore; SET ROLE tenantdb_owner; CREATE EXTENSION hstore VERSION '1.4' SCHEMA public", "extension hstore: version 1.8  # it was 1.4"),
    Drift::usual(CATALOG, "database closed", "ALTER DATABASE cafe ALLOW_CONNECTIONS false", "database cafe: accepts connections  # it accepted no connections"),
    Drift::usual(CATALOG, "database given to another tenant", "ALTER DATABASE cafe OWNER TO erp", "database cafe: owned by tenantdb_owner  # it was owned by erp"),
    Drift::usual(CATALOG, "database dropped", "DROP DATABASE cafe WITH (FORCE)", "database cafe, at most 23 sessions in all  # gone from the server"),
    Drift::deep(TENANT, "the tenant changed its password", "SET ROLE NONE; ALTER ROLE cafe_a PASSWORD 'hunter2'", "login cafe_a: may log in  # the server refuses the delivered one"),
    Drift::usual(TENANT, "something made by a login itself", "GRANT CREATE ON SCHEMA public TO cafe_a; SET ROLE NONE; CREATE TABLE public.mine (id int)", "login cafe_a: what it owns is cafe's, and nothing is granted to it  # it had made something as itself"),
    Drift::usual(TENANT, "a large object made by a login itself", "SET ROLE NONE; SELECT lo_create(0)", "login cafe_a: what it owns is cafe's, and nothing is granted to it  # it had made something as itself"),
    Drift::usual(TENANT, "default privileges of a login itself", "SET ROLE NONE; ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC", "login cafe_a: what it owns is cafe's, and nothing is granted to it  # it had made something as itself"),
    Drift::usual(TENANT, "a privilege granted to a login itself", "CREATE TABLE IF NOT EXISTS lines (id int); GRANT SELECT ON lines TO cafe_a", "login cafe_a: what it owns is cafe's, and nothing is granted to it  # it had been granted something itself"),
    Drift::usual(TENANT, "default privileges granted to the spare login itself", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO cafe_b", "login cafe_b: what it owns is cafe's, and nothing is granted to it  # it had been granted something itself"),
    Drift::usual(TENANT, "a policy for a login itself", "CREATE TABLE IF NOT EXISTS lines (id int); CREATE POLICY mine ON lines TO cafe_b", "login cafe_b: what it owns is cafe's, and nothing is granted to it  # it had been granted something itself"),
    Drift::usual(CATALOG, "a login has the tenant's privileges without switching to it", "GRANT cafe TO cafe_a WITH INHERIT TRUE GRANTED BY tenantdb_owner", "login cafe_a: member of cafe  # only to switch to it").from(16),
    Drift::usual(CATALOG, "a login may let others join the tenant's role", "GRANT cafe TO cafe_a WITH ADMIN OPTION GRANTED BY tenantdb_owner", "role cafe_a: no member of cafe  # it was one with ADMIN"),
    Drift::usual(CATALOG, "another tenant let into the database", "GRANT CONNECT ON DATABASE cafe TO erp_a", "database cafe: no longer open to erp_a  # nothing declares that"),
    Drift::usual(CATALOG, "a stranger let into the database", "GRANT CONNECT ON DATABASE cafe TO strangers", "database cafe: no longer open to strangers  # nothing declares that").asks(),
    Drift::usual(CATALOG, "a stranger made a member of the tenant's role", "SET ROLE tenantdb_owner; GRANT cafe TO strangers", "role strangers: no member of cafe  # tenantdb_owner granted it, and nothing declares it").asks(),
    Drift::usual(CATALOG, "a stranger made a member of a login", "SET ROLE tenantdb_owner; GRANT cafe_a TO strangers", "role strangers: no member of cafe_a  # tenantdb_owner granted it, and nothing declares it").asks(),
    Drift::usual(SUPERUSER, "a login made a superuser", "ALTER ROLE cafe_b SUPERUSER", "role cafe_b: no SUPERUSER  # it was SUPERUSER").by_a_superuser(),
    Drift::usual(SUPERUSER, "a setting that only a superuser may take away", "ALTER ROLE cafe_a SET log_statement = 'all'", "login cafe_a: log_statement unset  # it was all, which is not declared").by_a_superuser(),
    Drift::usual(SUPERUSER, "database given to a superuser", "ALTER DATABASE cafe OWNER TO postgres", "database cafe: owned by tenantdb_owner  # it was owned by postgres").by_a_superuser(),
    Drift::deep(SUPERUSER_INSIDE, "schema given to a superuser", "ALTER SCHEMA app OWNER TO postgres", "schema app: owned by cafe  # it was owned by postgres").by_a_superuser(),
];

/// Of what others may do in a database.
#[rustfmt::skip]
pub const OF_ACCESS: &[Drift] = &[
    Drift::deep(TENANT, "a privilege taken from a level", "REVOKE SELECT ON orders FROM cafe_ro", "role cafe_ro: may read what cafe has and will have  # it lacked some of them"),
    Drift::deep(TENANT, "a privilege beyond its level", "GRANT DELETE ON orders TO cafe_ro", "# it had other privileges"),
    Drift::deep(TENANT, "a privilege on a column beyond its level", "GRANT SELECT (what) ON orders TO cafe_ro", "# it had other privileges"),
    Drift::deep(TENANT, "a schema closed to a level", "REVOKE USAGE ON SCHEMA app FROM cafe_ro", "# it lacked some of them"),
    Drift::deep(TENANT, "a schema opened for making things", "GRANT CREATE ON SCHEMA app TO cafe_rw", "# it had other privileges"),
    Drift::deep(TENANT, "default privileges taken from a level", "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM cafe_ro", "# it lacked some of them"),
    Drift::deep(TENANT, "default privileges beyond its level", "ALTER DEFAULT PRIVILEGES GRANT TRUNCATE ON TABLES TO cafe_rw", "# it had other privileges"),
    Drift::usual(TENANT, "a privilege granted to a further login itself", "GRANT SELECT ON orders TO cafe_reporting_a", "what cafe_reporting_a may do in database cafe: revoked  # it had been granted something itself"),
    Drift::usual(CATALOG, "a stranger let into a level", "GRANT cafe_rw TO stranger GRANTED BY tenantdb_owner", "role stranger: no member of cafe_rw").asks(),
    Drift::usual(CATALOG, "another tenant let into a level", "GRANT cafe_rw TO erp_a GRANTED BY tenantdb_owner", "role erp_a: no member of cafe_rw"),
    Drift::usual(CATALOG, "a further login taken out of its level", "REVOKE cafe_ro FROM cafe_reporting GRANTED BY tenantdb_owner", "role cafe_reporting: member of cafe_ro"),
    Drift::usual(CATALOG, "a further login kept out of the database", "REVOKE CONNECT ON DATABASE cafe FROM cafe_reporting", "database cafe: open to cafe_reporting"),
    Drift::usual(CATALOG, "a level let in", "ALTER ROLE cafe_ro LOGIN PASSWORD 'x'", "role cafe_ro: may not log in"),
    Drift::usual(CATALOG, "the role of a further login let in", "ALTER ROLE cafe_reporting LOGIN PASSWORD 'x'", "role cafe_reporting: may not log in"),
    Drift::usual(CATALOG, "a further login made not to inherit", "ALTER ROLE cafe_reporting_a NOINHERIT", "login cafe_reporting_a: INHERIT"),
    Drift::usual(CATALOG, "setting of a further login added", "ALTER ROLE cafe_reporting_a SET work_mem = '1MB'", "login cafe_reporting_a: work_mem unset"),
    Drift::usual(CATALOG, "a TenantRole let into the tenant's role", "GRANT cafe TO grafana GRANTED BY tenantdb_owner", "role grafana: no member of cafe"),
    Drift::usual(CATALOG, "a TenantRole let into another database", "GRANT CONNECT ON DATABASE erp TO grafana", "database erp: no longer open to grafana"),
];
