//! What README, docs and examples show is what the program does.

mod conditions;
mod fields;
mod page;
mod sandbox;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

pub use page::Page;
pub use sandbox::{Sandbox, root};
use sandbox::{matches, normalise};
use tenantdb_testkit::{available, query_at};

use crate::drift::kinds;

/// The versions that pages and examples are tried on.
const MAJORS: [u32; 2] = [18, 15];

/// What a page's blocks are; CONTRIBUTING.md says what is done with each.
const BLOCKS: [&str; 10] = [
    "yaml",
    "yaml refused",
    "yaml spec",
    "yaml server",
    "yaml cluster",
    "console",
    "console cluster",
    "sh",
    "text",
    "sql",
];

/// Set, a page whose transcripts are no longer true is rewritten, for a person to look at.
pub const REWRITE: &str = "TENANTDB_REWRITE_DOCS";

macro_rules! pages {
    ($($test:ident: $path:literal,)+) => {
        /// Every page that has a test.
        const PAGES: &[&str] = &[$($path),+];
        $(
            #[test]
            fn $test() {
                check($path);
            }
        )+
    };
}

pages! {
    readme: "README.md",
    contributing: "CONTRIBUTING.md",
    docs_index: "docs/README.md",
    architecture: "docs/architecture.md",
    glossary: "docs/glossary.md",
    security: "docs/security.md",
    guide_first_database: "docs/guide/first-database.md",
    guide_everyday: "docs/guide/everyday.md",
    guide_your_server: "docs/guide/your-server.md",
    guide_adoption: "docs/guide/adoption.md",
    guide_kubernetes: "docs/guide/kubernetes.md",
    guide_operator: "docs/guide/operator.md",
    guide_walkthrough: "docs/guide/walkthrough.md",
    guide_protection: "docs/guide/protection.md",
    guide_build_scripts: "docs/guide/build-scripts.md",
    guide_names: "docs/guide/names.md",
    guide_credentials: "docs/guide/credentials.md",
    guide_access: "docs/guide/access.md",
    guide_attributes: "docs/guide/attributes.md",
    guide_deletion: "docs/guide/deletion.md",
    guide_drift: "docs/guide/drift.md",
    guide_teams: "docs/guide/teams.md",
    guide_recovery: "docs/guide/recovery.md",
    guide_troubleshooting: "docs/guide/troubleshooting.md",
    reference_manifests: "docs/reference/manifests.md",
    reference_conditions: "docs/reference/conditions.md",
    reference_json: "docs/reference/json.md",
    reference_command_line: "docs/reference/command-line.md",
    chart_of_the_operator: "deploy/charts/tenantdb/README.md",
    chart_of_databases: "deploy/charts/tenant-databases/README.md",
    decision_0001: "docs/decisions/0001-a-plan-is-a-pure-function-and-data.md",
    decision_0002: "docs/decisions/0002-engines-use-the-rules-of-custody.md",
    decision_0003: "docs/decisions/0003-the-estate-owns-databases-and-slots-log-in.md",
    decision_0004: "docs/decisions/0004-a-ledger-in-a-database-on-the-server.md",
    decision_0005: "docs/decisions/0005-decode-again-without-what-was-wrong.md",
    decision_0006: "docs/decisions/0006-a-plan-that-could-not-be-made-ends-with-1.md",
    decision_0007: "docs/decisions/0007-one-wait-for-the-disk-ends-a-pass.md",
    decision_0008: "docs/decisions/0008-a-secret-is-made-with-its-credential-in-it.md",
    decision_0009: "docs/decisions/0009-another-operators-cluster-is-followed-and-reached-where-it-says.md",
    decision_0010: "docs/decisions/0010-a-lease-for-each-server-and-one-heartbeat-for-each-replica.md",
    decision_0011: "docs/decisions/0011-what-is-the-platforms-to-do-is-a-verb-on-a-kind-without-namespace.md",
    decision_0012: "docs/decisions/0012-a-claim-knows-where-it-stood.md",
    decision_0013: "docs/decisions/0013-the-secret-tells-which-keys-are-ours.md",
    decision_0014: "docs/decisions/0014-the-front-ends-know-one-trait.md",
}

