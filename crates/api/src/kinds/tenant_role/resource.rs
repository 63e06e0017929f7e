//! `TenantRole` as a resource of a cluster.

use crate::kinds::resource::{Column, Resource, Rule, Scope, kept};
use crate::kinds::tenant_database::CREDENTIALS;

/// What Kubernetes is told of it.
pub const RESOURCE: Resource = Resource {
    kind: "TenantRole",
    plural: "tenantroles",
    short_names: &["trole"],
    scope: Scope::Namespaced,
    description: "A login without a database of its own, such as Grafana's or an exporter's.",
    columns: &[
        Column::READY,
        Column::REASON,
        Column::text("Server", ".status.server"),
        Column::text("Role", ".status.role"),
        Column::text("Secret", ".status.secretName"),
        Column::text("Version", ".status.serverVersion").wide(),
        Column::AGE,
    ],
    rules: &[
        &[
            Rule::new("", kept!("server"), "`server` can't change: a role can't move"),
            Rule::new("", kept!("role"), "`role` can't change: it is in what others granted"),
        ],
        &CREDENTIALS,
    ],
};
