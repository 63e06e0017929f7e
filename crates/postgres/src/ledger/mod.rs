//! The ledger: what it holds, and how it is read. It is written by the steps.

mod applied;
mod sighting;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use applied::{Applied, Extension};
use sighting::Sightings;
pub(crate) use sighting::note as note_sightings;
use tenantdb_api::{Namespace, ObjectName};
use tenantdb_core::names::{TenantNames, check_owner};
use tenantdb_core::{
    Authority, Claim, Delivered, Digest, Failure, FailureKind, Generation, Origin, Phase, PlaceId, Slot,
};
use tenantdb_credentials::SlotState;
use tokio_postgres::Row;

use crate::connect::Session;

/// The tables, as they are made on a server that has none.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");

/// What makes the tables of an earlier version those of this one.
pub(crate) const UPGRADE: &str = include_str!("upgrade.sql");

/// The version of the tables that this binary writes. It reads those before as well.
pub(crate) const VERSION: i32 = 2;

/// The first version that has `cluster_uid` and `namespace_uid`.
const FIRST_WITH_ORIGINS: i32 = 2;

/// The SQLSTATE of `ledger.hold` for a tenant that was changed meanwhile.
pub(crate) const CHANGED_MEANWHILE: &str = "TD001";

/// The class of the advisory locks on tenants (two-key form); the second key is the hash of the database's name.
pub(crate) const TENANT_LOCKS: i32 = 0x7464_6201;

/// The advisory lock around DDL on roles and on the ledger itself.
pub(crate) const ROLE_DDL_LOCK: i64 = 0x7464_6272_6f6c_6573;

/// The kind of a database, and of its further logins.
pub(crate) const KIND: &str = "TenantDatabase";

/// The kind of a role without a database of its own.
pub(crate) const ROLE_KIND: &str = "TenantRole";

/// Whether a claim is about an account, and not about a database.
pub(crate) fn is_account(claim: &Claim) -> bool {
    claim.kind == ROLE_KIND || claim.access.is_some()
}

/// A tenant as the ledger has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TenantRow {
    pub(crate) id: i64,
    pub(crate) claim: Claim,
    /// Its database; of an account the one that its credential is for.
    pub(crate) database: String,
    pub(crate) database_oid: Option<u32>,
    pub(crate) owner: String,
    /// Whether somebody else had made its database.
    pub(crate) adopted: bool,
    pub(crate) phase: Phase,
    pub(crate) applied: Applied,
    pub(crate) epoch: i64,
    pub(crate) slots: BTreeMap<Slot, SlotRow>,
    /// The roles that carry what others may do in its database.
    pub(crate) levels: BTreeSet<String>,
    pub(crate) deliveries: Vec<DeliveryRow>,
    /// The scripts that ran in its database.
    pub(crate) scripts: Vec<ScriptRow>,
    /// Where its declaration stands, if that is in a cluster and was noted.
    pub(crate) origin: Option<Origin>,
}

impl TenantRow {
    /// Whether the declaration of its claim that stands there is another one: of a namespace that was made again by
    /// somebody, or of another cluster.
    pub(crate) fn is_strangers(&self, origin: Option<&Origin>) -> bool {
        matches!((&self.origin, origin), (Some(recorded), Some(origin)) if recorded != origin)
    }

    /// Every role that it was made with: what logs in, the tenant itself, and what carries others' privileges.
    pub(crate) fn roles(&self) -> BTreeSet<&String> {
        self.slots.values().map(|slot| &slot.role).chain([&self.owner]).chain(&self.levels).collect()
    }

    /// The tenant's role, while it still logs in with the password that it had before it was adopted.
    pub(crate) fn legacy_login(&self) -> Option<&String> {
        let slot = self.slots.get(&Slot::Owner)?;
        (slot.state == SlotState::Draining && slot.login.is_none()).then_some(&slot.role)
    }

    /// The names that were recorded when it was made; `None` when the ledger has lost them.
    pub(crate) fn names(&self) -> Option<TenantNames> {
        Some(TenantNames { database: self.database.parse().ok()?, owner: check_owner(&self.owner).ok()? })
    }
}

/// A login slot as the ledger has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SlotRow {
    pub(crate) role: String,
    pub(crate) state: SlotState,
    pub(crate) generation: Generation,
    pub(crate) login: Option<Digest>,
    /// Where the login goes, while it is being issued.
    pub(crate) place: Option<PlaceId>,
}

/// A delivery as the ledger has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeliveryRow {
    pub(crate) delivered: Delivered,
    pub(crate) secret_name: ObjectName,
}

/// A script that ran, as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptRow {
    pub(crate) name: String,
    pub(crate) digest: Digest,
}

