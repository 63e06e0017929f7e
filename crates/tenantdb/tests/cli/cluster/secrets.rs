//! Secrets that are somebody else's: keys are added to them, or they are taken over, where everybody allows it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tenantdb_testkit::{Admin, wait_until};

use super::site::{PATIENCE, Site};
use crate::docs::{Page, root};
use crate::world::{World, query, tenant, tenant_in};

const ALLOWED: &str = "    secretPolicies: [Create, Merge, TakeOver]\n";

/// With which all of a database goes.
const GOES: &str =
    r#"{"spec": {"deletionProtection": false, "dbDeletionPolicy": "Delete", "roleDeletionPolicy": "Delete"}}"#;

/// A site whose server lets others' Secrets be written.
fn site(major: u32) -> Option<Site> {
    let site = Site::with(major, Admin::Plain)?;
    site.apply(&site.server_yaml("").replace("  allow: {unprotected: true}\n", &format!("  allow:\n{ALLOWED}")));
    Some(site)
}

/// Makes these the keys of a Secret that are this field manager's.
fn made_by(site: &Site, manager: &str, name: &str, data: &[(&str, &str)]) {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let value = |(key, value): &(&str, &str)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec()));
    let secret = Secret { metadata, data: Some(data.iter().map(value).collect()), ..Secret::default() };
    let manifest = serde_json::to_string(&secret).unwrap();
    let manager = format!("--field-manager={manager}");
    let output = site.cluster.try_kubectl(&["apply", "--server-side", &manager, "-f", "-"], &manifest);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn merging(name: &str, secret: &str) -> String {
    tenant(name, &format!("{{credentials: {{secretName: {secret}, secretPolicy: Merge, formats: [env]}}}}"))
}

fn message(site: &Site, name: &str) -> String {
    site.cluster.kubectl(&["get", "tdb", name, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].message}"])
}

/// The keys of a Secret.
fn keys_of(found: &BTreeMap<String, String>) -> Vec<&str> {
    found.keys().map(String::as_str).collect()
}

