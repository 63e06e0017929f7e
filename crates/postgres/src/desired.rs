//! What a server should be: declarations, with every name resolved and checked.

mod account;
mod taken;

use std::collections::{BTreeMap, BTreeSet};

use tenantdb_api::database_server::SourceKind;
use tenantdb_api::tenant_database::{
    Adopt, Create, CredentialMode, Credentials, Reconcile, RotationStrategy, SecretFormat, SecretPolicy, SecretType,
    SettingValue, TenantDatabaseSpec,
};
use tenantdb_api::{
    ConnectionLimit, DatabaseServer, Declared, Diagnostic, Diagnostics, InvalidValue, Namespace, ObjectName,
    SettingName, SqlName, TenantDatabase, TenantRole, tenant_database,
};
use tenantdb_core::names::{self, TenantNames};
use tenantdb_core::{Authority, Claim, Delivery, Endpoint, Existing, LoginScheme, Origin, Refusal};

use crate::access;
use crate::init::InitScript;
use crate::ledger::{Applied, Extension, KIND, Phase, ROLE_KIND, is_account};
use crate::observe::{Observed, Wanted};
use crate::{ESTATE, LEDGER, plan};
use taken::Taken;

/// The names that the ledger recorded for tenants that are there already.
pub type Recorded = BTreeMap<Claim, TenantNames>;

/// The scripts that tenants begin with, by namespace and name.
pub type Scripts = BTreeMap<(Namespace, ObjectName), Vec<InitScript>>;

/// What one server should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    pub(crate) server: ObjectName,
    pub(crate) authority: Authority,
    pub(crate) endpoint: Endpoint,
    pub(crate) database_limit: Option<u32>,
    /// Those with a database of their own.
    pub(crate) tenants: BTreeMap<Claim, Tenant>,
    /// Those that are let into others' databases: their further logins, and roles without a database.
    pub(crate) accounts: BTreeMap<Claim, Tenant>,
    /// What is to be removed by name.
    pub(crate) removals: BTreeSet<Claim>,
    /// Those whose declaration is gone.
    pub(crate) vanished: BTreeSet<Claim>,
    /// Those whose declaration is gone without a word.
    pub(crate) lost: BTreeSet<Claim>,
    /// Where declarations stand, in a cluster.
    pub(crate) origins: BTreeMap<Claim, Origin>,
    /// The orphans that are to be removed for good.
    pub(crate) purges: BTreeSet<Claim>,
    /// Whose earlier login is to be taken away.
    pub(crate) retirements: BTreeSet<Claim>,
    /// All that the authority declares, on whatever server: what else it has here is to be removed as well. Without it,
    /// that is left alone.
    pub(crate) declared: Option<BTreeSet<Claim>>,
    /// The claims that this is about; all of them when absent.
    pub(crate) scope: Option<BTreeSet<Claim>>,
    /// Whether credentials that were delivered elsewhere are delivered here as well, new ones.
    pub(crate) reissue: bool,
    /// Claims that another server holds: their tenants are not made here as well.
    pub(crate) elsewhere: BTreeMap<Claim, ObjectName>,
}

/// Why a tenant is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Somebody named it.
    Asked,
    /// Its declaration is gone: nobody can be asked any more, and what was protected is left behind.
    Vanished,
    /// Its declaration is gone, and nobody deleted it as it is done: nothing of it is destroyed.
    Lost,
    /// Nothing declares it any more.
    Undeclared,
    /// The declaration of its database has it in `access` no more.
    Withdrawn,
    /// Somebody named an orphan: all that its policies left goes as well.
    Purged,
    /// Somebody else takes its orphaned database over.
    TakenOver,
}

impl Removal {
    /// Whether it goes and its database stays, whatever the policies say.
    pub(crate) fn goes_alone(self) -> bool {
        matches!(self, Self::Withdrawn | Self::TakenOver)
    }
}

/// The declarations for one server.
#[derive(Clone, Copy, Debug)]
pub struct Declarations<'a> {
    /// The server.
    pub server: &'a Declared<DatabaseServer>,
    /// Its databases.
    pub tenants: &'a [Declared<TenantDatabase>],
    /// Its roles without a database of their own.
    pub roles: &'a [Declared<TenantRole>],
}

