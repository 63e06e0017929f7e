use crate::{Diagnostics, Source, parse};

/// What is said about a spec.
fn said(spec: &str) -> Vec<String> {
    let text = format!(
        "apiVersion: tenantdb.dev/v1alpha1\nkind: TenantRole\nmetadata: {{name: grafana, namespace: monitoring}}\n\
         spec: {{{spec}}}\n"
    );
    Diagnostics::messages(parse(&[Source { name: "role.yaml".to_owned(), text }]))
}

#[test]
fn a_role_may_say_nothing_or_everything() {
    assert_eq!(said(""), Vec::<String>::new());
    let full = "server: shared, role: Grafana, reconcile: Observe, deletionProtection: false, roleDeletionPolicy: Delete, \
                connectionLimit: 3, memberOf: [pg_monitor], settings: {statement_timeout: 30s}, \
                databases: [{namespace: home, name: energy, level: ReadOnly}], \
                credentials: {secretName: grafana-db, rotation: {strategy: InPlace}}";
    assert_eq!(said(full), Vec::<String>::new());
}

#[test]
fn what_is_listed_is_listed_once() {
    assert_eq!(said("memberOf: [pg_monitor, pg_monitor]"), ["`pg_monitor` is listed twice"]);
    let twice = "databases: [{name: energy, level: ReadOnly}, {namespace: monitoring, name: energy, level: ReadWrite}]";
    assert_eq!(said(twice), ["`monitoring/energy` is listed twice"]);
}

#[test]
fn settings_and_credentials_follow_the_rules_of_databases() {
    let found = said("settings: {role: postgres}, credentials: {keys: {X: plain}}");
    assert_eq!(found.len(), 2, "{found:?}");
}
