//! `TenantDatabase` as a resource of a cluster.

use crate::kinds::resource::{Column, Resource, Rule, Scope, kept};

/// What Kubernetes is told of it.
pub const RESOURCE: Resource = Resource {
    kind: "TenantDatabase",
    plural: "tenantdatabases",
    short_names: &["tdb"],
    scope: Scope::Namespaced,
    description: "One application's database, its logins and where their credential goes.",
    columns: &[
        Column::READY,
        Column::REASON,
        Column::text("Server", ".status.server"),
        Column::text("Database", ".status.database"),
        Column::text("Secret", ".status.secretName"),
        Column::text("Owner", ".status.owner").wide(),
        Column::text("Version", ".status.serverVersion").wide(),
        Column::AGE,
    ],
    rules: &[
        &[
            // What was refused so far can still be corrected.
            Rule::new("", kept!("server"), "`server` can't change: a database moves by a migration"),
            Rule::new("", kept!("database"), "`database` can't change: a database moves by a migration"),
            Rule::new("", kept!("owner"), "`owner` can't change: what is in the database is owned by it"),
            Rule::new("spec", "!has(self.contact) || size(self.contact) == 0", "`contact` is not supported yet"),
            Rule::new("spec", "!has(self.sizeLimit)", "`sizeLimit` is not supported yet"),
            Rule::new(
                "spec",
                "!has(self.init) || size(self.init) == 0 || self.credentials.mode != 'None'",
                "scripts run logged in as the tenant, and `credentials.mode: None` has no password",
            ),
            Rule::new(
                "spec.init[]",
                "has(self.configMap) && !has(self.file)",
                "a custom resource names a `configMap` of its namespace; `file` is the command line's",
            ),
            Rule::new(
                "spec.access[]",
                "has(self.name) != has(self.role)",
                "exactly one of `name`, a login of its own, and `role`, a TenantRole as namespace/name",
            ),
            Rule::new(
                "spec.access[]",
                "!has(self.name) || !(self.name in ['a', 'b', 'c', 'ro', 'rw'])",
                "a, b, c, ro and rw are reserved: their roles' names would be the tenant's own",
            ),
        ],
        &CREDENTIALS,
    ],
};

/// What must agree in `credentials`, of whatever kind.
pub(in crate::kinds) const CREDENTIALS: [Rule; 9] = [
    Rule::new("spec.credentials", "self.mode == oldSelf.mode", "`mode` can't change yet"),
    Rule::new("spec.credentials.rotation", "self.strategy == oldSelf.strategy", "`strategy` can't change yet"),
    Rule::new(
        "spec.credentials.rotation",
        "!has(self.every) && !has(self.grace)",
        "`every` and `grace` are not supported yet",
    ),
    Rule::new("spec.credentials", "!has(self.passwordFrom)", "`passwordFrom` is not supported yet"),
    Rule::new(
        "spec.credentials",
        "self.secretPolicy == 'Create' || has(self.secretName)",
        "`secretPolicy: Merge` and `TakeOver` are about a Secret that is there: set `secretName`",
    ),
    Rule::new(
        "spec.credentials",
        "(self.secretPolicy == 'TakeOver') == has(self.takeOverFrom)",
        "`takeOverFrom` goes with `secretPolicy: TakeOver`, and says which field manager's Secret is taken over",
    ),
    Rule::new(
        "spec.credentials",
        "self.secretPolicy != 'Merge' || !has(self.secretType)",
        "`secretPolicy: Merge` leaves the type of the Secret as it is: leave `secretType` out",
    ),
    Rule::new("spec.credentials", "!has(self.restart) || size(self.restart) == 0", "`restart` is not supported yet"),
    Rule::new(
        "spec.credentials",
        "self.mode != 'None' || self.rotation.strategy != 'InPlace'",
        "`mode: None` has no password that could change in place",
    ),
];
