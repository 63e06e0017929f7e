//! What is protected stays, whoever asks: the API server refuses what only the platform may do, and says how to go on.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tenantdb_testkit::{Admin, wait_until};

use super::charts::operator::install;
use super::site::{OPERATOR, PATIENCE, Site};
use crate::world::{query, tenant_in};

/// Somebody who does something to the namespace `shop`.
struct Person {
    what: &'static str,
    user: &'static str,
    /// Their own database.
    database: &'static str,
}

const PEOPLE: [Person; 3] = [
    Person { what: "the namespace's admin", user: "ann", database: "anns" },
    Person { what: "Argo CD", user: "system:serviceaccount:argocd:argocd-application-controller", database: "argos" },
    Person { what: "the platform", user: "pat", database: "pats" },
];

/// All rights in one namespace; all rights everywhere, for a machine and for a person.
const BINDINGS: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: ann, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: User, name: ann, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test-everything}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects:
  - {kind: User, name: pat, apiGroup: rbac.authorization.k8s.io}
  - {kind: ServiceAccount, name: argocd-application-controller, namespace: argocd}
";

/// What somebody tries, in words and as kubectl has it; `NAME` stands for a database.
const ATTEMPTS: [(&str, &[&str]); 6] = [
    ("delete the resource", &["delete", "tdb", "NAME", "-n", "shop", "--wait=false"]),
    ("delete the namespace", &["delete", "namespace", "shop", "--wait=false"]),
    ("delete the definition", &["delete", "crd", "tenantdatabases.tenantdb.dev", "--wait=false"]),
    (
        "take off the finalizer",
        &["patch", "tdb", "NAME", "-n", "shop", "--type=merge", "-p", r#"{"metadata": {"finalizers": null}}"#],
    ),
    (
        "write the status",
        &[
            "patch",
            "tdb",
            "NAME",
            "-n",
            "shop",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status": {"database": "postgres"}}"#,
        ],
    ),
    (
        "take away protection",
        &["patch", "tdb", "NAME", "-n", "shop", "--type=merge", "-p", r#"{"spec": {"deletionProtection": false}}"#],
    ),
];

/// How an attempt came out, in one word.
fn outcome(site: &Site, person: &Person, arguments: &[&str]) -> &'static str {
    let user = format!("--as={}", person.user);
    let mut all = vec![user.as_str()];
    all.extend(arguments.iter().map(|argument| if *argument == "NAME" { person.database } else { *argument }));
    let output = site.cluster.try_kubectl(&all, "");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { "done" } else { why_not(&error) }
}

/// Why something was not done, in a few words.
fn why_not(error: &str) -> &'static str {
    if error.contains("ValidatingAdmissionPolicy 'tenantdb-") {
        return "refused";
    }
    assert!(error.contains("forbidden: User") && error.contains("cannot"), "{error}");
    "no right"
}