/// Why a declaration can't be used.
#[derive(Debug)]
pub enum Unusable {
    /// It contradicts itself or its server.
    Wrong(Vec<Diagnostic>),
    /// What it would be called belongs to one of those before it.
    Taken(Vec<Diagnostic>),
}

impl Unusable {
    /// Whether it would do if another did not have its name.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Taken(_))
    }

    /// What is wrong with it.
    #[must_use]
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        match self {
            Self::Wrong(found) | Self::Taken(found) => found,
        }
    }
}

/// What one tenant should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    pub(crate) claim: Claim,
    /// The names a new tenant gets; an older one keeps those that the ledger recorded.
    pub(crate) names: TenantNames,
    /// The names that the declaration itself gives.
    pub(crate) declared_database: Option<SqlName>,
    pub(crate) declared_owner: Option<SqlName>,
    pub(crate) applied: Applied,
    pub(crate) adopt: Adopt,
    pub(crate) reconcile: Reconcile,
    /// How its database is made, if it has to be.
    pub(crate) create: Create,
    /// Why nothing is done about it.
    pub(crate) refused: Option<Refusal>,
    /// What runs in its database when it is made.
    pub(crate) init: Vec<InitScript>,
    pub(crate) secret_name: ObjectName,
    pub(crate) formats: Vec<SecretFormat>,
    pub(crate) keys: BTreeMap<String, String>,
    pub(crate) secret_type: SecretType,
    pub(crate) existing: Existing,
    /// What a cluster tells the declaration from all others by.
    pub(crate) uid: Option<String>,
    /// Where it stands, in a cluster.
    pub(crate) origin: Option<Origin>,
}

impl Tenant {
    /// Whether it has no database of its own, and is let into others'.
    pub(crate) fn is_account(&self) -> bool {
        is_account(&self.claim)
    }

    /// What is looked for inside its database.
    pub(crate) fn wanted(&self, owner: &str) -> Wanted {
        Wanted { owner: owner.to_owned(), levels: access::levels(owner, &self.applied.access) }
    }

    /// What is delivered for it, once its names are known.
    pub(crate) fn delivery(&self, server: &ObjectName, names: TenantNames, endpoint: &Endpoint) -> Delivery {
        Delivery {
            claim: self.claim.clone(),
            secret_name: self.secret_name.clone(),
            server: server.clone(),
            database: names.database,
            acts_as: (!self.is_account()).then_some(names.owner),
            endpoint: endpoint.clone(),
            formats: self.formats.clone(),
            keys: self.keys.clone(),
            secret_type: self.secret_type,
            existing: self.existing.clone(),
            uid: self.uid.clone(),
        }
    }
}

impl Desired {
    /// What a server should be, as its declarations say; everything that is wrong with them is told at once.
    ///
    /// # Errors
    /// When a name is too long, reserved, or taken by another of these tenants.
    pub fn resolve(
        declarations: Declarations<'_>,
        authority: &Authority,
        admin: &str,
        endpoint: Endpoint,
    ) -> Result<Self, Diagnostics> {
        Self::resolve_recorded(declarations, authority, admin, endpoint, &Recorded::default())
    }

    /// The same, where it is known which names the ledger recorded: those stay, whatever the server's naming says now.
    ///
    /// # Errors
    /// When a new name is too long, reserved, or taken by another of these tenants.
    pub fn resolve_recorded(
        declarations: Declarations<'_>,
        authority: &Authority,
        admin: &str,
        endpoint: Endpoint,
        recorded: &Recorded,
    ) -> Result<Self, Diagnostics> {
        let (desired, problems) = Self::resolve_each(declarations, authority, admin, endpoint, recorded);
        if problems.is_empty() {
            Ok(desired)
        } else {
            Err(problems.into_values().flat_map(Unusable::into_diagnostics).collect())
        }
    }

    /// The same, where what is wrong with one declaration keeps no other out: those that are right, and what is wrong
    /// with each of the others. Of two that want the same name the first has it.
    #[must_use]
    pub fn resolve_each(
        declarations: Declarations<'_>,
        authority: &Authority,
        admin: &str,
        endpoint: Endpoint,
        recorded: &Recorded,
    ) -> (Self, BTreeMap<Claim, Unusable>) {
        let Declarations { server, tenants, roles } = declarations;
        let mut problems = BTreeMap::new();
        let mut taken = Taken::default();
        let mut desired = Self::nothing(&server.resource, authority, endpoint);
        for declared in tenants {
            let claim = Self::claim(authority, &declared.resource);
            if let Err(found) = desired.add_database(server, declared, claim.clone(), admin, recorded, &mut taken) {
                problems.insert(claim, found);
            }
        }
        for declared in roles {
            let claim = Self::claim_of_role(authority, &declared.resource);
            if let Err(found) = desired.add_role(server, declared, claim.clone(), admin, recorded, &mut taken) {
                problems.insert(claim, found);
            }
        }
        (desired, problems)
    }

