//! What a plan of any engine tells, and no step mends. The texts are Markdown of docs/reference/conditions.md.

crate::notes! {
    // Of a server.
    LEDGER_RESTORED: "LedgerRestored", Servers, Platform,
        "the ledger was restored from a dump: nothing is deleted on its word",
        "say that it knows its server \
         ([recovery](../guide/recovery.md#a-ledger-that-is-older-than-its-server))";

    // Of a declaration that is not kept.
    PAUSED: "Paused", Tenants, Declarer,
        "`reconcile: Paused`: it is neither looked at nor changed",
        "leave `reconcile` out to have it kept";
    MISSING: "Missing", Tenants, Declarer,
        "`reconcile: Observe`: it is not there, and left so",
        "leave `reconcile` out to have the steps done that the message names";
    DRIFTED: "Drifted", Tenants, Declarer,
        "`reconcile: Observe`: it is not as declared, and left so",
        "leave `reconcile` out to have the steps done that the message names";

    // Of a credential.
    CREDENTIAL_ELSEWHERE: "CredentialElsewhere", Tenants, Either,
        "its credential is in another place than those that are written from here",
        "take it from there, or run tenantdb there";
    LOGIN_LOST: "LoginLost", Tenants, Either,
        "its login was taken away, and its credential is in another place",
        "apply it from where its credential is";
    LOGIN_UNPROVED: "LoginUnproved", Tenants, Nobody,
        "all sessions that a new login may have were in use: no more than its password was tried",
        "nothing";
    ENDPOINT_UNPROVED: "EndpointUnproved", Tenants, Platform,
        "a new credential could not be tried at an address that applications are told",
        "see whether the server's `publish` is right; where only applications get there, nothing";

    // Of what somebody asked for.
    LEFT_BEHIND: "LeftBehind", Request, Either,
        "it was deleted before, and its policies left it behind",
        "remove it for good with the message's command";
    ALREADY_GONE: "AlreadyGone", Request, Nobody, "nothing of it is on the server", "nothing";
}