/// All that the ledger holds, as far as a plan needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ledger {
    /// What tells it from every other.
    pub(crate) id: String,
    /// The version of its tables.
    pub(crate) version: i32,
    /// Whether it was restored from a dump, and nobody said since that it knows its server.
    pub(crate) is_restored: bool,
    /// Who has a database.
    pub(crate) tenants: BTreeMap<Claim, TenantRow>,
    /// Who is let into others' databases: further logins, and roles without a database.
    pub(crate) accounts: BTreeMap<Claim, TenantRow>,
    /// Which claim has which role name, used or reserved.
    pub(crate) roles: BTreeMap<String, Claim>,
    /// When other logins than slots were last seen in databases.
    pub(crate) sightings: Sightings,
}

impl Ledger {
    /// Who has a database.
    pub(crate) fn database(&self, name: &str) -> Option<&TenantRow> {
        self.tenants.values().find(|tenant| tenant.database == name)
    }

    /// What it has of a claim.
    pub(crate) fn row(&self, claim: &Claim) -> Option<&TenantRow> {
        self.tenants.get(claim).or_else(|| self.accounts.get(claim))
    }

    /// Who has the database of a declaration, `namespace/name`: of several projects' the one of this authority.
    pub(crate) fn declared_as(&self, path: &str, authority: &Authority) -> Option<&TenantRow> {
        let own = Claim::at(path, KIND, authority).and_then(|claim| self.tenants.get(&claim));
        own.or_else(|| self.tenants.values().find(|row| row.claim.path() == path))
    }

    /// Who has the role of a declaration, `namespace/name`: of several projects' the one of this authority.
    pub(crate) fn account_declared_as(&self, path: &str, authority: &Authority) -> Option<&TenantRow> {
        let own = Claim::at(path, ROLE_KIND, authority).and_then(|claim| self.accounts.get(&claim));
        let is_called = |row: &&TenantRow| row.claim.kind == ROLE_KIND && row.claim.path() == path;
        own.or_else(|| self.accounts.values().find(is_called))
    }

    /// Reads what tells the ledger from every other; `None` when its tables were never made.
    pub(crate) async fn read_id(session: &Session) -> Result<Option<String>, Failure> {
        Ok(Self::read_head(session).await?.map(|(id, _)| id))
    }

    /// The same, with the version of its tables.
    async fn read_head(session: &Session) -> Result<Option<(String, i32)>, Failure> {
        let exists = session.query("SELECT to_regclass('ledger.server') IS NOT NULL", &[]).await?;
        if !exists.first().is_some_and(|row| row.get::<_, bool>(0)) {
            return Ok(None);
        }
        // Of another version nothing else can be read for certain.
        let server = session.query("SELECT version, id::text FROM ledger.server", &[]).await?;
        let Some(server) = server.first() else { return Ok(None) };
        check_version(server.get(0))?;
        Ok(Some((server.get(1), server.get(0))))
    }

    /// Reads the ledger; `None` when its tables were never made.
    pub(crate) async fn read(session: &Session) -> Result<Option<Self>, Failure> {
        let Some((id, version)) = Self::read_head(session).await? else { return Ok(None) };
        let origins =
            if version >= FIRST_WITH_ORIGINS { "cluster_uid, namespace_uid" } else { "NULL::text, NULL::text" };
        let tenants = format!(
            "SELECT id, authority, kind, namespace, name, coalesce(database_name, ''), database_oid, phase, \
             applied::text, epoch, adopted, access, {origins} FROM ledger.tenant ORDER BY id"
        );
        let mut answers = session.ask([
            tenants.as_str(),
            "SELECT tenant, name, purpose, slot, state, generation, login_digest, place FROM ledger.role ORDER BY name",
            "SELECT tenant, place, location, secret_name, generation, login_digest FROM ledger.delivery \
             ORDER BY tenant, confirmed_at",
            "SELECT tenant, name, digest FROM ledger.script ORDER BY tenant, ran_at",
            sighting::READ,
            "SELECT s.database_oid <> d.oid OR s.table_oid <> 'ledger.server'::regclass FROM ledger.server s \
             JOIN pg_database d ON d.datname = current_database()",
        ]);
        let mut by_id = BTreeMap::new();
        for row in &answers.next().await? {
            let tenant = tenant(row)?;
            by_id.insert(tenant.id, tenant);
        }
        let mut ledger = Self { id, version, ..Self::default() };
        for row in &answers.next().await? {
            let Some(tenant) = by_id.get_mut(&row.get::<_, i64>(0)) else { continue };
            ledger.roles.insert(row.get(1), tenant.claim.clone());
            add_role(tenant, row)?;
        }
        for row in &answers.next().await? {
            let Some(tenant) = by_id.get_mut(&row.get::<_, i64>(0)) else { continue };
            tenant.deliveries.push(delivery(row)?);
        }
        for row in &answers.next().await? {
            let Some(tenant) = by_id.get_mut(&row.get::<_, i64>(0)) else { continue };
            tenant.scripts.push(ScriptRow { name: row.get(1), digest: Digest::from_stored(row.get(2)) });
        }
        ledger.sightings = sighting::read(&answers.next().await?);
        ledger.is_restored = answers.next().await?.first().is_some_and(|row| row.get(0));
        let rows = by_id.into_values().map(|tenant| (tenant.claim.clone(), tenant));
        (ledger.tenants, ledger.accounts) = rows.partition(|(claim, _)| !is_account(claim));
        let accounts = std::mem::take(&mut ledger.accounts).into_iter();
        ledger.accounts = accounts.map(|(claim, row)| (claim, ledger.with_its_database(row))).collect();
        Ok(Some(ledger))
    }

