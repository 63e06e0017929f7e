//! The catalogs that all databases of a server share, and what else one session can see of the whole server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use tenantdb_core::{Failure, FailureKind};

use tokio_postgres::Row;

use super::text::{bytes_of, text};
use crate::ESTATE;
use crate::connect::Session;

/// A role (`pg_roles`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, clippy::struct_field_names, reason = "these are the columns of the catalog")]
pub(crate) struct Role {
    pub(crate) login: bool,
    pub(crate) inherit: bool,
    /// Whether its password stops working at some time.
    pub(crate) expires: bool,
    pub(crate) superuser: bool,
    pub(crate) create_db: bool,
    pub(crate) create_role: bool,
    pub(crate) replication: bool,
    pub(crate) bypass_rls: bool,
    /// -1 is unlimited.
    pub(crate) connection_limit: i32,
    /// The roles it may switch to.
    pub(crate) member_of: BTreeSet<String>,
    /// The roles whose privileges it has without switching to them.
    pub(crate) inherits: BTreeSet<String>,
    /// Each membership that it was granted. Not read for the estate, which administers every tenant's role.
    pub(crate) granted: Vec<Granted>,
    /// The roles that are members of it, in whatever way.
    pub(crate) members: BTreeSet<String>,
    /// The roles that it may let others, and itself, join.
    pub(crate) administers: BTreeSet<String>,
    /// Logins that hold a lock on it: nobody can drop it until they let go. Only read for a deletion.
    pub(crate) locked_by: BTreeSet<String>,
    /// Its settings, by database (`None`: in all) and name in lower case.
    pub(crate) settings: BTreeMap<(Option<String>, String), String>,
}

impl Role {
    /// What it may do beyond its privileges, as `CREATE ROLE` spells it; a tenant's role may do nothing of that.
    pub(crate) fn powers(&self) -> Vec<&'static str> {
        let powers = [
            (self.superuser, "SUPERUSER"),
            (self.create_db, "CREATEDB"),
            (self.create_role, "CREATEROLE"),
            (self.replication, "REPLICATION"),
            (self.bypass_rls, "BYPASSRLS"),
        ];
        powers.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
    }
}

/// A membership as one role granted it (`pg_auth_members`); from PostgreSQL 16 on several may have granted the same one,
/// each with options of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) role: String,
    pub(crate) grantor: String,
    pub(crate) inherit: bool,
    pub(crate) set: bool,
    pub(crate) admin: bool,
}

/// The limit that PostgreSQL's catalog shows for a database whose deletion was interrupted.
const INVALID: i32 = -2;

/// A database (`pg_database`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "these are the columns of the catalog")]
pub(crate) struct Database {
    pub(crate) oid: u32,
    pub(crate) owner: String,
    pub(crate) allows_connections: bool,
    /// -1 is unlimited, -2 marks one whose deletion was interrupted.
    pub(crate) connection_limit: i32,
    pub(crate) comment: Option<String>,
    /// Whether whoever may make databases may copy it.
    pub(crate) is_template: bool,
    /// Whether each login runs an event trigger, or did once (from PostgreSQL 17 on).
    pub(crate) runs_at_login: bool,
    pub(crate) encoding: String,
    pub(crate) locale: String,
    /// Privileges by grantee (`None`: PUBLIC), the owner's own left out.
    pub(crate) grants: BTreeMap<Option<String>, BTreeSet<String>>,
    /// By grantee, who else than its owner granted it privileges.
    pub(crate) other_grantors: BTreeMap<String, BTreeSet<String>>,
    /// Who may let others connect, beside its owner.
    pub(crate) doorkeepers: BTreeSet<String>,
    /// Whether its owner took CONNECT from itself; it may still give it back.
    pub(crate) owner_shut_out: bool,
    /// Logins that have a session in it, with the number of sessions.
    pub(crate) sessions: BTreeMap<String, i64>,
    /// Logins that hold a lock on it, from wherever: nobody can drop it until they let go. Only read for a deletion.
    pub(crate) locked_by: BTreeSet<String>,
}

