use serde_json::{Value, json};

use super::*;
use crate::watch::reference::ReferredKind;

/// A cluster as CloudNativePG keeps it.
fn cluster(spec: &Value) -> DynamicObject {
    let object = json!({
        "apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": {"name": "prod", "namespace": "postgres"},
        "spec": spec,
        "status": {
            "currentPrimary": "prod-1", "targetPrimary": "prod-1", "phase": "Cluster in healthy state",
            "readService": "prod-r", "writeService": "prod-rw", "readyInstances": 3, "instances": 3,
            "certificates": {
                "clientCASecret": "prod-ca", "serverCASecret": "prod-ca", "serverTLSSecret": "prod-server",
                "serverAltDNSNames": ["prod-rw", "prod-rw.postgres", "prod-rw.postgres.svc"],
                "expirations": {"prod-ca": "2027-01-01 00:00:00 +0000 UTC"},
            },
        },
    });
    serde_json::from_value(object).unwrap()
}

fn at() -> Reference {
    Reference { kind: ReferredKind::Cnpg, namespace: "postgres".parse().unwrap(), name: "prod".parse().unwrap() }
}

fn source() -> ClusterReference {
    ClusterReference { namespace: at().namespace, cluster: at().name, endpoint: None }
}

fn locate(cluster: &DynamicObject, admin: Option<&str>) -> Located {
    super::locate(cluster, &at(), &source(), admin).unwrap()
}

/// The role of an administrator, with more.
fn role(more: &Value) -> Value {
    let mut role = json!({"name": "admin", "login": true, "createdb": true, "createrole": true,
        "passwordSecret": {"name": "admin-login"}});
    role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"instances": 3, "managed": {"roles": [{"name": "other", "login": true}, role]}})
}

#[test]
fn a_cluster_says_where_it_is_and_who_signed_its_certificate() {
    let located = locate(&cluster(&json!({"enableSuperuserAccess": true})), None);
    assert_eq!(located.address.to_string(), "prod-rw.postgres.svc:5432");
    assert_eq!((&located.published, &located.direct), (&located.address, &None));
    let (authority, mode) = located.authority.unwrap();
    assert_eq!((authority.object.to_string().as_str(), authority.key.as_str()), ("Secret postgres/prod-ca", "ca.crt"));
    assert_eq!(mode, TlsMode::VerifyFull);
}

#[test]
fn tenantdb_may_reach_it_otherwise_than_applications() {
    let endpoint = tenantdb_api::database_server::Endpoint { host: "10.0.0.5".to_owned(), port: 31432 };
    let source = ClusterReference { endpoint: Some(endpoint), ..source() };
    let located = super::locate(&cluster(&json!({})), &at(), &source, None).unwrap();
    assert_eq!(located.address.to_string(), "10.0.0.5:31432");
    assert_eq!(located.published.to_string(), "prod-rw.postgres.svc:5432");
}

#[test]
fn the_superuser_logs_in_where_the_cluster_lets_it() {
    for (spec, secret) in [
        (json!({"enableSuperuserAccess": true}), "prod-superuser"),
        (json!({"enableSuperuserAccess": true, "superuserSecret": {"name": "root"}}), "root"),
    ] {
        for admin in [None, Some("postgres")] {
            let login = locate(&cluster(&spec), admin).login.unwrap();
            assert_eq!(login.secret.to_string(), format!("Secret postgres/{secret}"));
            assert_eq!((login.username_key, login.password_key), ("username", "password"));
        }
    }
    let refused = locate(&cluster(&json!({})), Some("postgres")).login.unwrap_err();
    assert_eq!(refused.kind, tenantdb_core::FailureKind::Waiting);
}

#[test]
fn a_managed_role_logs_in_that_may_do_what_an_administrator_does() {
    let login = locate(&cluster(&role(&json!({}))), Some("admin")).login.unwrap();
    assert_eq!(login.secret.to_string(), "Secret postgres/admin-login");
    for more in
        [json!({"ensure": "absent"}), json!({"login": false}), json!({"createrole": false}), json!({"name": "x"})]
    {
        let refused = locate(&cluster(&role(&more)), Some("admin")).login.unwrap_err();
        let told = format!("{refused}; {}", refused.hint.as_deref().unwrap());
        assert!(told.starts_with("CloudNativePG Cluster postgres/prod has no role `admin`"), "{told}");
    }
}

#[test]
fn what_is_missing_is_shown_as_it_has_to_be_added() {
    let refused = locate(&cluster(&json!({})), None).login.unwrap_err();
    let hint = refused.hint.unwrap();
    assert!(hint.contains("enableSuperuserAccess: true"), "{hint}");
    let (_, snippet) = hint.split_once("\nspec:").unwrap();
    let shown: Value = serde_saphyr::from_str(&format!("spec:{snippet}")).unwrap();
    let located = locate(&cluster(&shown["spec"]), Some(PROPOSED));
    assert_eq!(located.login.unwrap().secret.to_string(), "Secret postgres/tenantdb-admin");
}

#[test]
fn a_membership_that_would_be_taken_back_is_told() {
    let told = |more: Value| locate(&cluster(&role(&more)), Some("admin")).notes.len();
    assert_eq!(told(json!({})), 1);
    assert_eq!(told(json!({"inRoles": ["tenantdb_owner"]})), 0);
    assert_eq!(told(json!({"superuser": true})), 0);
}

#[test]
fn a_cluster_without_a_primary_is_waited_for() {
    let begun = json!({"metadata": {"name": "prod"}, "spec": {}, "status": {"phase": "Setting up primary"}});
    for (object, told) in [
        (begun, "Setting up primary"),
        (json!({"metadata": {"name": "prod"}, "spec": {}}), "no status"),
        (json!({"metadata": {"name": "prod"}, "spec": {"managed": null}, "status": null}), "no status"),
        (json!({"metadata": {"name": "prod"}, "spec": {"managed": 5}}), "not as its operator makes it"),
    ] {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let failure = super::locate(&object, &at(), &source(), None).unwrap_err();
        assert!(failure.to_string().contains(told), "{failure}");
    }
}