    fn add_database<'a>(
        &mut self,
        server: &Declared<DatabaseServer>,
        declared: &'a Declared<TenantDatabase>,
        claim: Claim,
        admin: &str,
        recorded: &Recorded,
        taken: &mut Taken<'a>,
    ) -> Result<(), Unusable> {
        let mut found = self.wrong_with_credentials(server, declared, &declared.resource.spec.credentials);
        let names = match recorded.get(&claim) {
            Some(names) => Ok(names.clone()),
            None => new_names(&server.resource, declared, admin),
        };
        let tenant = match names {
            Ok(names) => resolve_tenant(&server.resource, &declared.resource, claim, names),
            Err(wrong) => {
                found.extend(wrong);
                return Err(Unusable::Wrong(found));
            }
        };
        let mut shared = taken.add(&tenant, declared);
        let mut logins = Vec::new();
        match account::further_logins(&tenant, declared) {
            Ok(all) => {
                for (index, login) in all {
                    shared.extend(taken.add_further(&login, declared, index));
                    logins.push((login.claim.clone(), login));
                }
            }
            Err(wrong) => found.extend(wrong),
        }
        usable(found, shared)?;
        self.accounts.extend(logins);
        self.tenants.insert(tenant.claim.clone(), tenant);
        Ok(())
    }

    fn add_role<'a>(
        &mut self,
        server: &Declared<DatabaseServer>,
        declared: &'a Declared<TenantRole>,
        claim: Claim,
        admin: &str,
        recorded: &Recorded,
        taken: &mut Taken<'a>,
    ) -> Result<(), Unusable> {
        let mut found = self.wrong_with_credentials(server, declared, &declared.resource.spec.credentials);
        match account::role(&server.resource, declared, claim, admin, recorded) {
            Ok(role) => {
                usable(found, taken.add_role(&role, declared))?;
                self.accounts.insert(role.claim.clone(), role);
                Ok(())
            }
            Err(wrong) => {
                found.extend(wrong);
                Err(Unusable::Wrong(found))
            }
        }
    }

    fn wrong_with_credentials<T>(
        &self,
        server: &Declared<DatabaseServer>,
        declared: &Declared<T>,
        credentials: &Credentials,
    ) -> Vec<Diagnostic> {
        let mut found = missing_endpoints(declared, credentials, &self.endpoint);
        found.extend(asks_for_a_password(&server.resource, declared, credentials));
        found
    }

    /// A server of which nothing is asked: to look at it, or to remove from it.
    #[must_use]
    pub fn nothing(server: &DatabaseServer, authority: &Authority, endpoint: Endpoint) -> Self {
        Self {
            server: server.metadata.name.clone(),
            authority: authority.clone(),
            endpoint,
            database_limit: server.spec.limits.databases,
            tenants: BTreeMap::new(),
            accounts: BTreeMap::new(),
            removals: BTreeSet::new(),
            vanished: BTreeSet::new(),
            lost: BTreeSet::new(),
            origins: BTreeMap::new(),
            purges: BTreeSet::new(),
            retirements: BTreeSet::new(),
            declared: None,
            scope: None,
            reissue: false,
            elsewhere: BTreeMap::new(),
        }
    }

    /// The same server, with tenants that are to be removed as their recorded policies say.
    #[must_use]
    pub fn removing(mut self, claims: impl IntoIterator<Item = Claim>) -> Self {
        self.removals.extend(claims);
        self
    }

    /// The same server, with tenants whose declaration is gone: they go as their recorded policies say, but what was
    /// protected is left behind as it is.
    #[must_use]
    pub fn without(mut self, claims: impl IntoIterator<Item = Claim>) -> Self {
        self.vanished.extend(claims);
        self
    }

    /// The same server, with tenants whose declaration went without being deleted: they are left behind, whatever their
    /// policies say.
    #[must_use]
    pub fn without_a_word_of(mut self, claims: impl IntoIterator<Item = Claim>) -> Self {
        self.lost.extend(claims);
        self
    }

    /// The same server, where these declarations stand there in a cluster.
    #[must_use]
    pub fn standing_at(mut self, origins: BTreeMap<Claim, Origin>) -> Self {
        for tenant in self.tenants.values_mut().chain(self.accounts.values_mut()) {
            tenant.origin = origins.get(&tenant.claim.declaration()).cloned();
        }
        self.origins = origins;
        self
    }

    /// Those of which the ledger has something that another declaration of the same name left, which stood elsewhere.
    #[must_use]
    pub fn strangers(&self, observed: &Observed) -> BTreeSet<Claim> {
        let is_strangers = |(claim, origin): &(&Claim, &Origin)| {
            let row = observed.ledger.as_ref().and_then(|ledger| ledger.row(claim));
            row.is_some_and(|row| row.is_strangers(Some(origin)))
        };
        self.origins.iter().filter(is_strangers).map(|(claim, _)| claim.clone()).collect()
    }

    /// Where the declaration of a claim stands, if it is known.
    pub(crate) fn origin(&self, claim: &Claim) -> Option<&Origin> {
        self.origins.get(&claim.declaration())
    }

    /// The same server, with orphans that are to be removed for good.
    #[must_use]
    pub fn purging(mut self, claims: impl IntoIterator<Item = Claim>) -> Self {
        self.purges.extend(claims);
        self
    }

    /// The same server, with tenants that lose the login that they had before they were adopted.
    #[must_use]
    pub fn retiring(mut self, claims: impl IntoIterator<Item = Claim>) -> Self {
        self.retirements.extend(claims);
        self
    }

    /// The same server, where what the authority has and these don't name is to be removed as its recorded policies say.
    #[must_use]
    pub fn keeping_only(mut self, declared: BTreeSet<Claim>) -> Self {
        self.declared = Some(declared);
        self
    }

    /// The same server, with new credentials here for tenants whose credential was delivered elsewhere.
    #[must_use]
    pub fn reissuing(mut self) -> Self {
        self.reissue = true;
        self
    }

    /// The same server, where tenants begin with these scripts.
    #[must_use]
    pub fn beginning_with(mut self, scripts: &Scripts) -> Self {
        for (claim, tenant) in &mut self.tenants {
            let of_this = scripts.get(&(claim.namespace.clone(), claim.name.clone()));
            tenant.init = of_this.cloned().unwrap_or_default();
        }
        self
    }

    /// The same server, where these declarations stand in a cluster, which tells them from all others by these.
    #[must_use]
    pub fn identified(mut self, uids: &BTreeMap<Claim, String>) -> Self {
        for tenant in self.tenants.values_mut().chain(self.accounts.values_mut()) {
            tenant.uid = uids.get(&tenant.claim.declaration()).cloned();
        }
        self
    }

    /// The same server, where these declarations are refused, and nothing is done about them.
    #[must_use]
    pub fn refusing(mut self, refusals: BTreeMap<Claim, Refusal>) -> Self {
        for (claim, refusal) in refusals {
            let declared = self.tenants.get_mut(&claim).or_else(|| self.accounts.get_mut(&claim));
            if let Some(declared) = declared {
                declared.refused = Some(refusal);
            }
        }
        self
    }

    /// The part that concerns these claims.
    pub(crate) fn only(&self, claims: &BTreeSet<Claim>) -> Self {
        let mut part = Self { scope: Some(claims.clone()), ..self.clone() };
        part.tenants.retain(|claim, _| claims.contains(claim));
        part.retirements.retain(|claim| claims.contains(claim));
        part.accounts.retain(|claim, _| claims.contains(claim));
        part
    }

    /// What is to be removed, and why. With a database go its further logins.
    pub(crate) fn removals(&self, observed: &Observed) -> BTreeMap<Claim, Removal> {
        let Some(ledger) = &observed.ledger else { return self.asked().collect() };
        let held = ledger.tenants.values().chain(ledger.accounts.values());
        let held = held.filter(|row| row.claim.authority == self.authority && row.phase != Phase::Orphaned);
        let undeclared = self.declared.iter().flat_map(|declared| {
            let rest = held.clone().filter(|row| !declared.contains(&row.claim.declaration()));
            rest.map(|row| (row.claim.clone(), Removal::Undeclared))
        });
        let asked: BTreeMap<Claim, Removal> = self.asked().collect();
        let with_its_database = ledger.accounts.keys().filter_map(|claim| {
            let why = claim.access.as_ref().and_then(|_| asked.get(&claim.declaration()))?;
            Some((claim.clone(), *why))
        });
        let withdrawn = ledger.accounts.keys().filter(|claim| self.withdraws(claim));
        let withdrawn = withdrawn.map(|claim| (claim.clone(), Removal::Withdrawn));
        let taken = plan::taken_over(self, observed).into_values();
        let taken_over = taken.flat_map(|orphan| plan::further_logins(ledger, &orphan.claim));
        let taken_over = taken_over.map(|claim| (claim, Removal::TakenOver));
        let in_scope = |claim: &Claim| self.scope.as_ref().is_none_or(|scope| scope.contains(claim));
        let all = taken_over.chain(withdrawn).chain(undeclared).chain(with_its_database).chain(asked.clone());
        all.filter(|(claim, _)| in_scope(claim)).collect()
    }

    fn asked(&self) -> impl Iterator<Item = (Claim, Removal)> {
        let removed = self.removals.iter().map(|claim| (claim.clone(), Removal::Asked));
        let vanished = self.vanished.iter().map(|claim| (claim.clone(), Removal::Vanished));
        let lost = self.lost.iter().map(|claim| (claim.clone(), Removal::Lost));
        removed.chain(vanished).chain(lost).chain(self.purges.iter().map(|claim| (claim.clone(), Removal::Purged)))
    }

    /// Whether a further login's database is declared, and the login no more.
    fn withdraws(&self, claim: &Claim) -> bool {
        let database = claim.access.as_ref().and_then(|_| self.tenants.get(&claim.declaration()));
        database.is_some_and(|tenant| tenant.reconcile == Reconcile::Full) && !self.accounts.contains_key(claim)
    }

    /// What is to be removed because nothing declares it any more.
    #[must_use]
    pub fn undeclared(&self, observed: &Observed) -> Vec<Claim> {
        let removals = self.removals(observed).into_iter();
        removals.filter(|(_, why)| *why == Removal::Undeclared).map(|(claim, _)| claim).collect()
    }

    /// The same server, where it is known that other servers hold some of its claims.
    #[must_use]
    pub fn held_elsewhere(mut self, elsewhere: impl IntoIterator<Item = (Claim, ObjectName)>) -> Self {
        self.elsewhere.extend(elsewhere);
        self
    }

    /// The claims that are new to a server: what must be on no other.
    #[must_use]
    pub fn newcomers(&self, observed: &Observed) -> BTreeSet<Claim> {
        let known = |claim: &Claim| observed.ledger.as_ref().is_some_and(|ledger| ledger.row(claim).is_some());
        let all = self.looked_at().chain(self.looked_at_accounts()).map(|(claim, _)| claim);
        all.filter(|claim| !known(claim)).cloned().collect()
    }

    /// The tenants that are not paused.
    pub(crate) fn looked_at(&self) -> impl Iterator<Item = (&Claim, &Tenant)> {
        self.tenants.iter().filter(|(_, tenant)| tenant.reconcile != Reconcile::Paused)
    }

    /// The accounts that are not paused.
    pub(crate) fn looked_at_accounts(&self) -> impl Iterator<Item = (&Claim, &Tenant)> {
        self.accounts.iter().filter(|(_, account)| account.reconcile != Reconcile::Paused)
    }

    /// The claim of a declaration.
    #[must_use]
    pub fn claim(authority: &Authority, tenant: &TenantDatabase) -> Claim {
        Claim {
            authority: authority.clone(),
            kind: KIND,
            namespace: tenant.namespace(),
            name: tenant.metadata.name.clone(),
            access: None,
        }
    }

    /// The claim of a role without a database of its own.
    #[must_use]
    pub fn claim_of_role(authority: &Authority, role: &TenantRole) -> Claim {
        Claim {
            authority: authority.clone(),
            kind: ROLE_KIND,
            namespace: role.namespace(),
            name: role.metadata.name.clone(),
            access: None,
        }
    }
}

