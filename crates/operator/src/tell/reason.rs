//! Why a resource is, or is not, as declared, and what happened to it, in one word; and what is said of each in the
//! documentation. The texts are Markdown of docs/reference/conditions.md.

use tenantdb_core::notes as told;
use tenantdb_core::{By, Note, Of};

use crate::tell::notes;

/// How a declaration stands (kstatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As declared.
    Ready,
    /// It is worked on, and tried again without anybody's doing.
    Reconciling,
    /// Somebody has to do something.
    Stalled,
}

/// The `reason` of the conditions `Ready`, `Reconciling` and `Stalled`: one that has no text can't be told.
#[derive(Debug)]
pub struct Reason {
    /// How what has it stands.
    pub standing: Standing,
    /// What is said of it.
    pub note: &'static Note,
}

/// The `reason` of an Event that tells what was done.
#[derive(Debug)]
pub struct Deed {
    /// In one word.
    pub name: &'static str,
    /// What the operator was asked to do, in one word.
    pub action: &'static str,
    /// What was done.
    pub meaning: &'static str,
}

/// Declares reasons, and `REASONS`, all of them.
macro_rules! reasons {
    ($($constant:ident: $standing:ident, $note:expr;)+) => {
        $(pub(crate) static $constant: Reason = Reason { standing: Standing::$standing, note: &$note };)+

        /// All reasons.
        pub static REASONS: &[&Reason] = &[$(&$constant),+];
    };
}

/// Declares deeds, and `DEEDS`, all of them.
macro_rules! deeds {
    ($($constant:ident: $name:literal, $action:literal, $meaning:literal;)+) => {
        $(pub(crate) static $constant: Deed = Deed { name: $name, action: $action, meaning: $meaning };)+

        /// All deeds.
        pub static DEEDS: &[&Deed] = &[$(&$constant),+];
    };
}

const fn note(name: &'static str, of: Of, by: By, meaning: &'static str, remedy: &'static str) -> Note {
    Note { name, of, by, meaning, remedy }
}

reasons! {
    IN_SYNC: Ready, note("InSync", Of::Tenants, By::Nobody, "it is as declared", "nothing");
    REACHABLE: Ready, note("Reachable", Of::Servers, By::Nobody, "the server answers, and is kept", "nothing");
    PAUSED: Ready, told::PAUSED;
    DRIFTED: Ready, told::DRIFTED;
    DEFERRED: Reconciling, note("Deferred", Of::Tenants, By::Either,
        "it has to wait for something, or somebody always changes it back ([`Contested`](#notes))",
        "do what the message says, if it asks for something");
    WAITING: Reconciling, note("Waiting", Of::All, By::Either,
        "something that the declaration refers to is not there yet: a Secret, a ConfigMap, another operator's cluster",
        "make what the message names, or correct its name; it is taken at once");
    NO_SERVER: Reconciling, note("NoServer", Of::Tenants, By::Either,
        "there is no DatabaseServer for it",
        "name one in `server`, or declare it; with `default: true` it has those that name none");
    SERVER_UNREACHABLE: Reconciling, note("ServerUnreachable", Of::All, By::Platform,
        "the server does not answer, or the connection to it broke",
        "see whether it runs, and whether the operator gets there: address, network policies, firewalls");
    LOGIN_REFUSED: Reconciling, note("LoginRefused", Of::All, By::Platform,
        "the server does not let the administrator in, or does not take a tenant's new login",
        "correct the password where `admin.passwordFrom` finds it; it is taken at once. See the server's `pg_hba.conf`");
    HELD_BY_ANOTHER: Reconciling, note("HeldByAnother", Of::All, By::Nobody,
        "somebody else works on it, whom the message names",
        "nothing");
    TRIED_AGAIN: Reconciling, note("TriedAgain", Of::All, By::Nobody,
        "it changed while it was worked on, or the operator was asked to stop",
        "nothing");
    SECRET_FAILED: Reconciling, note("SecretFailed", Of::All, By::Platform,
        "its Secret, its finalizer or its namespace can't be read or written",
        "see what the API server says: the operator's rights, a quota, somebody else's admission webhook");
    FAILED: Reconciling, note("Failed", Of::All, By::Either,
        "the server refused something, or lacks what is needed",
        "the message has the server's words, and mostly a hint; \
         [When something fails](../guide/troubleshooting.md#the-server-cant-be-reached-or-refuses) has more");
    MISSING: Stalled, told::MISSING;
    INVALID: Stalled, note("Invalid", Of::All, By::Declarer, "the declaration can't be used as it is", "correct what the message names");
    NOT_ALLOWED: Stalled, note("NotAllowed", Of::Tenants, By::Either,
        "the server's `allow` does not allow it; or protection was taken away while \
         [nobody was asked](../guide/protection.md#delete-a-protected-database)",
        "declare what is [allowed](../guide/teams.md), or ask the platform");
    CONFLICT: Stalled, note("Conflict", Of::All, By::Either,
        "its database, a role or its Secret is someone else's, and nothing was touched; of a DatabaseServer: an older one is \
         the same server",
        "choose another name, or have the platform [give it to you](../guide/adoption.md) or \
         [take it over](../guide/kubernetes.md#when-a-cluster-or-a-namespace-is-made-again); delete the younger DatabaseServer");
    NEEDS_CONSENT: Stalled, note("NeedsConsent", Of::Tenants, By::Either,
        "a step would take somebody's access away, or end a password that is in use",
        "take back what asks for it; `adopt: Existing` consents, which is \
         [the platform's](../guide/protection.md) to declare");
    PROTECTED: Stalled, note("Protected", Of::Tenants, By::Platform,
        "it is protected from deletion",
        "[delete a protected database](../guide/protection.md#delete-a-protected-database)");
}

deeds! {
    CREATED: "Created", "Create", "the database or role was made, with its credential";
    ADOPTED: "Adopted", "Adopt", "somebody else's database was taken over";
    CHANGED: "Changed", "Update", "something was changed as it is declared now, or put right; the note says what it was";
    DELETED: "Deleted", "Delete", "the resource was deleted, and what it had with it, as its policies say";
    LEFT_BEHIND: "LeftBehind", "Delete", "the resource was deleted, and what it had stays where it is; a warning where the \
        DatabaseServer is not there any more, so that its policies could not be followed";
}

/// All that is told beside a reason, as conditions of their own; their type is their reason as well.
pub fn all_notes() -> impl Iterator<Item = &'static Note> {
    told::ALL
        .iter()
        .chain(tenantdb_postgres::notes::ALL)
        .chain(notes::ALL)
        .copied()
        .filter(|note| note.of != Of::Request)
}