impl Database {
    /// Whether its deletion was begun at the server and interrupted: nothing is left in it.
    pub(crate) fn invalid(&self) -> bool {
        self.connection_limit == INVALID
    }

    /// Whether a session may be opened in it.
    pub(crate) fn can_be_visited(&self) -> bool {
        self.allows_connections && !self.invalid()
    }

    /// Whether PUBLIC may connect or make temporary tables.
    pub(crate) fn open_to_public(&self) -> bool {
        self.grants.get(&None).is_some_and(|privileges| !privileges.is_empty())
    }

    /// Whether every login may connect.
    pub(crate) fn lets_everyone_in(&self) -> bool {
        self.grants.get(&None).is_some_and(|privileges| privileges.contains("CONNECT"))
    }

    /// Whether a role was granted a privilege directly.
    pub(crate) fn grants(&self, role: &str, privilege: &str) -> bool {
        self.grants.get(&Some(role.to_owned())).is_some_and(|privileges| privileges.contains(privilege))
    }
}

/// An extension that the server could make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AvailableExtension {
    /// The version that is made when none is asked for.
    pub(crate) default_version: String,
    /// Every version that could be made.
    pub(crate) versions: BTreeMap<String, ExtensionVersion>,
}

impl AvailableExtension {
    /// What a version is like, or the default one.
    pub(crate) fn version(&self, version: Option<&String>) -> Option<&ExtensionVersion> {
        self.versions.get(version.unwrap_or(&self.default_version))
    }
}

/// One version of an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExtensionVersion {
    /// Whether a database's owner may make it.
    pub(crate) trusted: bool,
    /// The schema it insists on.
    pub(crate) schema: Option<String>,
    /// Whether it can be moved to another schema.
    pub(crate) relocatable: bool,
    /// The extensions it needs.
    pub(crate) requires: Vec<String>,
}

/// Who may set a parameter on a login (`pg_settings.context`; PostgreSQL documentation, view `pg_settings`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setter {
    /// Whoever may change the login.
    Anyone,
    /// A superuser.
    Superuser,
    /// Nobody: it holds for the whole server, or from the start of a session on.
    Nobody,
}

impl Setter {
    fn in_context(context: &str) -> Self {
        match context {
            "user" => Self::Anyone,
            "superuser" => Self::Superuser,
            _ => Self::Nobody,
        }
    }
}

/// What the databases of a server share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shared {
    /// The major version.
    pub(crate) version: u32,
    /// Our own login.
    pub(crate) login: String,
    /// The database that it looks from.
    pub(crate) maintenance_database: String,
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) databases: BTreeMap<String, Database>,
    /// What the server could make; `None` when nobody asked it.
    pub(crate) extensions: Option<BTreeMap<String, AvailableExtension>>,
    /// The parameters that the server knows, in lower case, without those of libraries that only sessions load; `None`
    /// when nobody asked it.
    pub(crate) parameters: Option<BTreeMap<String, Setter>>,
}

impl Shared {
    /// Whether memberships have an INHERIT and a SET option of their own (PostgreSQL 16).
    pub(crate) fn has_membership_options(&self) -> bool {
        self.version >= 16
    }

    /// Whether a database has a provider of its locale (PostgreSQL 15). A server that was never started has no version.
    pub(crate) fn has_locale_providers(&self) -> bool {
        self.version >= 15 || self.version == 0
    }

    /// Our own login's role.
    pub(crate) fn admin(&self) -> &Role {
        self.role(&self.login)
    }

    /// The role that owns every tenant's database. It administers all of them, so it is not to be copied.
    pub(crate) fn estate(&self) -> &Role {
        self.role(ESTATE)
    }

