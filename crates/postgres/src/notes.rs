//! What a plan tells of a PostgreSQL server or a tenant on it, and no step mends. The texts are Markdown of
//! docs/reference/conditions.md.

pub(crate) use tenantdb_core::notes::{
    ALREADY_GONE, CREDENTIAL_ELSEWHERE, DRIFTED, ENDPOINT_UNPROVED, LEDGER_RESTORED, LEFT_BEHIND, LOGIN_LOST,
    LOGIN_UNPROVED, MISSING, PAUSED,
};

tenantdb_core::notes! {
    // Of a server.
    SYSTEM_DATABASES_OPEN: "SystemDatabasesOpen", Servers, Platform,
        "tenants can connect to the databases that come with the server",
        "the message has the statements; see [security](../security.md#what-postgresql-cant-prevent)";
    OTHER_DATABASES_OPEN: "OtherDatabasesOpen", Servers, Platform,
        "tenants can connect to databases that tenantdb did not make",
        "let in by name who needs them, then close them with the message's statement";
    ESTATE_SHARED: "EstateShared", Servers, Platform,
        "another login may act as the role that owns all tenants' databases",
        "revoke that, unless it is an administrator of yours";
    CONNECT_FOR_UNUSABLE: "ConnectForUnusable", Servers, Either,
        "a login of `connectFor` is not there, or a tenant's, and is not let in",
        "make the login on the server, or take it out of `connectFor`";
    COLLATION_CHANGED: "CollationChanged", Servers, Platform,
        "the operating system was upgraded below the server, and sorts text otherwise than when a database was made: its \
         indexes on text may miss rows",
        "run the message's statements in each database that it names";

    // Of a credential.
    LEGACY_LOGIN: "LegacyLogin", Tenants, Either,
        "the password from before its [adoption](../guide/adoption.md) still logs in",
        "once nothing uses it, end it with the message's command";

    // Of what others did, and what only a superuser can undo.
    OTHERS_HAVE_ACCESS: "OthersHaveAccess", Tenants, Either,
        "somebody was granted access by hand",
        "declare it in `access`, or revoke it \
         ([drift](../guide/drift.md#what-is-drift-and-what-is-the-tenants-own))";
    MORE_THAN_ITS_OWN: "MoreThanItsOwn", Tenants, Either,
        "a role of it is a member of another, which nothing declares",
        "declare it in `memberOf`, or run the message's statement";
    OWNED_BY_OTHERS: "OwnedByOthers", Tenants, Platform,
        "a further login owns something ([security](../security.md#what-is-isolated))",
        "see what it is, then run the message's statement";
    FOREIGN_OBJECTS: "ForeignObjects", Tenants, Platform,
        "something in its database is somebody else's",
        "hand it over with the message's statements ([adoption](../guide/adoption.md))";
    LEVEL_STAYS: "LevelStays", Tenants, Platform,
        "a role of `access` that is not needed any more is named in a database that is no tenant's",
        "run the message's statement; until then it does no harm";
    SETTING_STAYS: "SettingStays", Tenants, Platform,
        "a setting of a login is not declared, and only a superuser can take it back",
        "run the message's statement";
    PUBLIC_SCHEMA_SHARED: "PublicSchemaShared", Tenants, Platform,
        "before PostgreSQL 15 only a superuser can give the schema `public` to the tenant",
        "nothing, where the tenant has schemas of its own (`schemas`)";

    // Of how it was made.
    MADE_OTHERWISE: "MadeOtherwise", Tenants, Declarer,
        "the database has another encoding or locale than `create` says, which counts only when it is made",
        "set `create` to what it has";
    INIT_CHANGED: "InitChanged", Tenants, Declarer,
        "a script changed since it was run, and is not run again",
        "run it by hand where that is meant ([scripts](../guide/attributes.md#scripts-to-begin-with))";
    INIT_NOT_RUN: "InitNotRun", Tenants, Declarer,
        "a script was not run: the database was there before it, or its credential is in another place",
        "run it by hand where that is meant ([scripts](../guide/attributes.md#scripts-to-begin-with))";
    INIT_UNKNOWN: "InitUnknown", Tenants, Declarer,
        "the ledger was lost, and with it whether a script was run: it counts as run",
        "see whether it was, and run it by hand where it was not";

    // Of what somebody asked for.
    NOTHING_TO_RETIRE: "NothingToRetire", Request, Nobody, "it has no login from before it was adopted", "nothing";
}
