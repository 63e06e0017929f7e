use serde_json::{Value, json};

use super::*;
use crate::watch::reference::ReferredKind;

fn at() -> Reference {
    Reference { kind: ReferredKind::StackGres, namespace: "genfix".parse().unwrap(), name: "dev".parse().unwrap() }
}

/// A cluster as StackGres keeps it.
fn locate(spec: &Value, pods: &Value) -> Result<Located, Failure> {
    let object = json!({
        "apiVersion": "stackgres.io/v1", "kind": "SGCluster", "metadata": {"name": "dev", "namespace": "genfix"},
        "spec": spec, "status": {"instances": 2, "podStatuses": pods, "binding": {"name": "dev-binding"}},
    });
    let source = ClusterReference { namespace: at().namespace, cluster: at().name, endpoint: None };
    super::locate(&serde_json::from_value(object).unwrap(), &at(), &source)
}

fn pods() -> Value {
    json!([{"name": "dev-0", "primary": false}, {"name": "dev-1", "primary": true}])
}

#[test]
fn a_cluster_is_reached_past_its_pooler_which_applications_use() {
    let spec = json!({"instances": 2, "postgres": {"version": "17.5", "ssl": {"enabled": true}}});
    let located = locate(&spec, &pods()).unwrap();
    assert_eq!(located.address.to_string(), "dev.genfix.svc:5433");
    assert_eq!(located.published.to_string(), "dev.genfix.svc:5432");
    assert_eq!(located.direct, Some(located.address));
}

#[test]
fn its_superuser_and_its_certificate_are_in_its_secrets() {
    let located = locate(&json!({"postgres": {"version": "latest"}}), &pods()).unwrap();
    let login = located.login.unwrap();
    assert_eq!(login.secret.to_string(), "Secret genfix/dev");
    assert_eq!((login.username_key, login.password_key), ("superuser-username", "superuser-password"));
    let (certificate, mode) = located.authority.unwrap();
    assert_eq!(
        (certificate.object.to_string().as_str(), certificate.key.as_str()),
        ("Secret genfix/dev-ssl", "tls.crt")
    );
    assert_eq!(mode, TlsMode::VerifyCa);
    assert!(locate(&json!({"postgres": {"ssl": {"enabled": false}}}), &pods()).unwrap().authority.is_none());
}

#[test]
fn the_service_is_called_as_patroni_calls_the_cluster() {
    let spec = json!({"configurations": {"patroni": {"initialConfig": {"scope": "main"}}}});
    assert_eq!(locate(&spec, &pods()).unwrap().published.to_string(), "main.genfix.svc:5432");
}

#[test]
fn a_cluster_without_a_primary_or_its_service_is_waited_for() {
    let without = json!({"postgresServices": {"primary": {"enabled": false}}});
    for (spec, pods, told) in [
        (json!({}), json!([]), "SGCluster genfix/dev has no primary yet"),
        (json!({}), json!([{"name": "dev-0", "primary": false}]), "SGCluster genfix/dev has no primary yet"),
        (without, pods(), "SGCluster genfix/dev has no Service that leads to its primary"),
    ] {
        let failure = locate(&spec, &pods).unwrap_err();
        assert_eq!((failure.to_string().as_str(), failure.kind), (told, tenantdb_core::FailureKind::Waiting));
    }
}
