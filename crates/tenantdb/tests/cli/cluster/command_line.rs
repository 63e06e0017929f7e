//! The command line against a cluster: its Secrets, and what its resources say.

use std::collections::BTreeMap;

use serde_json::Value;
use tenantdb_testkit::{Admin, Objects, TestServer};

use super::site::{Site, with_our_kinds};
use crate::access::role;
use crate::everyday::workplace;
use crate::world::{Run, World, query, server_yaml, tenant, tenant_in};

#[test]
fn a_password_is_read_from_a_secret_when_nothing_before_it_is_there() {
    let Some(cluster) = with_our_kinds() else { return };
    let Some(server) = TestServer::try_start(18, Admin::Plain) else { return };
    let secret = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "postgresql", "namespace": "kube-system"},
        "stringData": {"password": server.admin_password(), "empty": ""},
    });
    Objects::of(&cluster).apply(&secret.to_string());
    let mut world = World::new();
    let declared = |key: &str| {
        format!(
            "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {{name: shared}}\nspec:\n  default: true\n  \
             source: {{endpoint: {{host: 127.0.0.1, port: {}}}}}\n  tls: {{mode: disable}}\n  admin:\n    username: {}\n    \
             passwordFrom:\n      - env: FIRST_PASSWORD\n      - secret: {{namespace: kube-system, name: postgresql, key: \
             {key}}}\n",
            server.port(),
            server.admin_username(),
        )
    };
    world.write("server.yaml", &declared("password"));
    let nowhere = world.folder().join("nowhere").display().to_string();
    world.set("KUBECONFIG", &nowhere);
    let tried = world.apply(&tenant("cafe", "{}")).exits(1).stderr;
    // What comes first is enough.
    world.set("FIRST_PASSWORD", server.admin_password());
    world.run_on(&["apply"]).exits(0).says("1 created");
    world.set("FIRST_PASSWORD", "");
    world.set("KUBECONFIG", cluster.kubeconfig().to_str().unwrap());
    world.run_on(&["plan", "--exit-code"]).exits(0);
    world.run_on(&["plan", "--exit-code", "--context", "test"]).exits(0);
    world.run(&["status"]).exits(0).says("cafe");
    let other = world.run_on(&["apply", "--context", "tets"]).exits(1).stderr;
    world.write("server.yaml", &declared("empty"));
    let empty = world.run_on(&["apply"]).exits(1).stderr;
    let folder = world.folder().display().to_string();
    insta::assert_snapshot!([tried, other, empty].join("----\n").replace(&folder, "[folder]"));
}

/// A kubeconfig with two more contexts: `alice` is of a user who may see our resources and nothing else, `nobody` of one
/// who may see nothing.
fn with_others(site: &Site) -> String {
    let text = std::fs::read_to_string(site.cluster.kubeconfig()).unwrap();
    let token = text.split("token: ").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
    site.apply(
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: tenants}, rules: [{apiGroups: \
         [tenantdb.dev], resources: [tenantdatabases, tenantroles], verbs: [get, list]}]}\n---\n\
         {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: alice}, roleRef: {apiGroup: \
         rbac.authorization.k8s.io, kind: ClusterRole, name: tenants}, subjects: [{kind: User, name: alice, apiGroup: \
         rbac.authorization.k8s.io}]}",
    );
    ["alice", "nobody"].iter().fold(text.clone(), |text, name| {
        text.replace("users: [", &format!("users: [{{name: {name}, user: {{token: {token}, as: {name}}}}}, "))
            .replace("contexts: [", &format!("contexts: [{{name: {name}, context: {{cluster: test, user: {name}}}}}, "))
    })
}

/// Somebody's terminal, where the context `test` is the cluster's administrator; the others are of [`with_others`].
struct Desk {
    world: World,
}

impl Desk {
    fn at(site: &Site) -> Self {
        let mut world = workplace(&site.server);
        world.set("KUBECONFIG", world.write("kubeconfig", &with_others(site)).to_str().unwrap());
        Self { world }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.world.run(arguments)
    }