#[test]
fn keys_are_added_to_the_secret_of_somebody_else_and_taken_out_in_the_end() {
    let Some(site) = site(18) else { return };
    site.apply(&merging("cafe", "app-env"));
    site.wait_for("tdb", "default", "cafe", "Ready", "False", "Waiting");
    assert_eq!(
        message(&site, "cafe"),
        "there is no Secret default/app-env to add its keys to; have it made, or leave `secretPolicy: Merge` out"
    );
    wait_until(PATIENCE, || site.log().contains("/namespaces/default/secrets?&fieldSelector=metadata.name%3Dapp-env"));
    made_by(&site, "helm", "app-env", &[("SESSION_KEY", "abc"), ("username", "eve"), ("password", "hers")]);
    site.ready("default", "cafe");
    let found = site.secret("default", "app-env").unwrap();
    let ours = ["DATABASE_URL", "DB_HOST", "DB_NAME", "DB_PASSWORD", "DB_PORT", "DB_USER"];
    assert_eq!(keys_of(&found), [&ours[..], &["SESSION_KEY", "password", "username"]].concat());
    assert_eq!((found["username"].as_str(), found["SESSION_KEY"].as_str()), ("eve", "abc"));
    let logged_in =
        site.server.psql_as(&found["DB_USER"], &found["DB_PASSWORD"], &found["DB_NAME"], "SELECT current_user");
    assert_eq!(logged_in, Ok("cafe".to_owned()));
    let mut world = World::new();
    world.set("KUBECONFIG", site.cluster.kubeconfig().to_str().unwrap());
    let login = world.run(&["credentials", "cafe", "--context", "test", "--format", "json"]).exits(0);
    assert!(login.stdout.contains(&found["DB_PASSWORD"]) && !login.stdout.contains("hers"), "{}", login.stdout);

    // Whoever has the Secret goes on writing theirs.
    made_by(&site, "helm", "app-env", &[("SESSION_KEY", "def")]);
    let kept = site.secret("default", "app-env").unwrap();
    assert_eq!(keys_of(&kept), [&ours[..], &["SESSION_KEY"]].concat());
    assert_eq!(kept["DB_PASSWORD"], found["DB_PASSWORD"]);
    // What of ours somebody takes out comes back as it was, without the others'.
    let _ = site.cluster.kubectl(&["patch", "secret", "app-env", "-p", r#"{"data": {"DB_HOST": null}}"#]);
    wait_until(PATIENCE, || site.secret("default", "app-env").is_some_and(|found| found.contains_key("DB_HOST")));
    assert_eq!(site.secret("default", "app-env").unwrap(), kept);

    let _ = site.cluster.kubectl(&["patch", "tdb", "cafe", "--type=merge", "-p", GOES]);
    let _ = site.cluster.kubectl(&["delete", "tdb", "cafe", "--timeout=60s"]);
    let left = site.get("secret", "default", "app-env").unwrap();
    assert_eq!(left["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["SESSION_KEY"]);
    assert_eq!(
        (&left["metadata"]["annotations"], &left["metadata"]["labels"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
}

#[test]
fn a_key_that_somebody_else_has_is_left_to_them() {
    let Some(site) = site(16) else { return };
    made_by(&site, "helm", "app-env", &[("DB_HOST", "old.example.org")]);
    let before = site.get("secret", "default", "app-env").unwrap();
    site.apply(&merging("cafe", "app-env"));
    site.wait_for("tdb", "default", "cafe", "Ready", "False", "Conflict");
    assert_eq!(site.get("secret", "default", "app-env").unwrap(), before);
    let told = message(&site, "cafe");
    assert!(told.starts_with("Secret default/app-env has the key `DB_HOST` already, which is helm's; "), "{told}");

    // One Secret has the keys of one of ours.
    made_by(&site, "helm", "app-env", &[("SESSION_KEY", "abc")]);
    site.ready("default", "cafe");
    let before = site.get("secret", "default", "app-env").unwrap();
    site.apply(&merging("blog", "app-env").replace("[env]", "[crossplane]"));
    site.wait_for("tdb", "default", "blog", "Ready", "False", "Conflict");
    assert_eq!(site.get("secret", "default", "app-env").unwrap(), before);
    assert!(!site.server.has_database("blog"));

    // Somebody writes over a key of ours: it is theirs from then on, and told.
    let theirs = r#"{"stringData": {"DB_HOST": "evil"}}"#;
    let _ = site.cluster.kubectl(&["patch", "secret", "app-env", "--field-manager=eve", "-p", theirs]);
    site.wait_for("tdb", "default", "cafe", "Ready", "False", "Conflict");
    assert!(message(&site, "cafe").contains("which is eve's"), "{}", message(&site, "cafe"));
}

/// As a backup has it: with labels and annotations, and without what the API server knows of who wrote what.
fn made_again(site: &Site, name: &str) {
    let mut secret = site.get("secret", "default", name).unwrap();
    let metadata = secret["metadata"].as_object_mut().unwrap();
    metadata.retain(|field, _| ["name", "labels", "annotations"].contains(&field.as_str()));
    let _ = site.cluster.kubectl(&["delete", "secret", name]);
    let _ = site.cluster.kubectl_with(&["create", "-f", "-"], &secret.to_string());
}

#[test]
fn a_secret_that_lost_track_of_whose_each_key_is_keeps_all_of_them() {
    let Some(mut site) = site(18) else { return };
    let lost = "has keys that were added, and lost track of which they are";
    for name in ["cafe", "blog"] {
        made_by(&site, "helm", &format!("{name}-env"), &[("SESSION_KEY", "abc")]);
        site.apply(&merging(name, &format!("{name}-env")));
    }
    site.all_ready(&["cafe", "blog"]);

    let kept = site.secret("default", "cafe-env").unwrap();
    let strip = r#"[{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]"#;
    for lose in [&(|| made_again(&site, "cafe-env")) as &dyn Fn(), &|| {
        let _ = site.cluster.kubectl(&["patch", "secret", "cafe-env", "--type=json", "-p", strip]);
    }] {
        lose();
        site.look_closely_at("cafe");
        site.wait_for("tdb", "default", "cafe", "Ready", "False", "Conflict");
        assert!(message(&site, "cafe").contains(lost), "{}", message(&site, "cafe"));
        assert_eq!(site.secret("default", "cafe-env").unwrap(), kept);
    }
    assert_eq!(query(&site.server, &login_of(&kept), "SELECT current_user"), Ok("cafe".to_owned()));
    // What is somebody else's is not deleted either.
    let _ = site.cluster.kubectl(&["patch", "tdb", "blog", "--type=merge", "-p", GOES]);
    site.stop();
    let kept = site.secret("default", "blog-env").unwrap();
    made_again(&site, "blog-env");
    let _ = site.cluster.kubectl(&["delete", "tdb", "blog", "--wait=false"]);
    site.start();
    wait_until(PATIENCE, || site.get("tdb", "default", "blog").is_none());
    assert_eq!(site.secret("default", "blog-env").unwrap(), kept);

    // As the message says: without ours in it, it gets them anew.
    let _ = site.cluster.kubectl(&["delete", "secret", "cafe-env"]);
    made_by(&site, "helm", "cafe-env", &[("SESSION_KEY", "def")]);
    site.look_closely_at("cafe");
    site.ready("default", "cafe");
    let found = site.secret("default", "cafe-env").unwrap();
    assert_eq!(found["SESSION_KEY"], "def");
    assert_eq!(query(&site.server, &login_of(&found), "SELECT current_user"), Ok("cafe".to_owned()));
}

/// The login in the variables of an application.
fn login_of(variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let keys = [("username", "DB_USER"), ("password", "DB_PASSWORD"), ("database", "DB_NAME")];
    keys.map(|(key, variable)| (key.to_owned(), variables[variable].clone())).into()
}

#[test]
fn a_secret_that_is_taken_over_stays_when_what_it_belonged_to_goes() {
    let Some(site) = site(16) else { return };
    site.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: claim}}");
    let owner = site.get("configmap", "default", "claim").unwrap()["metadata"]["uid"].take();
    made_by(&site, "crossplane", "cafe-conn", &[("username", "cafe"), ("password", "theirs")]);
    let owners = serde_json::json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "claim", "uid": owner}]);
    let patch = serde_json::json!({"metadata": {"ownerReferences": owners}}).to_string();
    let _ = site.cluster.kubectl(&["patch", "secret", "cafe-conn", "-p", &patch]);
    let credentials = "{secretName: cafe-conn, secretPolicy: TakeOver, takeOverFrom: crossplane}";
    site.apply(&tenant("cafe", &format!("{{credentials: {credentials}}}")));
    site.ready("default", "cafe");
    let taken = site.get("secret", "default", "cafe-conn").unwrap();
    assert_eq!(taken["metadata"]["ownerReferences"], serde_json::Value::Null);
}

#[test]
fn a_secret_is_taken_over_from_the_one_that_has_all_of_it() {
    let Some(site) = site(15) else { return };
    let keys = [("username", "cafe"), ("password", "theirs"), ("endpoint", "old.example.org"), ("port", "5432")];
    let taking = || {
        let credentials = "{secretName: cafe-conn, secretPolicy: TakeOver, takeOverFrom: crossplane}";
        tenant("cafe", &format!("{{credentials: {credentials}}}"))
    };
    let left_alone = |said: &str| {
        let before = site.get("secret", "default", "cafe-conn").unwrap();
        site.apply(&taking());
        site.wait_to_hear("tdb", "default", "cafe", said);
        assert_eq!(site.get("secret", "default", "cafe-conn").unwrap(), before);
    };
    made_by(&site, "crossplane", "cafe-conn", &[&keys[..], &[("sslmode", "require")]].concat());
    left_alone("has the key `sslmode`, which the credential has not, and which would be lost");
    made_by(&site, "crossplane", "cafe-conn", &keys);
    made_by(&site, "eve", "cafe-conn", &[("note", "hers")]);
    left_alone("has the key `note`, which is eve's, and not crossplane's");
    made_by(&site, "eve", "cafe-conn", &[]);
    site.ready("default", "cafe");
    let found = site.secret("default", "cafe-conn").unwrap();
    assert_eq!(found["username"], "cafe_a");
    assert_eq!(query(&site.server, &found, "SELECT current_user"), Ok("cafe".to_owned()));
    let metadata = site.get("secret", "default", "cafe-conn").unwrap()["metadata"].clone();
    assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "tenantdb");
}

#[test]
fn an_adopted_database_keeps_the_password_in_the_secret_that_is_taken_over() {
    let Some(site) = Site::with(17, Admin::Plain) else { return };
    let allow = format!("  allow:\n    adopt: Existing\n{ALLOWED}");
    site.apply(&site.server_yaml("").replace("  allow: {unprotected: true}\n", &allow));
    let admin = site.server.admin_username();
    site.server.psql(
        "postgres",
        &format!("CREATE ROLE cafe LOGIN PASSWORD 'known-to-pods'; GRANT cafe TO {admin} WITH ADMIN OPTION"),
    );
    site.server.psql("postgres", "CREATE DATABASE cafe OWNER cafe");
    made_by(&site, "terraform", "cafe-conn", &[("username", "cafe"), ("password", "known-to-pods")]);
    let credentials =
        "{secretName: cafe-conn, secretPolicy: TakeOver, takeOverFrom: terraform, rotation: {strategy: InPlace}}";
    site.apply(&tenant("cafe", &format!("{{adopt: Existing, credentials: {credentials}}}")));
    site.ready("default", "cafe");
    let found = site.secret("default", "cafe-conn").unwrap();
    assert_eq!((found["username"].as_str(), found["password"].as_str()), ("cafe", "known-to-pods"));
    assert_eq!(query(&site.server, &found, "SELECT current_user"), Ok("cafe".to_owned()));
}

#[test]
fn who_may_not_write_a_secret_can_not_have_it_written() {
    let Some(site) = site(18) else { return };
    site.namespace("shop");
    site.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: dev, namespace: shop}\nrules:\n  \
         - {apiGroups: [tenantdb.dev], resources: ['*'], verbs: ['*']}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: dev, namespace: shop}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: dev}\n\
         subjects: [{kind: User, name: dev, apiGroup: rbac.authorization.k8s.io}]\n",
    );
    let as_dev = |manifest: &str| {
        let output = site.cluster.try_kubectl(&["apply", "--as=dev", "-f", "-"], manifest);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let spec = |policy: &str, keys: &str| {
        let credentials = format!("secretName: app-env, secretPolicy: {policy}, formats: [env], keys: {keys}");
        tenant_in("shop", "cafe", &format!("{{credentials: {{{credentials}}}}}"))
    };
    let refused = "ValidatingAdmissionPolicy 'tenantdb-secrets' with binding 'tenantdb-secrets' denied request: \
                   `credentials.secretPolicy` has a Secret written that is somebody else's";
    for policy in ["Merge", "TakeOver, takeOverFrom: helm"] {
        let said = as_dev(&spec(policy, "{}"));
        assert!(said.contains(refused), "{said}");
    }
    // Somebody who may asked for it; the keys are still not everybody's to choose.
    site.apply("{apiVersion: v1, kind: Secret, metadata: {name: app-env, namespace: shop}, stringData: {A: b}}");
    site.apply(&spec("Merge", "{}"));
    site.ready("shop", "cafe");
    let said = as_dev(&spec("Merge", "{LD_PRELOAD: '/tmp/{database}.so'}"));
    assert!(said.contains(refused), "{said}");
    // What needs no Secret of others' needs no right; keys that were added stay as they are.
    let _ = as_dev(&spec("Create", "{LD_PRELOAD: '/tmp/{database}.so'}"));
    site.wait_for("tdb", "shop", "cafe", "Ready", "False", "Conflict");
    assert!(!site.secret("shop", "app-env").unwrap().contains_key("LD_PRELOAD"));
}

