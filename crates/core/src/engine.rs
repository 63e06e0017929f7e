//! A kind of server.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use jiff::Timestamp;
use tenantdb_api::{Namespace, ObjectName};

use crate::{Claim, Condition, Delivery, Failure, Held, Interrupt, Login, Plan, Step, TenantPlan};

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// At what the server shares, and inside the databases that are new or changed.
    Shallow,
    /// Inside every database, with a login for each credential.
    Deep,
}

/// A tenant that the server's ledger knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSummary {
    /// Whose it is.
    pub claim: Claim,
    /// Its database.
    pub database: String,
    /// Its role.
    pub owner: String,
    /// Whether its database is on the server.
    pub present: bool,
    /// `Claimed`, `Provisioned`, `Deleting` or `Orphaned`.
    pub phase: &'static str,
    /// Whether deleting it is refused.
    pub protected: bool,
    /// Where its credential was delivered.
    pub delivered: Option<String>,
}

/// What a tenant uses and since when: people want to know it, and no plan depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// How much its database takes on the server's disk, in bytes; `None` when that can't be seen.
    pub size: Option<u64>,
    /// How many sessions are in its database.
    pub sessions: u64,
    /// How many there may be in all; `None` is any number.
    pub session_limit: Option<u32>,
    /// When the credential that was delivered was made.
    pub credential_since: Option<Timestamp>,
    /// When its declaration went and it was left behind.
    pub orphaned_since: Option<Timestamp>,
}

/// Something that was done to a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Whose it is.
    pub claim: Claim,
    /// What.
    pub action: String,
    /// By whom: program, process and host.
    pub by: String,
}

/// A kind of server: how to look at it, what would have to be done, and how to do it.
///
/// `observe` and the functions after `plan` do all the reading and writing; `plan` and `deliveries` do none, and give
/// the same answer for the same input.
pub trait Engine: Send + Sync + 'static {
    /// What it can do.
    type Step: Step;
    /// What one server should be.
    type Desired: Send + Sync;
    /// What one server is.
    type Observed: Send + Sync;
    /// A tenant in hand: its lock and what goes with it.
    type Hold: Send;

    /// The server's name.
    fn server(&self) -> &ObjectName;

    /// The part of `desired` that concerns these claims.
    fn only(desired: &Self::Desired, claims: &BTreeSet<Claim>) -> Self::Desired;

    /// Looks at the server, once for all tenants.
    fn observe(
        &self,
        desired: &Self::Desired,
        depth: Depth,
    ) -> impl Future<Output = Result<Self::Observed, Failure>> + Send;

    /// What would be delivered, and so which places have to be read before planning.
    fn deliveries(desired: &Self::Desired, observed: &Self::Observed) -> BTreeMap<Claim, Delivery>;

    /// What would have to be done.
    fn plan(desired: &Self::Desired, observed: &Self::Observed, place: &PlaceView) -> Plan<Self::Step>;

    /// The tenants that the ledger knows.
    fn tenants(observed: &Self::Observed) -> Vec<TenantSummary>;

    /// What each tenant that the ledger knows uses.
    fn vitals(
        &self,
        observed: &Self::Observed,
    ) -> impl Future<Output = Result<BTreeMap<Claim, Vitals>, Failure>> + Send;

    /// What was done to the tenants of this name, whoever's they were, from the oldest on.
    fn history(
        &self,
        observed: &Self::Observed,
        namespace: &Namespace,
        name: &ObjectName,
    ) -> impl Future<Output = Result<Vec<AuditEntry>, Failure>> + Send;

    /// The credentials that have to be tried before planning, however closely is looked: the server seems to know them,
    /// and its ledger does not.
    fn doubtful(desired: &Self::Desired, observed: &Self::Observed, place: &PlaceView) -> BTreeSet<Claim>;

    /// Checks the login that a place holds against the server.
    fn try_login(&self, delivery: &Delivery, login: &Login) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// Makes what the server itself needs before its first tenant.
    fn prepare(&self, steps: &[Self::Step]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Takes a tenant in hand: locks it, and sees that nobody has worked on it since it was observed.
    fn hold(
        &self,
        tenant: &TenantPlan<Self::Step>,
        observed: &Self::Observed,
        interrupt: &Interrupt,
    ) -> impl Future<Output = Result<Self::Hold, Failure>> + Send;

    /// Carries out as many of the first steps as belong together, at least one; `login` is the credential they set. How
    /// many they were: they are done whatever becomes of the others.
    fn carry_out(
        &self,
        hold: &mut Self::Hold,
        steps: &[&Self::Step],
        login: Option<&Login>,
    ) -> impl Future<Output = Result<usize, Failure>> + Send;

    /// Logs in with a new or changed credential, wherever applications will, and sees who that is. What could not be
    /// reached is told.
    fn probe(&self, delivery: &Delivery, login: &Login)
    -> impl Future<Output = Result<Vec<Condition>, Failure>> + Send;

    /// Lets go of a tenant.
    fn release(&self, hold: Self::Hold) -> impl Future<Output = ()> + Send;

    /// Waits until what was carried out would outlive a crash of the server.
    fn flush(&self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What the place of a pass holds, as the planner sees it.
#[derive(Clone, Debug)]
pub struct PlaceView {
    /// The place.
    pub id: crate::PlaceId,
    /// What it holds for each claim; a place that could not be read says why.
    pub held: BTreeMap<Claim, Result<Held, String>>,
    /// What is or would be delivered for each claim.
    pub deliveries: BTreeMap<Claim, Delivery>,
    /// Where each claim's credential is or would be, for people.
    pub locations: BTreeMap<Claim, String>,
    /// Credentials that were tried and refused by the server.
    pub refused: BTreeSet<Claim>,
    /// Credentials that were in doubt, and that the server lets in for their password.
    pub accepted: BTreeSet<Claim>,
}