    /// Who grants memberships: the estate, or who makes it.
    pub(crate) fn grantor(&self) -> String {
        crate::sql::name(if self.roles.contains_key(ESTATE) { ESTATE } else { &self.login })
    }

    /// A role and all whose privileges it has without switching to them, directly or through others.
    pub(crate) fn privileges_of<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::from([name]);
        let mut waiting = vec![name];
        while let Some(role) = waiting.pop() {
            let inherited = self.role(role).inherits.iter().map(String::as_str);
            waiting.extend(inherited.filter(|role| found.insert(role)));
        }
        found
    }

    /// Whether a role may let others join another one: it administers it, or has the privileges of one that does.
    pub(crate) fn may_admit(&self, actor: &str, role: &str) -> bool {
        self.privileges_of(actor).into_iter().any(|name| self.role(name).administers.contains(role))
    }

    /// Whether our own login to a database would run what somebody else may have written, before it can look. A superuser
    /// may spare it that (PostgreSQL documentation, 19.11.1, `event_triggers`).
    pub(crate) fn is_set_off_by_login(&self, name: &str, found: &Database) -> bool {
        let settings = &self.admin().settings;
        let set = |database: Option<String>| settings.get(&(database, "event_triggers".to_owned()));
        let value = set(Some(name.to_owned())).or_else(|| set(None));
        let is_off = value.is_some_and(|value| ["off", "false", "no", "0"].contains(&value.to_lowercase().as_str()));
        found.runs_at_login && !is_off
    }

    /// A role, or one that may do nothing.
    fn role(&self, name: &str) -> &Role {
        static NOBODY: LazyLock<Role> = LazyLock::new(Role::default);
        self.roles.get(name).unwrap_or(&NOBODY)
    }
}

/// Reads it all over one session. The queries are sent without waiting for each other, and what one of them found is
/// sorted while the server answers the next.
pub(crate) async fn read(session: &Session) -> Result<Shared, Failure> {
    let mut answers = session.ask(queries());
    let server = answers.next().await?;
    let server =
        server.first().ok_or_else(|| Failure::new(FailureKind::Rejected, "the server says nothing of itself"))?;
    let mut roles = Named::of(&answers.next().await?, role);
    add_members(&mut roles, &answers.next().await?);
    let mut databases = Named::of(&answers.next().await?, |row| database(row, &roles.names));
    add_grants(&mut databases, &answers.next().await?, &roles.names);
    add_comments(&mut databases, &answers.next().await?);
    add_sessions(&mut databases, &answers.next().await?, &roles.names);
    add_settings(&mut roles, &answers.next().await?, &databases.names);
    let extensions = answers.next().await?;
    let parameters = answers.next().await?;
    Ok(Shared {
        version: u32::try_from(server.get::<_, i32>(0) / 10_000).unwrap_or_default(),
        login: server.get(1),
        maintenance_database: server.get(2),
        roles: roles.by_name(),
        databases: databases.by_name(),
        extensions: Some(available(&extensions)),
        parameters: Some(parameters.iter().map(|row| (row.get(0), Setter::in_context(row.get(1)))).collect()),
    })
}