/// Whether nothing is wrong with a declaration, and it shares no name with one before it.
fn usable(mut wrong: Vec<Diagnostic>, shared: Vec<Diagnostic>) -> Result<(), Unusable> {
    if wrong.is_empty() {
        return if shared.is_empty() { Ok(()) } else { Err(Unusable::Taken(shared)) };
    }
    wrong.extend(shared);
    Err(Unusable::Wrong(wrong))
}

/// Keys that speak of an endpoint that the server does not publish.
fn missing_endpoints<T>(declared: &Declared<T>, credentials: &Credentials, endpoint: &Endpoint) -> Vec<Diagnostic> {
    let published = [
        ("{uri_direct}", endpoint.direct.is_some(), "publish.direct"),
        ("{uri_ro}", endpoint.read_only.is_some(), "publish.readOnly"),
    ];
    let missing = published.into_iter().filter(|(_, is_published, _)| !is_published);
    let keys = &credentials.keys;
    missing
        .flat_map(|(placeholder, _, field)| {
            let speaking = keys.iter().filter(move |(_, template)| template.contains(placeholder));
            speaking.map(move |(key, _)| {
                let message = format!("`{key}` needs {placeholder}, and its server has no `{field}`");
                let hint = format!("declare `{field}` on the DatabaseServer, or leave the key out");
                declared.error(&format!("spec.credentials.keys.{key}"), message).hint(hint)
            })
        })
        .collect()
}

