//! `DatabaseServer` as a resource of a cluster.

use crate::kinds::resource::{Column, Resource, Rule, Scope};

/// What Kubernetes is told of it.
pub const RESOURCE: Resource = Resource {
    kind: "DatabaseServer",
    plural: "databaseservers",
    short_names: &["dbs"],
    scope: Scope::Cluster,
    description: "A database server that many tenants share, and what the platform allows on it.",
    columns: &[
        Column::READY,
        Column::REASON,
        Column::text("Engine", ".spec.engine"),
        Column::text("Version", ".status.version"),
        Column { kind: "integer", ..Column::text("Databases", ".status.databases") },
        Column { kind: "boolean", ..Column::text("Default", ".spec.default") },
        Column::text("Endpoint", ".status.endpoint").wide(),
        Column::AGE,
    ],
    rules: &[&[
        Rule::new("spec", "self.engine == 'PostgreSQL'", "only `engine: PostgreSQL` is supported yet"),
        Rule::new(
            "spec",
            "!has(self.source.endpoint) || has(self.admin)",
            "an endpoint needs an administrator: `admin`",
        ),
        Rule::new(
            "spec.source",
            "[has(self.endpoint), has(self.local), has(self.cnpg), has(self.stackgres)].exists_one(given, given)",
            "exactly one of `endpoint`, `local`, `cnpg` and `stackgres`",
        ),
        Rule::new(
            "spec.source",
            "!has(self.local)",
            "`local` is the command line's: a cluster has no place to keep its data",
        ),
        Rule::new(
            "spec",
            "!has(self.admin) || has(self.source.cnpg) || has(self.source.stackgres) || \
             (has(self.admin.passwordFrom) && size(self.admin.passwordFrom) > 0)",
            "`admin.passwordFrom` needs at least one place",
        ),
        Rule::new(
            "spec.admin.passwordFrom[]",
            "(has(self.env) ? 1 : 0) + (has(self.file) ? 1 : 0) + (has(self.secret) ? 1 : 0) == 1",
            "exactly one of `env`, `file` and `secret`",
        ),
        Rule::new(
            "spec.admin.passwordFrom[]",
            "!has(self.secret) || has(self.secret.namespace)",
            "a DatabaseServer has no namespace, so its `secret` names one",
        ),
        Rule::new(
            "spec",
            "!has(self.tls) || !has(self.tls.mode) || \
             (self.tls.mode in ['verify-ca', 'verify-full']) == has(self.tls.caFrom) || \
             (!has(self.tls.caFrom) && (has(self.source.cnpg) || has(self.source.stackgres)))",
            "`caFrom` belongs to the modes that verify, `verify-ca` and `verify-full`",
        ),
        Rule::new(
            "spec.tls.caFrom",
            "[has(self.file), has(self.secret), has(self.configMap)].exists_one(given, given)",
            "exactly one of `file`, `secret` and `configMap`",
        ),
        Rule::new(
            "spec.allow.namespaces",
            "has(self.selector) != (has(self.names) && size(self.names) > 0)",
            "either `names` or a `selector`",
        ),
        Rule::new(
            "spec.allow.namespaces.selector.matchExpressions[]",
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "`In` and `NotIn` have values, and the others none",
        ),
    ]],
};