    /// A command about what is declared by this name in the namespace `shop`.
    fn on(&self, command: &str, name: &str, rest: &[&str]) -> Run {
        self.run(&[&[command, name, "--context", "test", "-n", "shop"], rest].concat())
    }

    /// Whoever has a credential in the cluster finds it here.
    fn hands_out_what_the_cluster_has(&self, site: &Site) {
        let printed = self.on("credentials", "cafe", &["--format", "json"]).exits(0).stdout;
        let printed: BTreeMap<String, String> = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed, site.secret("shop", "cafe-secret").unwrap());
        let reporting = self.on("credentials", "cafe", &["--access", "reporting", "--format", "uri"]).exits(0).stdout;
        assert_eq!(reporting.trim(), site.secret("shop", "cafe-secret-reporting").unwrap()["uri"]);
        self.on("connect", "cafe", &["--", "-tAc", "SELECT current_user"]).exits(0).says("cafe");
        let user = ["--access", "reporting", "--", "sh", "-c", "echo $PGUSER"];
        self.on("exec", "cafe", &user).exits(0).says("cafe_reporting_a");
    }

    /// What is asked for in vain, and how that is told.
    fn refusals(&self) -> Vec<String> {
        let refused = [
            (2, self.run(&["status", "caef", "--context", "test"])),
            (2, self.on("credentials", "caef", &[])),
            (2, self.run(&["exec", "cafe", "--context", "alice", "--", "true"])),
            (2, self.on("connect", "cafe", &["--access", "report"])),
            (1, self.on("credentials", "blog", &[])),
            (1, self.on("exec", "erp", &["--", "true"])),
            (1, self.run(&["credentials", "cafe", "-n", "shop", "--context", "alice"])),
            (1, self.run(&["credentials", "cafe", "-n", "shop", "--context", "bob"])),
            (1, self.run(&["status", "--context", "nobody"])),
            (1, self.run(&["status", "-n", "shop", "--context", "nobody"])),
            (2, self.run(&["credentials", "cafe", "--context", "test", "--credentials", "folder"])),
        ];
        let told = refused.map(|(code, run)| {
            let run = run.exits(code);
            assert_eq!(run.stdout, "");
            run.stderr
        });
        told.into()
    }
}

#[test]
fn what_a_cluster_has_is_shown_and_used_from_its_resources() {
    let Some(mut site) = Site::with(18, Admin::Plain) else { return };
    let desk = Desk::at(&site);
    site.namespace("shop");
    site.apply(
        &(tenant_in("shop", "cafe", "{access: [{name: reporting, level: ReadOnly}]}")
            + &tenant_in("shop", "erp", "{adopt: Never}")),
    );
    site.ready("shop", "cafe");
    site.ready("shop", "erp");
    site.apply(&tenant_in("shop", "blog", "{database: cafe}"));
    site.wait_for("tdb", "shop", "blog", "Stalled", "True", "NotAllowed");

    let shown = desk.run(&["status", "--context", "test"]).exits(0);
    let age = regex::Regex::new(r"\b\d+ s +").unwrap();
    let mut told = vec![age.replace_all(&(shown.stdout + &shown.stderr), "[age]  ").into_owned()];
    let json = desk.run(&["status", "blog", "--context", "alice", "-o", "json"]).exits(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["tenants"][0]["state"], &json["tenants"][1]), (&"NotAllowed".into(), &Value::Null));
    desk.hands_out_what_the_cluster_has(&site);
    let password = site.secret("shop", "cafe-secret").unwrap()["password"].clone();

    site.stop();
    site.objects.delete("secret", "shop", "erp-secret");
    told.extend(desk.refusals());
    site.apply(
        "{apiVersion: v1, kind: Secret, metadata: {name: erp-secret, namespace: shop}, stringData: {username: eve}}",
    );
    told.push(desk.on("credentials", "erp", &[]).exits(1).stderr);
    // What was delivered before goes on being of use.
    site.apply(&tenant_in("shop", "cafe", "{comment: Coffee, access: [{name: reporting, level: ReadOnly}]}"));
    told.push(desk.on("credentials", "cafe", &["--format", "json"]).exits(0).says(&password).stderr);
    let told = told.join("----\n");
    assert!(!told.contains(&password));
    insta::assert_snapshot!(told);
}