/// A tenant without a password on a server that lets nobody in without one.
fn asks_for_a_password<T>(
    server: &DatabaseServer,
    declared: &Declared<T>,
    credentials: &Credentials,
) -> Option<Diagnostic> {
    let nobody = server.source() == SourceKind::Local && login_scheme(credentials) == LoginScheme::Passwordless;
    nobody.then(|| {
        declared
            .error("spec.credentials.mode", "a local server lets nobody in without a password")
            .hint("leave `mode: None` to a server whose pg_hba.conf lets this login in otherwise")
    })
}

/// The names that a tenant gets when it is made.
fn new_names(
    server: &DatabaseServer,
    declared: &Declared<TenantDatabase>,
    admin: &str,
) -> Result<TenantNames, Vec<Diagnostic>> {
    let TenantDatabase { metadata, spec } = &declared.resource;
    let naming = &server.spec.naming;
    let namespace = metadata.namespace();
    let mut values = names::placeholders(&metadata.name, &namespace);
    let database = match &spec.database {
        Some(name) => name.to_string(),
        None => names::expand(&naming.database, &values),
    };
    values.insert("database", &database);
    let owner = match &spec.owner {
        Some(name) => name.to_string(),
        None => names::expand(&naming.owner, &values),
    };
    let too_long = |field: &str, error: &InvalidValue| {
        declared.error(&format!("spec.{field}"), error.to_string()).hint(format!("set it as `{field}` in its `spec`"))
    };
    let database = names::check_database(&database).map_err(|error| too_long("database", &error));
    let owner = names::check_owner(&owner).map_err(|error| too_long("owner", &error));
    let names = match (database, owner) {
        (Ok(database), Ok(owner)) => TenantNames { database, owner },
        // An owner that follows from the database is mended with it.
        (Err(database), Err(_)) if spec.owner.is_none() && naming.owner.contains("{database}") => {
            return Err(vec![database]);
        }
        (database, owner) => return Err([database.err(), owner.err()].into_iter().flatten().collect()),
    };
    let reserved = Reserved::of(server, admin);
    let database = reserved
        .why(names.database.as_str())
        .map(|why| declared.error("spec.database", format!("the database name {why}")));
    let role = names.roles().iter().find_map(|role| reserved.why(role));
    let role = role.map(|why| declared.error("spec.owner", format!("the role name {why}")));
    let found: Vec<Diagnostic> = database.into_iter().chain(role).collect();
    if found.is_empty() { Ok(names) } else { Err(found) }
}

