//! What declarations refer to: other operators' clusters, Secrets, `ConfigMap`s and the labels of namespaces. It is
//! followed as it comes, changes and goes.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::json;
use tenantdb_testkit::{Admin, Options, TestServer, wait_until};

use super::site::{PATIENCE, Site};
use crate::tls::Authority;
use crate::world::{query, tenant};

/// The kind of another operator, with any fields.
fn kind(group: &str, kind: &str, plural: &str) -> String {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"spec": any, "status": any}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let names = json!({"kind": kind, "plural": plural, "singular": kind.to_lowercase()});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    })
    .to_string()
}

fn install(site: &Site, definition: &str) {
    site.apply(definition);
    site.objects.wait_for_definitions();
}

fn secret(namespace: &str, name: &str, data: &serde_json::Value) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "stringData": data})
        .to_string()
}

/// A server that proves itself by a certificate.
fn encrypted(admin: Admin, (certificate, key): (String, String)) -> Option<TestServer> {
    drop(TestServer::try_start(18, admin)?);
    let options = Options::new(18, admin).setting("ssl", "on");
    let options = options.setting("ssl_cert_file", "test.crt").setting("ssl_key_file", "test.key");
    Some(options.file("test.crt", certificate).file("test.key", key).start())
}

/// A certificate as StackGres makes it, for no host and signed by itself, and its key.
fn self_signed() -> (String, String) {
    let mut params = CertificateParams::new(["stackgres".to_owned()]).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::ContentCommitment, KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A cluster with a role that administers it, as CloudNativePG keeps it.
fn cnpg(namespace: &str, member_of: &str) -> String {
    let role = json!({"name": "admin_user", "login": true, "createdb": true, "createrole": true,
        "inRoles": member_of.split(' ').filter(|role| !role.is_empty()).collect::<Vec<_>>(),
        "passwordSecret": {"name": "admin-login"}});
    json!({
        "apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": {"name": "prod", "namespace": namespace},
        "spec": {"instances": 1, "managed": {"roles": [role]}},
        "status": {"currentPrimary": "prod-1", "writeService": "prod-rw", "certificates": {"serverCASecret": "prod-ca"}},
    })
    .to_string()
}

#[test]
fn a_cluster_of_cloudnativepg_is_followed_from_before_it_is_there() {
    let authority = Authority::new();
    let Some(mut site) = Site::around(|| encrypted(Admin::Plain, authority.issue("127.0.0.1", 2099))) else { return };
    site.namespace("postgres");
    install(&site, &kind("postgresql.cnpg.io", "Cluster", "clusters"));
    site.apply(&format!(
        "{{apiVersion: tenantdb.dev/v1alpha1, kind: DatabaseServer, metadata: {{name: prod}}, spec: {{default: true, \
         source: {{cnpg: {{namespace: postgres, cluster: prod, endpoint: {{host: 127.0.0.1, port: {}}}}}}}, \
         admin: {{username: admin_user}}}}}}",
        site.server.port()
    ));
    site.apply(&tenant("cafe", "{}"));
    site.start();
    site.wait_for("tdb", "default", "cafe", "Reconciling", "True", "Waiting");
    site.wait_to_hear("dbs", "", "prod", "there is no CloudNativePG Cluster postgres/prod");
    site.apply(&cnpg("postgres", ""));
    site.wait_to_hear("dbs", "", "prod", "there is no Secret postgres/prod-ca");
    site.apply(&secret("postgres", "prod-ca", &json!({"ca.crt": authority.certificate()})));
    site.wait_to_hear("dbs", "", "prod", "there is no Secret postgres/admin-login");
    let login = json!({"username": "admin_user", "password": site.server.admin_password()});
    site.apply(&secret("postgres", "admin-login", &login));
    site.ready("default", "cafe");
    let delivered = site.secret("default", "cafe-secret").unwrap();
    assert_eq!((delivered["host"].as_str(), delivered["port"].as_str()), ("prod-rw.postgres.svc", "5432"));
    assert_eq!(delivered["ca.crt"], authority.certificate());
    // What CloudNativePG would take back is told as long as it would; there is nothing else that it could.
    let memberships = "SELECT string_agg(DISTINCT roleid::regrole::text, ' ') FROM pg_auth_members \
                       WHERE member = 'admin_user'::regrole";
    assert_eq!(site.server.psql("postgres", memberships), "tenantdb_owner");
    site.wait_to_hear("dbs", "", "prod", "add `inRoles: [tenantdb_owner]` to its role admin_user");
    site.apply(&cnpg("postgres", "tenantdb_owner"));
    wait_until(PATIENCE, || !site.get("dbs", "", "prod").unwrap()["status"].to_string().contains("inRoles"));
    // What is gone later breaks nothing that works.
    let _ = site.cluster.kubectl(&["delete", "secret", "-n", "postgres", "admin-login", "prod-ca"]);
    let _ = site.cluster.kubectl(&["delete", "clusters.postgresql.cnpg.io", "-n", "postgres", "prod"]);
    site.make("blog", "{}");
}

#[test]
fn a_cluster_of_stackgres_is_found_once_its_kind_is_known() {
    let (certificate, key) = self_signed();
    let Some(mut site) = Site::around(|| encrypted(Admin::Superuser, (certificate.clone(), key))) else { return };
    site.namespace("genfix");
    site.apply(
        "{apiVersion: tenantdb.dev/v1alpha1, kind: DatabaseServer, metadata: {name: dev}, spec: {\
         source: {stackgres: {namespace: genfix, cluster: dev}}}}",
    );
    site.start();
    site.wait_for("dbs", "", "dev", "Reconciling", "True", "Waiting");
    site.wait_to_hear("dbs", "", "dev", "the API server does not know the kind SGCluster; install StackGres");
    install(&site, &kind("stackgres.io", "SGCluster", "sgclusters"));
    let login = json!({"superuser-username": "postgres", "superuser-password": site.server.superuser_password()});
    site.apply(&secret("genfix", "dev", &login));
    site.apply(&secret("genfix", "dev-ssl", &json!({"tls.crt": certificate})));
    let cluster = json!({
        "apiVersion": "stackgres.io/v1", "kind": "SGCluster", "metadata": {"name": "dev", "namespace": "genfix"},
        "spec": {"instances": 1, "postgres": {"version": "16.4"}},
        "status": {"podStatuses": [{"name": "dev-0", "primary": true}], "binding": {"name": "dev-binding"}},
    });
    site.apply(&cluster.to_string());
    // No name of a Service is known outside of a cluster: it is as far as it gets here.
    site.wait_for("dbs", "", "dev", "Ready", "False", "ServerUnreachable");
    site.wait_to_hear("dbs", "", "dev", "dev.genfix.svc:5433");
    let own = json!({"host": "127.0.0.1", "port": site.server.port()});
    site.objects.patch("dbs", "", "dev", &json!({"spec": {"source": {"stackgres": {"endpoint": own}}}}));
    site.wait_for("dbs", "", "dev", "Ready", "True", "Reachable");
    site.make("cafe", "{server: dev}");
    let login = site.secret("default", "cafe-secret").unwrap();
    assert_eq!((login["host"].as_str(), login["port"].as_str()), ("dev.genfix.svc", "5432"));
    assert!(login["uri_direct"].contains("@dev.genfix.svc:5433/cafe"), "past the pooler");
    assert_eq!(login["ca.crt"], certificate);
}

#[test]
fn a_certificate_authority_is_followed_to_whoever_is_given_it() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let Some(mut site) = Site::around(|| encrypted(Admin::Plain, authority.issue("127.0.0.1", 2099))) else { return };
    let store = |site: &Site, certificates: &str| site.store("authority", "ca.crt", certificates);
    site.store_password(site.server.admin_password());
    site.apply(&site.server_yaml("  tls: {caFrom: {configMap: {namespace: default, name: authority}}}\n"));
    site.apply(&tenant("cafe", "{}"));
    site.start();
    site.wait_to_hear("tdb", "default", "cafe", "there is no ConfigMap default/authority");
    store(&site, stranger.certificate());
    site.wait_to_hear("dbs", "", "shared", "certificate");
    store(&site, authority.certificate());
    site.ready("default", "cafe");
    assert_eq!(site.secret("default", "cafe-secret").unwrap()["ca.crt"], authority.certificate());
    let both = format!("{}{}", authority.certificate(), stranger.certificate());
    store(&site, &both);
    let is_given = || site.secret("default", "cafe-secret").unwrap()["ca.crt"] == both;
    wait_until(PATIENCE, is_given);
}