/// In the order in which [`read`] takes their answers.
fn queries() -> [String; 10] {
    let [role_name, database_name] = ["rolname::text", "datname::text"].map(bytes_of);
    let [setting, description, locale] = ["c.setting", "description", "datcollate::text"].map(bytes_of);
    [
        "SELECT pg_catalog.current_setting('server_version_num')::int, session_user::text, \
         pg_catalog.current_database()::text"
            .to_owned(),
        format!(
            "SELECT oid, {role_name}, rolcanlogin, rolinherit, rolsuper, rolcreatedb, rolcreaterole, rolconnlimit, \
             coalesce(rolvaliduntil < 'infinity', false), rolreplication, rolbypassrls FROM pg_catalog.pg_roles"
        ),
        // Before PostgreSQL 16 a membership had no options of its own: then the names mean those outside.
        "SELECT m.* FROM (SELECT NULL::bool AS inherit_option, true AS set_option) before_16, \
         LATERAL (SELECT roleid, member, admin_option, inherit_option, set_option, grantor FROM pg_catalog.pg_auth_members) m"
            .to_owned(),
        format!(
            "SELECT oid, {database_name}, datdba, datallowconn, datconnlimit, datacl IS NULL, datacl IS NOT NULL \
             AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(datacl) a \
             WHERE a.grantee = datdba AND a.privilege_type = 'CONNECT'), datistemplate, \
             pg_catalog.pg_encoding_to_char(encoding)::text, {locale}, d.dathasloginevt \
             FROM (SELECT false AS dathasloginevt) before_17, LATERAL (SELECT oid, datname, datdba, datallowconn, \
             datconnlimit, datacl, datistemplate, encoding, datcollate, dathasloginevt FROM pg_catalog.pg_database) d"
        ),
        "SELECT d.oid, a.grantee, a.privilege_type, nullif(a.grantor, d.datdba), a.is_grantable \
         FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a WHERE a.grantee <> d.datdba"
            .to_owned(),
        format!(
            "SELECT objoid, {description} FROM pg_catalog.pg_shdescription \
             WHERE classoid = 'pg_catalog.pg_database'::regclass"
        ),
        "SELECT datid, usesysid, count(*) FROM pg_catalog.pg_stat_activity \
         WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid() GROUP BY 1, 2"
            .to_owned(),
        format!(
            "SELECT s.setdatabase, s.setrole, {setting} FROM pg_catalog.pg_db_role_setting s, \
             pg_catalog.unnest(s.setconfig) AS c(setting) WHERE s.setrole <> 0"
        ),
        "SELECT e.name::text, e.default_version, v.version, v.trusted, v.schema::text, v.relocatable, v.requires::text[] \
         FROM pg_catalog.pg_available_extensions() e \
         JOIN pg_catalog.pg_available_extension_versions() v ON v.name = e.name"
            .to_owned(),
        "SELECT pg_catalog.lower(name), context FROM pg_catalog.pg_settings".to_owned(),
    ]
}

/// The rows of a catalog whose first columns are an object's identifier and its name.
struct Named<T> {
    names: BTreeMap<u32, String>,
    objects: BTreeMap<u32, T>,
}

impl<T> Named<T> {
    fn of(rows: &[Row], object: impl Fn(&Row) -> T) -> Self {
        Self {
            names: rows.iter().map(|row| (row.get(0), text(row, 1))).collect(),
            objects: rows.iter().map(|row| (row.get(0), object(row))).collect(),
        }
    }

    fn by_name(mut self) -> BTreeMap<String, T> {
        self.objects.into_iter().filter_map(|(oid, object)| Some((self.names.remove(&oid)?, object))).collect()
    }
}

fn role(row: &Row) -> Role {
    Role {
        login: row.get(2),
        inherit: row.get(3),
        superuser: row.get(4),
        create_db: row.get(5),
        create_role: row.get(6),
        connection_limit: row.get(7),
        expires: row.get(8),
        replication: row.get(9),
        bypass_rls: row.get(10),
        ..Role::default()
    }
}

fn add_members(roles: &mut Named<Role>, members: &[Row]) {
    let Named { names, objects } = roles;
    for row in members {
        if let (Some(role), Some(member)) = (objects.get_mut(&row.get(0)), names.get(&row.get(1))) {
            role.members.insert(member.clone());
        }
        if let (Some(role), Some(member)) = (names.get(&row.get(0)), objects.get_mut(&row.get(1))) {
            let inherit = row.get::<_, Option<bool>>(3).unwrap_or(member.inherit);
            let (set, admin) = (row.get(4), row.get(2));
            if names.get(&row.get(1)).is_some_and(|name| name != ESTATE) {
                let grantor = names.get(&row.get(5)).cloned().unwrap_or_default();
                member.granted.push(Granted { role: role.clone(), grantor, inherit, set, admin });
            }
            let memberships =
                [(set, &mut member.member_of), (inherit, &mut member.inherits), (admin, &mut member.administers)];
            for (_, memberships) in memberships.into_iter().filter(|(holds, _)| *holds) {
                memberships.insert(role.clone());
            }
        }
    }
}