/// What tells one credential from another.
fn login(credential: &BTreeMap<String, String>) -> [&str; 3] {
    ["username", "password", "generation"].map(|key| credential[key].as_str())
}

/// The credentials of the project that a cluster takes over, by namespace and name; the last one's database is deleted.
const SECRETS: [(&str, &str); 6] = [
    ("default", "cafe-secret"),
    ("default", "cafe-secret-reporting"),
    ("default", "blog-secret"),
    ("default", "erp-secret"),
    ("default", "grafana-role-secret"),
    ("archive", "old-secret"),
];

/// A cluster that takes over what a project has on its server.
struct Takeover {
    site: Site,
    /// The project's folder.
    world: World,
    cafe: String,
    /// What is declared beside it.
    rest: String,
    /// What the project delivered, in the order of [`SECRETS`].
    before: [BTreeMap<String, String>; 6],
}

impl Takeover {
    fn new(site: Site) -> Self {
        let mut world = World::on(&site.server);
        world.set("KUBECONFIG", site.cluster.kubeconfig().to_str().unwrap());
        world.write("tenantdb.yaml", "project: shop\n");
        world.write("server.yaml", &server_yaml(&site.server).replace("name: shared", "name: ours"));
        let cafe = tenant("cafe", "{access: [{name: reporting, level: ReadOnly}]}");
        let rest = tenant("blog", "{credentials: {formats: [cnpg]}}")
            + &tenant("erp", "{credentials: {rotation: {strategy: InPlace}}}")
            + &role("grafana", "{}");
        world.apply(&(cafe.clone() + &rest + &tenant_in("archive", "old", "{deletionProtection: false}"))).exits(0);
        let before = SECRETS.map(|(namespace, name)| world.credential(namespace, name));
        world.run(&["delete", "old", "-n", "archive"]).exits(0);
        Self { site, world, cafe, rest, before }
    }

    fn take(world: &World, more: &[&str]) -> Run {
        let command = ["server", "takeover", "shared", "--context", "test", "--cluster-id", "test", "--from"];
        world.run(&[&command, more].concat())
    }

    /// What is asked for in vain, and how that is told.
    fn refusals(&self, elsewhere: &World) -> Vec<String> {
        let world = &self.world;
        let no_server =
            ["server", "takeover", "shred", "--context", "test", "--cluster-id", "a", "--from", "project:shop"];
        let refused = [
            (2, world.run(&["server", "takeover", "shared", "--context", "test", "--from", "project:shop"])),
            (2, world.run(&no_server)),
            (2, Self::take(world, &["project:shopp", "--yes"])),
            (4, Self::take(world, &["project:shop"])),
            (4, Self::take(elsewhere, &["project:shop", "--yes"])),
            (1, Self::take(world, &["project:shop", "--yes"])),
        ];
        refused.map(|(code, run)| run.exits(code).stderr).into()
    }

    /// All that the project had is the cluster's, with the credentials that were delivered.
    #[track_caller]
    fn is_done(&self) {
        for (kind, name) in [("tdb", "cafe"), ("tdb", "blog"), ("tdb", "erp"), ("tenantrole", "grafana")] {
            self.site.wait_for(kind, "default", name, "Ready", "True", "InSync");
        }
        for ((namespace, name), before) in SECRETS.iter().zip(&self.before) {
            let after = self.site.secret(namespace, name).unwrap();
            assert_eq!(login(&after), login(before), "{name}");
        }
    }