#[test]
fn a_new_password_of_the_administrator_is_taken_before_it_is_needed() {
    let Some(site) = Site::with(18, Admin::Plain) else { return };
    site.make("cafe", "{}");
    site.server.psql("postgres", "ALTER ROLE admin_user PASSWORD 'another-Password-1'");
    site.store_password("another-Password-1");
    wait_until(PATIENCE, || site.log().contains("it is reached anew"));
    site.server.restart();
    site.make("blog", "{}");
    assert!(!site.log().contains("password authentication failed"));
    // Without the Secret it is used as it was.
    site.objects.delete("secret", "kube-system", "postgresql");
    wait_until(PATIENCE, || site.log().contains("it is used as it was"));
    site.make("shop", "{}");
    let login = site.secret("default", "shop-secret").unwrap();
    assert_eq!(query(&site.server, &login, "SELECT current_user"), Ok("shop".to_owned()));
}

#[test]
fn a_database_begins_with_the_scripts_of_its_namespace() {
    let Some(mut site) = Site::around(|| TestServer::try_start(18, Admin::Plain)) else { return };
    let store = |site: &Site, script: &str| site.store("seeds", "seed.sql", script);
    site.store_password(site.server.admin_password());
    site.apply(&site.server_yaml("").replace("unprotected: true", "unprotected: true, init: true"));
    site.start();
    let init = "init: [{configMap: {name: seeds, key: seed.sql}}]";
    site.apply(&(tenant("cafe", &format!("{{{init}}}")) + &tenant("blog", "{}")));
    site.wait_for("tdb", "default", "cafe", "Reconciling", "True", "Waiting");
    site.wait_to_hear("tdb", "default", "cafe", "there is no ConfigMap default/seeds; make it");
    site.ready("default", "blog");
    store(&site, "CREATE TABLE menu (dish text);\n\\d menu\n");
    site.wait_to_hear("tdb", "default", "cafe", "script seeds/seed.sql:2:1: `\\d` is a command of psql");
    assert!(!site.server.has_database("cafe"));
    store(&site, "CREATE TABLE menu (dish text);\nINSERT INTO menu VALUES (current_user);\n");
    site.ready("default", "cafe");
    let login = site.secret("default", "cafe-secret").unwrap();
    assert_eq!(query(&site.server, &login, "SELECT * FROM menu"), Ok("cafe".to_owned()));
    // It ran; that it is gone holds nothing up.
    site.objects.delete("configmap", "", "seeds");
    site.apply(&tenant("cafe", &format!("{{comment: Meals, {init}}}")));
    site.ready("default", "cafe");
    assert_eq!(query(&site.server, &login, "SELECT count(*) FROM menu"), Ok("1".to_owned()));
}

