//! A kind of server.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use tenantdb_api::{DatabaseServer, Namespace, ObjectName};

use crate::reach::Way;
use crate::{
    Authority, Claim, Condition, Declarations, Delivered, Delivery, Failure, Fault, Held, Interrupt, Inventory, Login,
    Origin, Plan, Recorded, Request, Step, TenantPlan, Turns, Unusable, Writer,
};

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// At what the server shares, and inside the databases that are new or changed.
    Shallow,
    /// Inside every database, with a login for each credential.
    Deep,
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

/// A kind of server: how to reach it, what declarations ask of it, how to look at it, what would have to be done, and how
/// to do it.
///
/// What takes `&self` reads and writes; what does not is pure, and gives the same answer for the same input.
pub trait Engine: Send + Sync + Sized + 'static {
    /// What it can do.
    type Step: Step;
    /// What one server should be: what was asked, with every declaration resolved. Of a request alone, nothing is declared.
    type Desired: From<Request> + AsRef<Request> + AsMut<Request> + Send + Sync;
    /// What one server is; by default one that was never started.
    type Observed: Default + Send + Sync;
    /// A tenant in hand: its lock and what goes with it.
    type Hold: Send;

    /// What people call it.
    const NAME: &'static str;
    /// The scheme of its connection URIs.
    const SCHEME: &'static str;

    /// A server; nothing is connected before it is asked something. `budget` is how many connections there may be at a
    /// time; somebody who works on a tenant is waited for as long as `patience` says.
    fn open(name: ObjectName, way: Way, budget: usize, patience: Option<Duration>, writer: Writer) -> Self;

    /// The server's name.
    fn server(&self) -> &ObjectName;

    /// As many tenants at a time as need not wait for connections.
    fn turns(&self) -> Turns;

    /// Says goodbye on every connection that nobody uses.
    fn close(&self) -> impl Future<Output = ()> + Send;

    /// Ends the sessions of another process that worked with this login, and waits until they are gone; how many there
    /// were.
    fn end_sessions_of(&self, writer: &str) -> impl Future<Output = Result<usize, Failure>> + Send;

    /// What a server should be, and what is wrong with declarations: one that can't be used keeps no other out. Of two
    /// that want the same name the first has it. `admin` is the administrator's, which nobody may have.
    fn resolve(
        declarations: Declarations<'_>,
        admin: &str,
        recorded: &Recorded,
        request: Request,
    ) -> (Self::Desired, BTreeMap<Claim, Unusable>);

    /// What is wrong with a script that a tenant is to begin with.
    fn faults(script: &str) -> Vec<Fault>;

    /// The part of `desired` that concerns these claims.
    fn only(desired: &Self::Desired, claims: &BTreeSet<Claim>) -> Self::Desired;

    /// The claims that are new to a server: what must be on no other.
    fn newcomers(desired: &Self::Desired, observed: &Self::Observed) -> BTreeSet<Claim>;

    /// Looks at the server, once for all tenants.
    fn observe(
        &self,
        desired: &Self::Desired,
        depth: Depth,
    ) -> impl Future<Output = Result<Self::Observed, Failure>> + Send;

    /// The server's version.
    fn version(observed: &Self::Observed) -> String;

    /// What tells the server's ledger from every other; none before it was made.
    fn ledger(observed: &Self::Observed) -> Option<&str>;

    /// The tenants that the ledger knows.
    fn inventory(observed: &Self::Observed) -> Inventory;

    /// Whether the ledger was restored from a dump: then it may be older than what is on the server, and nothing is
    /// destroyed on its word.
    fn is_restored(observed: &Self::Observed) -> bool;

    /// Whether the server lets a tenant make a version of an extension; `None` when it is not known.
    fn trusts(observed: &Self::Observed, extension: &str, version: Option<&str>) -> Option<bool>;

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

    /// What would be delivered, and so which places have to be read before planning.
    fn deliveries(desired: &Self::Desired, observed: &Self::Observed) -> BTreeMap<Claim, Delivery>;

    /// The credentials that have to be tried before planning, however closely is looked: the server seems to know them,
    /// and its ledger does not.
    fn doubtful(desired: &Self::Desired, observed: &Self::Observed, place: &PlaceView) -> BTreeSet<Claim>;

    /// Checks the login that a place holds against the server.
    fn try_login(&self, delivery: &Delivery, login: &Login) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// What would have to be done.
    fn plan(desired: &Self::Desired, observed: &Self::Observed, place: &PlaceView) -> Plan<Self::Step>;

    /// A plan as a script for the server's own client, but for passwords and the ledger.
    fn script(plan: &Plan<Self::Step>, observed: &Self::Observed, server: &DatabaseServer) -> String;

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

    /// What tells the server's ledger from every other, now that it was made.
    fn ledger_id(&self) -> impl Future<Output = Result<Option<String>, Failure>> + Send;

    /// Notes in the ledger who was seen using what is not theirs by declaration: who loses access later is told when it
    /// was last seen.
    fn remember(
        &self,
        desired: &Self::Desired,
        observed: &Self::Observed,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What was delivered last for each of an authority's tenants.
    fn delivered(desired: &Self::Desired, observed: &Self::Observed, of: &Authority) -> Vec<(Delivery, Delivered)>;

    /// Gives what an authority has on the server to another, in one transaction; what both have is no question here. What
    /// is `forgotten` is as if it had never been delivered: whoever has it goes on logging in. In a cluster, those with an
    /// origin stand there from now on; elsewhere they stand nowhere.
    fn take_over(
        &self,
        from: &Authority,
        to: &Authority,
        forgotten: &BTreeSet<Claim>,
        origins: Option<&BTreeMap<Claim, Origin>>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Trusts a ledger again that was restored from a dump.
    fn accept_ledger(&self) -> impl Future<Output = Result<(), Failure>> + Send;
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