fn resolve_tenant(server: &DatabaseServer, tenant: &TenantDatabase, claim: Claim, names: TenantNames) -> Tenant {
    let spec = &tenant.spec;
    Tenant {
        claim,
        names,
        declared_database: spec.database.clone(),
        declared_owner: spec.owner.clone(),
        applied: applied(server, spec),
        adopt: spec.adopt,
        reconcile: spec.reconcile,
        create: spec.create.clone().unwrap_or_default(),
        refused: None,
        init: Vec::new(),
        secret_name: secret_name(&spec.credentials, &tenant.metadata.name, "secret"),
        formats: formats(&spec.credentials),
        keys: spec.credentials.keys.clone(),
        secret_type: spec.credentials.secret_type(),
        existing: existing(&spec.credentials),
        uid: None,
        origin: None,
    }
}

fn formats(credentials: &Credentials) -> Vec<SecretFormat> {
    match credentials.formats.as_slice() {
        [] => vec![SecretFormat::Default],
        formats => formats.to_vec(),
    }
}

/// The attributes of a tenant, with the server's defaults beneath.
fn applied(server: &DatabaseServer, spec: &TenantDatabaseSpec) -> Applied {
    Applied {
        logins: login_scheme(&spec.credentials),
        connection_limit: connection_limit(server, spec.connection_limit),
        comment: spec.comment.clone(),
        settings: settings(server, &spec.settings),
        member_of: spec.member_of.iter().map(ToString::to_string).collect(),
        schemas: spec.schemas.iter().map(ToString::to_string).collect(),
        extensions: spec.extensions.iter().map(extension).collect(),
        connect_for: server.spec.connect_for.iter().map(ToString::to_string).collect(),
        access: account::consents(spec),
        databases: Vec::new(),
        deletion_protection: spec.deletion_protection,
        db_deletion_policy: spec.db_deletion_policy,
        role_deletion_policy: spec.role_deletion_policy,
    }
}

