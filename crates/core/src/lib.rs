//! What every engine shares: names and their limits, claims, the plan as data, its review, and the pass that takes a
//! server from what it is to what was declared.
//!
//! The two seams are here: [`Engine`] is a kind of server, [`Place`] is somewhere a credential lives. The pass drives
//! both and knows neither; no name of an engine appears in this crate.

mod claim;
mod credential;
mod declarations;
mod engine;
pub mod failpoint;
mod failure;
mod interrupt;
mod inventory;
pub mod names;
mod note;
pub mod notes;
mod pass;
mod place;
mod plan;
pub mod policy;
pub mod reach;
mod request;
mod review;
mod script;
mod tenure;
mod writer;

pub use claim::{Authority, Claim, Origin, Subject};
pub use credential::{Digest, Generation, Login, LoginScheme, Password, Slot};
pub use declarations::{Declarations, Recorded, Unusable};
pub use engine::{AuditEntry, Depth, Engine, PlaceView, Vitals};
pub use failure::{Failure, FailureKind};
pub use interrupt::Interrupt;
pub use inventory::{Inventory, Phase, TenantSummary};
pub use note::{By, Note, Of};
pub use pass::{Event, Listener, Outcome, Pass, Report, TenantOutcome, Turns};
pub use place::{
    Address, Delivered, Delivery, Endpoint, Existing, Held, Marker, Place, PlaceError, PlaceId, Provenance, Version,
};
pub use plan::{
    Actor, Condition, CredentialStep, Plan, Planned, Refusal, RefusalKind, Risk, Step, StepId, Task, TenantChange,
    TenantPlan,
};
pub use request::{Removal, Request};
pub use review::{Consent, lint, review};
pub use script::{Fault, Script};
pub use tenure::Tenure;
pub use writer::{Writer, host, writer};