/// How it comes out when somebody has helm uninstall the operator; afterwards it is there again.
fn uninstalled(site: &mut Site, person: &Person) -> &'static str {
    let user = format!("--kube-as-user={}", person.user);
    let output = site.cluster.try_helm(&["uninstall", "tenantdb", "-n", OPERATOR, &user]);
    if !output.status.success() {
        return why_not(&String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(site.get("deployment", OPERATOR, "tenantdb"), None);
    assert_eq!(site.get("validatingadmissionpolicy", "", "tenantdb-protection"), None);
    for person in &PEOPLE {
        let found =
            site.get("tdb", "shop", person.database).expect("its definition stays, and so does what is declared");
        assert!(found["metadata"]["deletionTimestamp"].is_null(), "{found}");
        logs_in(site, person);
    }
    site.install_again(install);
    "done"
}

/// Their database is there, with the credential that was delivered.
#[track_caller]
fn logs_in(site: &Site, person: &Person) {
    let login = site.secret("shop", &format!("{}-secret", person.database)).unwrap();
    assert_eq!(query(&site.server, &login, "SELECT current_user"), Ok(person.database.to_owned()));
}

#[test]
fn who_may_do_what_to_a_protected_database() {
    let Some(mut site) = Site::by_helm(18) else { return };
    site.namespace("shop");
    site.apply(BINDINGS);
    let spec = "{dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}";
    site.apply(&PEOPLE.map(|person| tenant_in("shop", person.database, spec)).concat());
    for person in &PEOPLE {
        site.ready("shop", person.database);
    }
    let label = || site.get("namespace", "", "shop").unwrap()["metadata"]["labels"]["tenantdb.dev/protected"].clone();
    wait_until(PATIENCE, || label() == "true");

    let mut table = format!("| | {} |\n|---|---|---|---|\n", PEOPLE.map(|person| person.what).join(" | "));
    for (what, arguments) in ATTEMPTS {
        let outcomes = PEOPLE.map(|person| outcome(&site, &person, arguments));
        writeln!(table, "| {what} | {} |", outcomes.join(" | ")).unwrap();
    }
    let outcomes = PEOPLE.map(|person| uninstalled(&mut site, &person));
    writeln!(table, "| `helm uninstall` | {} |", outcomes.join(" | ")).unwrap();
    let guide = include_str!("../../../../../docs/guide/protection.md");
    assert!(guide.contains(&table), "the guide has another table than\n{table}");

    // Nothing was lost by any of it, and the operator puts right what it says.
    for person in &PEOPLE {
        logs_in(&site, person);
    }
    let held = |name: &str| {
        let finalizers = site.get("tdb", "shop", name).unwrap()["metadata"]["finalizers"].clone();
        finalizers.as_array().is_some_and(|all| all.iter().any(|one| one == "tenantdb.dev/ledger"))
    };
    wait_until(PATIENCE, || held("pats"));
    site.ready("shop", "pats");

    // Without protection it is the namespace's to delete, and goes as its policies say.
    let gone = outcome(&site, &PEOPLE[2], &["delete", "tdb", "NAME", "-n", "shop", "--timeout=60s"]);
    assert_eq!(gone, "done");
    assert!(!site.server.has_database("pats"));
    assert_eq!(site.secret("shop", "pats-secret"), None);
}

/// What Argo CD is told of a database.
fn sync_options(site: &Site) -> Value {
    let annotations = site.get("tdb", "shop", "theirs").unwrap()["metadata"]["annotations"].take();
    annotations["argocd.argoproj.io/sync-options"].clone()
}

/// What somebody is told who applies a manifest, in vain.
#[track_caller]
fn refusal(site: &Site, user: &str, manifest: &str) -> String {
    let user = format!("--as={user}");
    let output = site.cluster.try_kubectl(&["apply", "--server-side", &user, "-f", "-"], manifest);
    assert!(!output.status.success(), "{manifest} was applied");
    String::from_utf8(output.stderr).unwrap()
}

#[track_caller]
fn apply_as(site: &Site, user: &str, manifest: &str) {
    site.cluster.kubectl_with(&["apply", "--server-side", &format!("--as={user}"), "-f", "-"], manifest);
}

#[test]
fn what_is_the_platforms_to_allow_is_refused_to_a_namespace_with_the_way_to_go() {
    let Some(mut site) = Site::with(16, Admin::Plain) else { return };
    site.apply(&site.server_yaml("").replace("unprotected: true", "adopt: Existing"));
    site.namespace("shop");
    site.apply(BINDINGS);
    let open = tenant_in("shop", "scratch", "{deletionProtection: false}");
    let told =
        || site.cluster.try_kubectl(&["apply", "--server-side", "--dry-run=server", "--as=ann", "-f", "-"], &open);
    // The API server takes its time until it knows the kind that the policy reads.
    wait_until(PATIENCE, || !told().status.success());
    assert!(refusal(&site, "ann", &open).contains("DatabaseServer shared takes nothing that is not protected"));
    let argo = PEOPLE[1].user;
    assert!(refusal(&site, argo, &open).contains("`allow.unprotected`"));

    let theirs = tenant_in("shop", "theirs", "{adopt: Existing}");
    assert!(refusal(&site, "ann", &theirs).contains("it needs the verb `adopt` on databaseservers"));
    assert!(refusal(&site, argo, &theirs).contains("it needs the verb `adopt` on databaseservers"));
    apply_as(&site, "pat", &theirs);
    // What is so already may be applied again.
    site.cluster.kubectl_with(&["apply", "--server-side", "--force-conflicts", "--as=ann", "-f", "-"], &theirs);
    site.ready("shop", "theirs");
    assert!(
        refusal(&site, "ann", &tenant_in("shop", "theirs", "{deletionProtection: false}"))
            .contains("the proof of a backup")
    );

    // What nobody made anything of can go.
    apply_as(&site, "ann", &tenant_in("shop", "second", "{database: theirs}"));
    site.wait_for("tdb", "shop", "second", "Stalled", "True", "NotAllowed");
    let _ = site.cluster.kubectl(&["delete", "tdb", "second", "-n", "shop", "--as=ann", "--timeout=60s"]);

    // Where nobody asks, protection is not taken away.
    assert_eq!(sync_options(&site), "Prune=confirm,Delete=confirm");
    site.stop();
    site.guard_no_more("shop", "theirs");
    let _ = site.cluster.kubectl(&[
        "patch",
        "tdb",
        "theirs",
        "-n",
        "shop",
        "--as=ann",
        "--type=merge",
        "-p",
        r#"{"spec": {"deletionProtection": false}}"#,
    ]);
    site.start();
    site.wait_for("tdb", "shop", "theirs", "Stalled", "True", "NotAllowed");
    site.wait_to_hear("tdb", "shop", "theirs", "once the admission policies are installed");
    let protection = "SELECT applied->>'deletionProtection' FROM ledger.tenant WHERE name = 'theirs'";
    assert_eq!(site.server.psql("tenantdb", protection), "true");
    assert_eq!(sync_options(&site), "Prune=confirm,Delete=confirm");
    site.install();
    site.ready("shop", "theirs");
    assert_eq!(site.server.psql("tenantdb", protection), "false");
    wait_until(PATIENCE, || sync_options(&site).is_null());
}

/// Takes the finalizer off a resource and deletes it, which nobody stops any more.
fn force_away(site: &Site, name: &str) {
    site.objects.patch("tdb", "shop", name, &json!({"metadata": {"finalizers": null}}));
    site.objects.delete("tdb", "shop", name);
}

#[test]
fn what_is_deleted_by_force_is_left_behind_whatever_its_policies_say() {
    let Some(mut site) = Site::with(18, Admin::Plain) else { return };
    site.namespace("shop");
    let policies = "dbDeletionPolicy: Delete, roleDeletionPolicy: Delete";
    site.apply(&tenant_in(
        "shop",
        "orders",
        &format!("{{{policies}, access: [{{name: reporting, level: ReadOnly}}]}}"),
    ));
    site.apply(&tenant_in("shop", "scratch", &format!("{{deletionProtection: false, {policies}}}")));
    for name in ["orders", "scratch"] {
        site.ready("shop", name);
    }
    let logins = ["orders-secret", "orders-secret-reporting", "scratch-secret"];
    let logins = logins.map(|name| site.secret("shop", name).unwrap());
    site.stop();
    site.guard_no_more("shop", "orders");
    for name in ["orders", "scratch"] {
        force_away(&site, name);
    }
    site.start();
    let phases = "SELECT string_agg(name || access || ' ' || phase, ', ' ORDER BY name, access) FROM ledger.tenant";
    wait_until(PATIENCE, || {
        site.server.psql("tenantdb", phases) == "orders Orphaned, ordersreporting Orphaned, scratch Orphaned"
    });
    for login in &logins {
        assert!(query(&site.server, login, "SELECT 1").is_ok(), "{}", login["username"]);
    }
    // Declared again where it was, it comes back with its data and its credential.
    site.apply(&tenant_in("shop", "orders", &format!("{{{policies}}}")));
    site.ready("shop", "orders");
    assert_eq!(site.secret("shop", "orders-secret").as_ref(), Some(&logins[0]));
}

#[test]
fn a_namespace_that_is_made_again_does_not_get_what_the_earlier_one_had() {
    let Some(mut site) = Site::with(16, Admin::Plain) else { return };
    site.cluster.start_controllers();
    site.apply(&site.server_yaml("").replace("unprotected: true", "unprotected: true, adopt: Existing"));
    site.namespace("shop");
    site.apply(BINDINGS);
    site.apply(&tenant_in("shop", "orders", "{deletionProtection: false}"));
    site.ready("shop", "orders");
    let earlier = site.secret("shop", "orders-secret").unwrap();
    query(&site.server, &earlier, "CREATE TABLE secrets AS SELECT 42 AS answer").unwrap();
    site.objects.delete("namespace", "", "shop");
    let phase = "SELECT phase FROM ledger.tenant WHERE name = 'orders'";
    assert_eq!(site.server.psql("tenantdb", phase), "Orphaned");

    site.namespace("shop");
    site.apply(BINDINGS);
    apply_as(&site, "ann", &tenant_in("shop", "orders", "{}"));
    site.wait_for("tdb", "shop", "orders", "Stalled", "True", "Conflict");
    site.wait_to_hear(
        "tdb",
        "shop",
        "orders",
        "belongs to shop/orders of an earlier namespace `shop`, which left it behind",
    );
    assert_eq!(site.secret("shop", "orders-secret"), None);
    // Its deletion is nothing to the earlier one's, with whatever finalizer.
    let held = r#"{"metadata": {"finalizers": ["tenantdb.dev/ledger"]}, "spec": {"deletionProtection": false, "dbDeletionPolicy": "Delete", "roleDeletionPolicy": "Delete"}}"#;
    let _ = site.cluster.kubectl(&["patch", "tdb", "orders", "-n", "shop", "--as=ann", "--type=merge", "-p", held]);
    let _ = site.cluster.kubectl(&["delete", "tdb", "orders", "-n", "shop", "--as=ann", "--timeout=60s"]);
    assert_eq!(query(&site.server, &earlier, "SELECT answer FROM secrets"), Ok("42".to_owned()));

    // The platform may give it to them; who had it before gets in no more.
    apply_as(&site, "pat", &tenant_in("shop", "orders", "{adopt: Existing}"));
    site.ready("shop", "orders");
    let now = site.secret("shop", "orders-secret").unwrap();
    assert_eq!(query(&site.server, &now, "SELECT answer FROM secrets"), Ok("42".to_owned()));
    assert!(query(&site.server, &earlier, "SELECT 1").is_err());
}