fn connection_limit(server: &DatabaseServer, declared: Option<ConnectionLimit>) -> Option<i32> {
    declared.or(server.spec.defaults.connection_limit).map(ConnectionLimit::get)
}

fn settings(server: &DatabaseServer, declared: &BTreeMap<SettingName, SettingValue>) -> BTreeMap<String, String> {
    let all = server.spec.defaults.settings.iter().chain(declared);
    all.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn extension(declared: &tenant_database::Extension) -> (String, Extension) {
    let tenant_database::Extension { name, version, schema } = declared;
    (name.to_string(), Extension { version: version.clone(), schema: schema.as_ref().map(ToString::to_string) })
}

fn login_scheme(credentials: &Credentials) -> LoginScheme {
    match (credentials.mode, credentials.rotation.strategy) {
        (CredentialMode::None, _) => LoginScheme::Passwordless,
        (CredentialMode::Password, RotationStrategy::InPlace) => LoginScheme::InPlace,
        (CredentialMode::Password, RotationStrategy::Alternate) => LoginScheme::Alternate,
    }
}

fn secret_name(credentials: &Credentials, name: &ObjectName, suffix: &str) -> ObjectName {
    // A name that is too long for its suffix is refused by `validate`, unless the Secret has one of its own.
    let default = || format!("{name}-{suffix}").parse().unwrap_or_else(|_| name.clone());
    credentials.secret_name.clone().unwrap_or_else(default)
}

/// What may be done with a Secret that is there, as validation has found it to be complete.
fn existing(credentials: &Credentials) -> Existing {
    match (credentials.secret_policy, &credentials.take_over_from) {
        (SecretPolicy::Merge, _) => Existing::Merged,
        (SecretPolicy::TakeOver, Some(from)) => Existing::TakenOver { from: from.clone() },
        (SecretPolicy::Create | SecretPolicy::TakeOver, _) => Existing::LeftAlone,
    }
}

/// The names that nobody may have.
struct Reserved<'a> {
    /// The administrator's: every entry with a password may bring a login of its own.
    admins: Vec<&'a str>,
}

impl<'a> Reserved<'a> {
    fn of(server: &'a DatabaseServer, admin: &'a str) -> Self {
        let sources = server.spec.admin.iter().flat_map(|admin| &admin.password_from);
        let others = sources.filter_map(|source| source.username.as_ref().map(AsRef::as_ref));
        Self { admins: std::iter::once(admin).chain(others).collect() }
    }

    /// Why nobody may have this one.
    fn why(&self, name: &str) -> Option<String> {
        const RESERVED: [&str; 7] = ["postgres", "template0", "template1", LEDGER, ESTATE, "none", "public"];
        if self.admins.contains(&name) {
            return Some(format!("`{name}` is the administrator's"));
        }
        if RESERVED.contains(&name) || name.starts_with("pg_") {
            return Some(format!("`{name}` is reserved"));
        }
        None
    }
}