fn add_settings(roles: &mut Named<Role>, settings: &[Row], database_names: &BTreeMap<u32, String>) {
    for row in settings {
        let Some(role) = roles.objects.get_mut(&row.get(1)) else { continue };
        let database: u32 = row.get(0);
        let database = (database != 0).then(|| database_names.get(&database).cloned().unwrap_or_default());
        if let Some((name, value)) = text(row, 2).split_once('=') {
            // The server spells some of its own names with capitals (`TimeZone`), and takes them in any case.
            role.settings.insert((database, name.to_lowercase()), value.to_owned());
        }
    }
}

fn database(row: &Row, role_names: &BTreeMap<u32, String>) -> Database {
    // No entry at all stands for the built-in defaults (PostgreSQL documentation, 5.8).
    let public = || (None, ["CONNECT", "TEMPORARY"].map(str::to_owned).into());
    Database {
        oid: row.get(0),
        owner: role_names.get(&row.get(2)).cloned().unwrap_or_default(),
        allows_connections: row.get(3),
        connection_limit: row.get(4),
        owner_shut_out: row.get(6),
        is_template: row.get(7),
        encoding: row.get(8),
        locale: text(row, 9),
        runs_at_login: row.get(10),
        grants: row.get::<_, bool>(5).then(public).into_iter().collect(),
        ..Database::default()
    }
}

fn add_grants(databases: &mut Named<Database>, grants: &[Row], role_names: &BTreeMap<u32, String>) {
    for row in grants {
        let Some(database) = databases.objects.get_mut(&row.get(0)) else { continue };
        let grantee: u32 = row.get(1);
        let grantee = (grantee != 0).then(|| role_names.get(&grantee).cloned().unwrap_or_default());
        let other = row.get::<_, Option<u32>>(3).and_then(|oid| role_names.get(&oid));
        if let (Some(grantee), Some(other)) = (&grantee, other) {
            database.other_grantors.entry(grantee.clone()).or_default().insert(other.clone());
        }
        let privilege: String = row.get(2);
        if let (Some(grantee), "CONNECT", true) = (&grantee, privilege.as_str(), row.get(4)) {
            database.doorkeepers.insert(grantee.clone());
        }
        database.grants.entry(grantee).or_default().insert(privilege);
    }
}

fn add_comments(databases: &mut Named<Database>, comments: &[Row]) {
    for row in comments {
        if let Some(database) = databases.objects.get_mut(&row.get(0)) {
            database.comment = Some(text(row, 1));
        }
    }
}

fn add_sessions(databases: &mut Named<Database>, sessions: &[Row], role_names: &BTreeMap<u32, String>) {
    for row in sessions {
        if let (Some(database), Some(login)) = (databases.objects.get_mut(&row.get(0)), role_names.get(&row.get(1))) {
            database.sessions.insert(login.clone(), row.get(2));
        }
    }
}

fn available(rows: &[Row]) -> BTreeMap<String, AvailableExtension> {
    let mut extensions: BTreeMap<String, AvailableExtension> = BTreeMap::new();
    for row in rows {
        let extension = extensions.entry(row.get(0)).or_default();
        extension.default_version = row.get::<_, Option<String>>(1).unwrap_or_default();
        let requires = row.get::<_, Option<Vec<String>>>(6).unwrap_or_default();
        let version = ExtensionVersion { trusted: row.get(3), schema: row.get(4), relocatable: row.get(5), requires };
        extension.versions.insert(row.get(2), version);
    }
    extensions
}