    /// An account with the database that its credential is for; without any, that is the server's own.
    fn with_its_database(&self, mut account: TenantRow) -> TenantRow {
        let first = account.applied.databases.first();
        let database = first.and_then(|(path, _)| self.declared_as(path, &account.claim.authority));
        account.database = database.map_or_else(|| "postgres".to_owned(), |row| row.database.clone());
        account
    }
}

fn check_version(found: i32) -> Result<(), Failure> {
    if (1..=VERSION).contains(&found) {
        return Ok(());
    }
    let message = format!("the ledger has version {found}, and this tenantdb knows version {VERSION}");
    Err(Failure::new(FailureKind::Rejected, message).hint("use the newer tenantdb that wrote it"))
}

fn tenant(row: &Row) -> Result<TenantRow, Failure> {
    let (authority, kind, namespace, name) =
        (row.get::<_, &str>(1), row.get::<_, &str>(2), row.get::<_, &str>(3), row.get::<_, &str>(4));
    let claim = Claim {
        authority: authority.parse::<Authority>().map_err(|_| unreadable("authority", authority))?,
        kind: [KIND, ROLE_KIND].into_iter().find(|known| *known == kind).ok_or_else(|| unreadable("kind", kind))?,
        namespace: namespace.parse::<Namespace>().map_err(|_| unreadable("namespace", namespace))?,
        name: name.parse::<ObjectName>().map_err(|_| unreadable("name", name))?,
        access: access(row.get(11))?,
    };
    let phase = row.get::<_, &str>(7);
    Ok(TenantRow {
        id: row.get(0),
        claim,
        database: row.get(5),
        database_oid: row.get(6),
        owner: String::new(),
        adopted: row.get(10),
        phase: Phase::from_word(phase).ok_or_else(|| unreadable("phase", phase))?,
        applied: Applied::from_stored(row.get(8)),
        epoch: row.get(9),
        slots: BTreeMap::new(),
        levels: BTreeSet::new(),
        deliveries: Vec::new(),
        scripts: Vec::new(),
        origin: row
            .get::<_, Option<String>>(12)
            .zip(row.get(13))
            .map(|(cluster, namespace)| Origin { cluster, namespace }),
    })
}

/// The name of a further login; of what is none it is empty.
pub(crate) fn access(stored: &str) -> Result<Option<ObjectName>, Failure> {
    let parsed = (!stored.is_empty()).then(|| stored.parse().map_err(|_| unreadable("access", stored)));
    parsed.transpose()
}

fn add_role(tenant: &mut TenantRow, row: &Row) -> Result<(), Failure> {
    let role: String = row.get(1);
    let slot = match row.get::<_, &str>(2) {
        "Owner" => {
            tenant.owner.clone_from(&role);
            Slot::Owner
        }
        "Slot" => {
            let letter: Option<&str> = row.get(3);
            letter.and_then(Slot::from_letter).ok_or_else(|| unreadable("slot", letter.unwrap_or("")))?
        }
        "Level" => {
            tenant.levels.insert(role);
            return Ok(());
        }
        _ => return Ok(()),
    };
    // The tenant's role has none where logins take turns, unless it logged in before it was adopted.
    if let Some(state) = row.get::<_, Option<&str>>(4) {
        let state = state.parse().map_err(|_| unreadable("state", state))?;
        let login = row.get::<_, Option<String>>(6).map(Digest::from_stored);
        let place = row.get::<_, Option<String>>(7).map(PlaceId);
        tenant.slots.insert(slot, SlotRow { role, state, generation: generation(row.get(5))?, login, place });
    }
    Ok(())
}

fn delivery(row: &Row) -> Result<DeliveryRow, Failure> {
    let secret_name: &str = row.get(3);
    Ok(DeliveryRow {
        delivered: Delivered {
            place: PlaceId(row.get(1)),
            location: row.get(2),
            login: Digest::from_stored(row.get(5)),
            generation: generation(row.get(4))?,
        },
        secret_name: secret_name.parse().map_err(|_| unreadable("secret_name", secret_name))?,
    })
}

fn generation(stored: i64) -> Result<Generation, Failure> {
    u64::try_from(stored).map(Generation).map_err(|_| unreadable("generation", &stored.to_string()))
}

fn unreadable(column: &str, value: &str) -> Failure {
    Failure::new(
        FailureKind::Rejected,
        format!("the ledger holds `{value}` as {column}, which this tenantdb doesn't know"),
    )
    .hint("use the newer tenantdb that wrote it")
}