    /// What is not here is made anew when asked for, and the earlier login goes on.
    fn reissues_what_is_not_here(&self, elsewhere: &World) {
        elsewhere.write("tenantdb.yaml", "project: lost\n");
        elsewhere.apply(&tenant("lost", "{}")).exits(0);
        Self::take(&self.world, &["project:lost", "--yes"]).exits(4);
        Self::take(&self.world, &["project:lost", "--yes", "--reissue"]).exits(0);
        self.site.apply(&tenant("lost", "{}"));
        self.site.ready("default", "lost");
        let earlier = elsewhere.delivered("lost");
        let anew = self.site.secret("default", "lost-secret").unwrap();
        assert_ne!(login(&earlier), login(&anew));
        for credential in [&earlier, &anew] {
            assert_eq!(query(&self.site.server, credential, "SELECT current_user"), Ok("lost".to_owned()));
        }
    }

    /// A cluster that has another id from now on hands its Secrets over.
    fn takes_another_id_and_back(&mut self) {
        self.site.stop();
        for (from, to) in [("cluster:test", "other"), ("cluster:other", "test")] {
            let arguments = ["--context", "test", "--cluster-id", to, "--from", from, "--yes"];
            self.world.run(&[&["server", "takeover", "shared"], &arguments[..]].concat()).exits(0);
        }
        self.site.start();
        self.site.apply(&self.cafe.replace("{access", "{connectionLimit: 5, access"));
    }
}

#[test]
fn a_cluster_takes_over_what_a_project_has_with_every_credential() {
    let Some(site) = Site::with(16, Admin::Plain) else { return };
    let mut takeover = Takeover::new(site);
    let Takeover { site, world, cafe, rest, before } = &takeover;
    world.run(&["orphans", "--context", "test"]).exits(0).says("old").says("project:shop");
    site.apply(cafe);
    site.wait_for("tdb", "default", "cafe", "Stalled", "True", "Conflict");
    let elsewhere = world.another_home();
    let told = takeover.refusals(&elsewhere).join("----\n");
    insta::assert_snapshot!(told.replace(&world.home().display().to_string(), "[home]"));
    site.namespace("archive");

    Takeover::take(world, &["project:shop", "--yes"]).exits(0).says("taken over from project:shop");
    site.apply(rest);
    takeover.is_done();
    let conditions = site.get("tdb", "default", "cafe").unwrap()["status"]["conditions"].to_string();
    assert!(!conditions.contains("Elsewhere"), "{conditions}");
    assert_eq!(query(&site.server, &before[0], "SELECT current_user"), Ok("cafe".to_owned()));
    assert_eq!(site.get("secret", "default", "blog-secret").unwrap()["type"], "kubernetes.io/basic-auth");
    world.run_on(&["apply"]).exits(4).tells("of cluster:test");

    takeover.reissues_what_is_not_here(&elsewhere);
    takeover.takes_another_id_and_back();
    takeover.is_done();
    let log = takeover.site.log();
    assert!(takeover.before.iter().all(|credential| !log.contains(&credential["password"])));
}