#[test]
fn nothing_of_others_is_written_where_nobody_asks_who_may() {
    let Some(site) = site(16) else { return };
    made_by(&site, "helm", "app-env", &[("SESSION_KEY", "abc")]);
    let _ = site.cluster.kubectl(&["delete", "validatingadmissionpolicybinding", "tenantdb-secrets"]);
    site.apply(&merging("cafe", "app-env"));
    site.wait_for("tdb", "default", "cafe", "Ready", "False", "NotAllowed");
    assert!(message(&site, "cafe").contains("nobody asks whether who declares `Merge` may write the Secret"));
    assert_eq!(site.secret("default", "app-env").unwrap().len(), 1);
}

#[test]
fn what_the_guide_shows_of_secrets_can_be_applied() {
    let Some(site) = site(17) else { return };
    site.namespace("shop");
    let page = Page::read(&root(), "docs/guide/credentials.md");
    let shown: Vec<&str> =
        page.blocks.iter().filter(|block| block.info == "yaml cluster").map(|block| block.text.as_str()).collect();
    site.apply(&shown.join("---\n"));
    site.wait_for("tdb", "shop", "billing", "Ready", "False", "Waiting");
    site.apply("{apiVersion: v1, kind: Secret, metadata: {name: billing-env, namespace: shop}, stringData: {A: b}}");
    site.ready("shop", "billing");
    site.ready("shop", "reports");
    assert_eq!(shown.len(), 2);
}