#[test]
fn the_labels_of_a_namespace_decide_what_it_may_ask_for() {
    let Some(mut site) = Site::around(|| TestServer::try_start(16, Admin::Plain)) else { return };
    site.store_password(site.server.admin_password());
    let selector = "unprotected: true, namespaces: {selector: {matchLabels: {team: shop}, matchExpressions: [{key: frozen, \
                    operator: DoesNotExist}]}}";
    site.apply(&site.server_yaml("").replace("unprotected: true", selector));
    site.namespace("shop");
    site.start();
    site.apply(&tenant("cafe", "{}").replace("{name: cafe}", "{name: cafe, namespace: shop}"));
    site.wait_for("tdb", "shop", "cafe", "Stalled", "True", "NotAllowed");
    site.wait_to_hear("tdb", "shop", "cafe", "`allow.namespaces.selector` is `team=shop,!frozen`");
    let _ = site.cluster.kubectl(&["label", "namespace", "shop", "team=shop"]);
    site.ready("shop", "cafe");
    let login = site.secret("shop", "cafe-secret").unwrap();
    let _ = site.cluster.kubectl(&["label", "namespace", "shop", "frozen=yes"]);
    site.wait_for("tdb", "shop", "cafe", "Stalled", "True", "NotAllowed");
    assert_eq!(query(&site.server, &login, "SELECT current_user"), Ok("cafe".to_owned()));
    let _ = site.cluster.kubectl(&["label", "namespace", "shop", "frozen-"]);
    site.ready("shop", "cafe");
}