/// What the API server keeps is lost, and everything is applied again from where it was declared. One Secret comes from a
/// backup, another is lost as well.
#[test]
fn a_cluster_that_was_built_anew_takes_over_what_it_had() {
    let Some(mut site) = Site::with(18, Admin::Plain) else { return };
    let declared = tenant("cafe", "{access: [{name: reporting, level: ReadOnly}]}") + &tenant("blog", "{}");
    site.apply(&declared);
    site.all_ready(&["cafe", "blog"]);
    let before = site.secrets("default");
    query(&site.server, &before["blog-secret"], "CREATE TABLE posts (id int)").unwrap();
    let backup: Vec<Value> = ["cafe-secret", "cafe-secret-reporting"]
        .map(|name| {
            let mut secret = site.get("secret", "default", name).unwrap();
            for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
                secret["metadata"].as_object_mut().unwrap().remove(field);
            }
            secret
        })
        .into();
    let _lost = site.lose_cluster();
    for secret in &backup {
        site.apply(&secret.to_string());
    }
    site.start();
    site.apply(&declared);
    for name in ["cafe", "blog"] {
        site.wait_for("tdb", "default", name, "Stalled", "True", "Conflict");
        site.wait_to_hear("tdb", "default", name, "another cluster that is called cluster:test as well");
    }
    assert_eq!(site.secret("default", "blog-secret"), None);

    let mut world = World::on(&site.server);
    world.set("KUBECONFIG", site.cluster.kubeconfig().to_str().unwrap());
    let take = ["server", "takeover", "shared", "--context", "test", "--cluster-id", "test", "--from", "cluster:test"];
    world.run(&[&take[..], &["--yes"]].concat()).exits(4).tells("default/blog in Secret default/blog-secret");
    world.run(&[&take[..], &["--yes", "--reissue"]].concat()).exits(0).says("3 databases on shared taken over");
    site.all_ready(&["cafe", "blog"]);
    let after = site.secrets("default");
    for name in ["cafe-secret", "cafe-secret-reporting"] {
        assert_eq!(login(&after[name]), login(&before[name]), "{name}");
    }
    assert_ne!(login(&after["blog-secret"]), login(&before["blog-secret"]));
    for credential in before.values().chain(after.values()) {
        assert!(query(&site.server, credential, "SELECT 1").is_ok(), "{}", credential["username"]);
    }
    assert_eq!(query(&site.server, &after["blog-secret"], "SELECT count(*) FROM posts"), Ok("0".to_owned()));
    let again = world.run(&[&take[..], &["--yes"]].concat()).exits(2);
    insta::assert_snapshot!(again.stderr);
}

#[test]
fn a_build_makes_its_database_through_a_cluster() {
    let Some(mut site) = Site::with(15, Admin::Plain) else { return };
    let mut world = World::new();
    world.set("KUBECONFIG", site.cluster.kubeconfig().to_str().unwrap());
    world.set("NAMESPACE", "shop");
    let ensure = |variables: &[(&str, &str)], more: &[&str]| {
        let mut command = world.command(&[&["ensure", "--context", "test"], more].concat());
        command.envs(variables.iter().copied());
        Run::of(&mut command)
    };
    let (cafe, erp) = (("APP_NAME", "cafe-backend"), ("APP_NAME", "erp-api"));
    let mut told = vec![ensure(&[cafe], &[]).exits(1).stderr];
    site.namespace("shop");
    let made = ensure(&[cafe], &[]).exits(0).says("+ shop/cafe created  # credential in ").tells("waiting up to 120 s");
    let variables = std::fs::read_to_string(world.folder().join(".env")).unwrap();
    let variables: BTreeMap<&str, &str> = variables.lines().filter_map(|line| line.split_once('=')).collect();
    let login = site.secret("shop", "cafe-secret").unwrap();
    assert_eq!(variables["CAFE_POSTGRES_URL"], login["CAFE_POSTGRES_URL"]);
    assert_eq!(
        site.server.psql_as(variables["DB_USER"], variables["DB_PASSWORD"], variables["DB_NAME"], "SELECT 1"),
        Ok("1".to_owned())
    );
    assert!(!(made.stdout + &made.stderr).contains(variables["DB_PASSWORD"]));
    ensure(&[cafe], &[]).exits(0).says("Nothing to do: 1 database is as declared.");
    ensure(&[cafe], &["--format", "env"]).exits(0).says(&format!("DB_PASSWORD='{}'", variables["DB_PASSWORD"]));

    told.push(ensure(&[erp], &[]).exits(4).stderr);
    assert_eq!(site.get("tdb", "shop", "erp"), None);
    told.push(ensure(&[erp, ("SERVICE_DB_USER", "root")], &["--file", "erp.env"]).exits(4).stderr);
    site.apply(&tenant_in("shop", "blog", "{credentials: {rotation: {strategy: Alternate}}}"));
    told.push(ensure(&[("APP_NAME", "blog")], &["--file", "blog.env"]).exits(4).stderr);
    site.stop();
    told.push(ensure(&[("APP_NAME", "late")], &["--file", "late.env", "--timeout", "1s"]).exits(1).stderr);
    let told = told.join("----\n").replace(&world.folder().display().to_string(), "[folder]");
    insta::assert_snapshot!(told);
}