#[test]
fn every_page_is_tested() {
    let mut found = BTreeSet::new();
    pages_in(&root(), "docs", &mut found);
    pages_in(&root(), "deploy", &mut found);
    found.extend(["README.md", "CONTRIBUTING.md"].map(str::to_owned));
    // Its commands take minutes, and its figures are those of one machine.
    found.remove("docs/performance.md");
    let tested: BTreeSet<String> = PAGES.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(found, tested, "`pages!` in docs.rs lists them all");
}

/// Links to files of the repository lead somewhere.
#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let folder = root().join(page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") {
                continue;
            }
            let target = if file.is_empty() { root().join(page) } else { folder.join(file) };
            let headings = || fs::read_to_string(&target).unwrap_or_default();
            if !target.exists() || !(anchor.is_empty() || headings().lines().any(|line| slug(line) == anchor)) {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_command_has_a_help_to_read() {
    for command in [
        "",
        "init",
        "plan",
        "apply",
        "ensure",
        "status",
        "credentials",
        "connect",
        "exec",
        "rotate",
        "delete",
        "orphans",
        "history",
        "operator",
        "crds",
        "install",
        "schema",
        "completions",
        "man",
        "server",
        "server start",
        "server stop",
        "server status",
        "server forget",
        "server takeover",
        "server accept-ledger",
        "server list",
    ] {
        let words = command.split_whitespace().chain(["--help"]);
        let output = Command::new(env!("CARGO_BIN_EXE_tenantdb")).args(words).env_remove("COLUMNS").output().unwrap();
        let name = format!("help {command}").trim_end().replace(' ', "-");
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
    }
}

/// The reference lists the fields that the program reads, as the types describe them.
#[test]
fn the_reference_lists_every_field() {
    let schema = Command::new(env!("CARGO_BIN_EXE_tenantdb")).arg("schema").output().unwrap().stdout;
    is_filled("docs/reference/manifests.md", |page| fields::filled(page, &serde_json::from_slice(&schema).unwrap()));
}

/// The guide lists the kinds of drift that are tried on every server.
#[test]
fn the_guide_lists_every_kind_of_drift() {
    is_filled("docs/guide/drift.md", |page| with_table(page, "kinds of drift", &kinds::table()));
}

/// The reference lists what the operator says of a resource.
#[test]
fn the_reference_lists_every_condition() {
    is_filled("docs/reference/conditions.md", |page| {
        conditions::tables().iter().fold(page.to_owned(), |page, (name, table)| with_table(&page, name, table))
    });
}

/// A page has the tables that are made for it.
#[track_caller]
fn is_filled(path: &str, filled: impl FnOnce(&str) -> String) {
    let file = root().join(path);
    let page = fs::read_to_string(&file).unwrap();
    let filled = filled(&page);
    if page != filled && std::env::var_os(REWRITE).is_some() {
        fs::write(&file, &filled).unwrap();
    }
    assert!(page == filled, "{path}: the tables are not those that are made; {REWRITE}=1 rewrites them");
}

/// A page with this table between a comment of its name and the next `<!-- end -->`.
fn with_table(page: &str, name: &str, table: &str) -> String {
    let begin = format!("<!-- {name} -->");
    let (before, after) = page.split_once(&begin).unwrap_or_else(|| panic!("the table {name} begins"));
    let (_, after) = after.split_once("<!-- end -->").expect("the table ends");
    format!("{before}{begin}\n\n{table}\n<!-- end -->{after}")
}

/// The architecture leads to files that are there.
#[test]
fn the_architecture_names_files_that_are_there() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    let paths: Vec<&str> = quoted.filter(|text| text.starts_with("crates/") || text.starts_with("deploy/")).collect();
    assert!(paths.len() > 50, "only {} paths", paths.len());
    let missing: Vec<&str> = paths.into_iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The rows of the reference's list of what is not supported yet: each is still refused for that reason.
#[test]
fn what_the_reference_calls_not_supported_yet_is_refused() {
    let text = fs::read_to_string(root().join("docs/reference/manifests.md")).unwrap();
    let (_, list) = text.split_once("## Not supported yet").unwrap();
    let rows = list.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix("` |")?.split_once(" | `"));
    let rows: Vec<(&str, &str)> = rows.collect();
    assert!(rows.len() > 1, "there are no rows");
    let Some(major) = MAJORS.into_iter().find(|major| available(*major)) else { return };
    let sandbox = Sandbox::new(major);
    let mut wrong = Vec::new();
    for (kind, field) in rows {
        sandbox.write("block.yaml", &page::part(kind, field));
        let said = sandbox.shell("tenantdb plan -f block.yaml 2>&1");
        if !said.contains("is not supported yet") {
            wrong.push(format!("{kind} {field}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_example_works_alone_and_after_the_first() {
    let Some(major) = MAJORS.into_iter().find(|major| available(*major)) else { return };
    let sandbox = Sandbox::new(major);
    for path in examples() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let first = if name == "first.yaml" { "" } else { "-f examples/first.yaml" };
        let said = sandbox.shell(&format!("tenantdb apply {first} -f examples/{name} 2>&1; echo exit $?"));
        assert!(said.ends_with("exit 0\n"), "{name}: {said}");
        assert_credentials_log_in(&sandbox);
        let again = sandbox.shell(&format!("tenantdb apply -f examples/{name} 2>&1"));
        assert!(again.starts_with("Nothing to do: "), "{name}: {again}");
    }
}

#[test]
fn the_examples_work_together() {
    for major in MAJORS.into_iter().filter(|major| available(*major)) {
        let sandbox = Sandbox::new(major);
        let said = sandbox.shell("tenantdb apply -f examples/ 2>&1; echo exit $?");
        assert!(said.ends_with("exit 0\n"), "{said}");
        assert_credentials_log_in(&sandbox);
        let declared: usize = examples()
            .iter()
            .map(|path| fs::read_to_string(path).unwrap().matches("\nkind: TenantDatabase").count())
            .sum();
        assert_eq!(sandbox.credentials().len(), declared);
    }
}

#[test]
fn the_demo_finds_true_what_it_claims() {
    let target = Path::new(env!("CARGO_BIN_EXE_tenantdb")).parent().unwrap();
    if !target.ends_with("debug") || !MAJORS.into_iter().any(available) {
        return;
    }
    let output = Command::new(root().join("scripts/demo"))
        .env("CARGO_TARGET_DIR", target.parent().unwrap())
        .env_remove("DEMO_KEEP")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let home = said.lines().next().and_then(|line| line.rsplit_once(' ')).unwrap().1;
    assert!(!Path::new(home).exists(), "{home} was left behind");
}

/// Parses and plans what a page declares, and runs its commands.
fn check(path: &str) {
    let page = Page::read(&root(), path);
    for block in &page.blocks {
        assert!(BLOCKS.contains(&block.info.as_str()), "{path}:{}: a block is one of {BLOCKS:?}", block.line);
    }
    let Some(major) = MAJORS.into_iter().find(|major| available(*major)) else { return };
    declarations(&page, major);
    let commands = page.commands();
    // What needs a cluster is run by the tests of the operator.
    if commands.is_empty() || page.is_of_cluster() {
        return;
    }
    let mut sandbox = Sandbox::new(major);
    if page.blocks.iter().any(|block| block.text.contains("db.example.org")) {
        sandbox = sandbox.with_elsewhere(major);
    }
    if page.blocks.iter().any(|block| block.text.contains("adopt: Existing")) {
        sandbox.makes_by_hand();
    }
    let mut seen = BTreeSet::new();
    for shown in page.declarations() {
        let Some(name) = shown.name else { continue };
        assert!(seen.insert(name.clone()), "{path}: {name} is shown twice; give the second another name");
        sandbox.write(&name, &shown.text);
    }
    compare(&page, &sandbox.run(&commands));
}

/// A page's commands do what it says; they came out like this.
#[track_caller]
pub fn compare(page: &Page, results: &[(i32, String)]) {
    let (path, commands) = (&page.path, page.commands());
    let mut differences = Vec::new();
    let mut outputs = Vec::new();
    for (index, (command, (status, said))) in commands.iter().zip(results).enumerate() {
        let asked = commands.get(index + 1).is_some_and(|next| next.text == "echo $?");
        let tells_why = |shown: &String| shown.contains("error:") || shown.contains("Error from server");
        let shows_why = command.output.as_ref().is_some_and(tells_why);
        let shown = command.output.as_deref().filter(|shown| matches(&normalise(shown), &normalise(said)));
        let at = format!("{path}:{}: $ {}", command.line, command.text);
        if *status != 0 && !asked && !shows_why {
            differences.push(format!("{at}\nended with {status}:\n{said}"));
        } else if command.output.is_some() && shown.is_none() {
            differences.push(format!("{at}\nprints:\n{said}"));
        }
        outputs.push(shown.unwrap_or(said));
    }
    if !differences.is_empty() && std::env::var_os(REWRITE).is_some() {
        page.rewrite(&root(), &mut outputs.into_iter());
    }
    assert!(differences.is_empty(), "{}\n{REWRITE}=1 rewrites the page", differences.join("\n---\n"));
}

/// Every declaration is one that the program takes, or refuses, as the page says; no server is at the other end of an
/// endpoint.
fn declarations(page: &Page, major: u32) {
    let sandbox = Sandbox::new(major);
    sandbox.write("ca.pem", &rcgen::generate_simple_self_signed([]).unwrap().cert.pem());
    sandbox.write("seed.sql", "SELECT 1;");
    for page::Declaration { line, name, text, refused } in page.declarations() {
        if name.is_some_and(|name| name.ends_with("tenantdb.yaml")) {
            continue;
        }
        sandbox.write("block.yaml", &text);
        sandbox.write("local.yaml", page::LOCAL_SERVER);
        let server = if text.contains("kind: DatabaseServer") { "" } else { "-f local.yaml" };
        let elsewhere = text.contains("endpoint:") && text.contains("kind: TenantDatabase");
        assert!(!elsewhere, "{}:{line}: databases and the endpoint they are on go into two blocks", page.path);
        let said = sandbox.shell(&format!("tenantdb plan {server} -f block.yaml 2>&1; echo exit $?"));
        let code = match (refused, text.contains("endpoint:")) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        };
        assert!(said.ends_with(&format!("exit {code}\n")), "{}:{line}: {said}", page.path);
    }
}

fn assert_credentials_log_in(sandbox: &Sandbox) {
    let paths = sandbox.credentials();
    assert!(!paths.is_empty());
    for path in paths {
        let keys: BTreeMap<String, String> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let key = |name: &str| keys.get(name).unwrap_or_else(|| panic!("{}: no {name}", path.display())).as_str();
        let (login, database) = (key("DB_USER"), key("DB_NAME"));
        let question = "SELECT session_user || ' ' || current_user || ' ' || current_database()";
        let said = query_at(key("DB_PORT").parse().unwrap(), login, key("DB_PASSWORD"), database, question);
        let owner = login.strip_suffix("_a").unwrap();
        assert_eq!(said, Ok(format!("{login} {owner} {database}")), "{}", path.display());
    }
}

fn examples() -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    found.sort();
    found
}

fn pages_in(root: &Path, folder: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            pages_in(root, &path, found);
        } else if Path::new(&path).extension().is_some_and(|extension| extension == "md") {
            found.insert(path);
        }
    }
}

/// The anchor of a heading, as forges make it.
fn slug(line: &str) -> String {
    let heading = line.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
