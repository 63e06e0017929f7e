use proptest::prelude::*;

use super::*;

/// The first lines of a declaration of each kind.
const SERVER: &str = "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\n";
const TENANT: &str = "apiVersion: tenantdb.dev/v1alpha1\nkind: TenantDatabase\n";

fn source(name: &str, text: impl Into<String>) -> Source {
    Source { name: name.to_owned(), text: text.into() }
}

fn parsed(text: &str) -> Manifests {
    parse(&[source("a.yaml", text)]).unwrap_or_else(|problems| panic!("{problems}"))
}

fn refused(sources: &[Source]) -> String {
    parse(sources).unwrap_err().render(false)
}

/// What is shown for one document.
fn shown(text: impl Into<String>) -> String {
    refused(&[source("a.yaml", text)])
}

#[test]
fn declarations_are_kept_in_their_order_with_their_defaults() {
    let local = format!("{SERVER}metadata: {{name: b}}\nspec: {{source: {{local: {{}}}}}}\n");
    let tenants =
        format!("{TENANT}metadata: {{name: z}}\n---\n{TENANT}metadata: {{name: a, namespace: team}}\nspec:\n");
    let sources = [source("b.yaml", format!("{local}---\n{tenants}")), source("a.yaml", local.replace(": b", ": a"))];
    let manifests = parse(&sources).unwrap();
    let servers: Vec<&str> = manifests.servers.iter().map(|server| server.resource.metadata.name.as_str()).collect();
    assert_eq!(servers, ["b", "a"]);
    let [z, a] = &manifests.tenants[..] else { panic!() };
    assert_eq!((z.resource.metadata().name.as_str(), z.resource.namespace().as_str()), ("z", "default"));
    assert_eq!((a.resource.metadata().name.as_str(), a.resource.namespace().as_str()), ("a", "team"));
    let (Tenant::Database(of_z), Tenant::Database(of_a)) = (&z.resource, &a.resource) else { panic!() };
    assert_eq!(of_a.spec, of_z.spec);
    assert_eq!(a.location(), "b.yaml:10");
    assert_eq!(manifests.servers[1].location(), "a.yaml:1");
    assert!(parse(&[]).unwrap().tenants.is_empty());
}

#[test]
fn a_declaration_points_back_at_its_source() {
    let manifests = parsed(&format!("{TENANT}metadata: {{name: x}}\nspec: {{server: shared}}\n"));
    let tenant = &manifests.tenants[0];
    insta::assert_snapshot!(tenant.error("spec.server", "no server `shared`").render(false));
    assert_eq!(tenant.warning("spec.server", "slow").severity, Severity::Warning);
    let violation = Violation::new("spec.server", "wrong").hint("right");
    assert_eq!(tenant.violation(&violation), tenant.error("spec.server", "wrong").hint("right"));
    assert_eq!(tenant.violation(&violation.on_key()).position.unwrap().column(), 8);
}

#[test]
fn a_synthetic_declaration_has_no_position() {
    let resource = parsed(&format!("{TENANT}metadata: {{name: x}}\n")).tenants.remove(0).resource;
    let tenant = Declared::synthetic(resource);
    assert_eq!(tenant.location(), "<no file>");
    assert_eq!(tenant.error("spec.server", "wrong"), Diagnostic::error("wrong"));
    let violation = Violation::new("spec.server", "wrong").hint("right").on_key();
    assert_eq!(tenant.violation(&violation), Diagnostic::error("wrong").hint("right"));
}

#[test]
fn json_is_a_declaration_as_well() {
    let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "tenantdb.dev/v1alpha1", "kind": "TenantDatabase", "metadata": {"name": "x"}, "spec": {}},
  {"apiVersion": "tenantdb.dev/v1alpha1", "kind": "TenantDatabase", "metadata": {"name": "y"}, "spec": {"schemas": ["a"]}}
]}"#;
    assert_eq!(parsed(text).tenants.len(), 2);
    insta::assert_snapshot!(refused(&[source("a.json", text.replace("schemas", "shemas").replace("\"x\"", "5"))]));
}

#[test]
fn an_unknown_field_names_the_nearest_or_all() {
    insta::assert_snapshot!(shown(format!(
        "{TENANT}metadata: {{name: x}}\nspec:\n  conectionLimit: 5\n  credentials:\n    rotation: {{interval: 30d}}\n"
    )));
}

#[test]
fn a_wrong_type_is_shown_with_what_to_write() {
    insta::assert_snapshot!(shown(format!(
        "{TENANT}metadata: {{name: 5}}\nspec:\n  connectionLimit: \"50\"\n  deletionProtection: no\n  adopt: never\n  extensions: [1.5, [a], {{version: \"1\"}}]\n  settings: {{work_mem: [1], geqo: .nan}}\n"
    )));
}

#[test]
fn all_errors_of_all_documents_and_files_are_shown_at_once() {
    let first = format!(
        "{SERVER}metadata: {{name: Shared}}\nspec:\n  engin: PostgreSQL\n  source:\n    endpoint: {{port: 70000}}\n---\n{TENANT}metadata: {{name: x}}\nspec:\n  sizeLimit: 10Gi\n  schemas: [public]\n  databse: y\n"
    );
    let second = format!("{TENANT}metadata: {{name: y}}\nspec:\n\tserver: a\n---\n{TENANT}spec: {{owner: \"\"}}\n");
    insta::assert_snapshot!(refused(&[source("b.yaml", first), source("a.yaml", second)]));
}

#[test]
fn a_declaration_needs_its_version_and_kind() {
    let texts = [
        "apiVersion: tenantdb.dev/v1\nkind: TenantDatabase\nmetadata: {name: x}\nspec: {x: 1}\n",
        "apiVersion: apps/v1\nkind: Deployment\n",
        "metadata: {name: x}\n",
        "apiVersion: tenantdb.dev/v1alpha1\nkind: Tenantdatabase\n",
        "apiVersion: tenantdb.dev/v1alpha1\nkind: ConfigMap\n",
        "apiVersion: 1.0\nkind: [x]\n",
        "just text\n",
    ];
    insta::assert_snapshot!(shown(texts.join("---\n")));
}

#[test]
fn later_kinds_are_not_supported_yet() {
    for kind in LATER_KINDS {
        let problems = parse(&[source("a.yaml", format!("apiVersion: {API_VERSION}\nkind: {kind}\n"))]).unwrap_err();
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, [format!("kind {kind} is not supported yet")]);
    }
}

#[test]
fn what_comes_later_is_shown_where_it_stands() {
    let server = format!(
        "{SERVER}metadata: {{name: x}}\nspec:\n  engine: Redis\n  source: {{cnpg: {{namespace: a, cluster: b}}}}\n"
    );
    let tenant = format!(
        "{TENANT}metadata: {{name: x}}\nspec:\n  sizeLimit: 10Gi\n  extensions:\n    - {{name: vector, version: \"0.8.0\"}}\n  settings:\n    search_path: app\n  access:\n    - {{name: reporting, level: ReadOnly}}\n  credentials:\n    rotation: {{every: 30d}}\n"
    );
    insta::assert_snapshot!(shown(format!("{server}---\n{tenant}")));
}

#[test]
fn no_two_declarations_are_of_the_same_object() {
    let server = format!("{SERVER}metadata: {{name: x}}\nspec: {{source: {{local: {{}}}}}}\n");
    let tenant = format!("{TENANT}metadata: {{name: x, namespace: team}}\n");
    let other = tenant.replace("team", "other");
    let first = source("a.yaml", format!("{server}---\n{tenant}---\n{other}"));
    assert!(parse(std::slice::from_ref(&first)).is_ok());
    insta::assert_snapshot!(refused(&[first, source("b.yaml", format!("{tenant}---\n{server}"))]));
    let twice = format!("{TENANT}metadata: {{name: x}}\n---\n{TENANT}metadata: {{name: x, namespace: default}}\n");
    assert!(shown(twice).contains("TenantDatabase `default/x` is already declared at a.yaml:1"));
}

#[test]
fn one_server_is_the_default() {
    let server =
        |name| format!("{SERVER}metadata: {{name: {name}}}\nspec:\n  default: true\n  source: {{local: {{}}}}\n");
    insta::assert_snapshot!(shown(format!("{}---\n{}", server("a"), server("b"))));
}

#[test]
fn windows_files_are_read_like_others() {
    let text = format!("\u{feff}{TENANT}metadata: {{name: x}}\nspec:\n  comment: \"😀\"\n  serverr: a\n");
    assert_eq!(shown(text.replace('\n', "\r\n")), shown(text.strip_prefix('\u{feff}').unwrap()));
}

#[test]
fn a_document_that_was_not_decoded_whole_says_nothing_untrue() {
    let text = format!(
        "{SERVER}metadata: {{name: x, namespace: 5}}\nspec:\n  source: {{endpoint: {{host: a}}, cnpg: 5}}\n  admin:\n    username: a\n    passwordFrom: [{{env: 5}}, {{file: a, secret: {{name: b, key: c}}}}]\n  connectFor: [none]\n"
    );
    let problems = parse(&[source("a.yaml", text)]).unwrap_err();
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "metadata.namespace must be text, not the number `5`",
            "spec.source.cnpg must be a mapping, not the number `5`",
            "spec.admin.passwordFrom[0].env must be text, not the number `5`",
            "spec.admin.passwordFrom[1] must have exactly one of env, file and secret",
            "`none` is not the name of a role",
        ]
    );
}

/// What manifests are made of, in any order.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        Just("apiVersion: tenantdb.dev/v1alpha1\n"),
        Just("kind: TenantDatabase\n"),
        Just("kind: DatabaseServer\n"),
        Just("kind: List\nitems:\n- "),
        Just("metadata: {name: x}\n"),
        Just("metadata:\n  name: "),
        Just("spec:\n"),
        Just("spec: {source: {endpoint: {host: a}}, naming: {owner: \"{"),
        Just("  extensions: [a, {name: b"),
        Just("  settings:\n    work_mem: "),
        Just("  credentials:\n    keys: {A: \"{uri}\"}\n"),
        Just("  schemas: &a [public, 5, "),
        Just("*a"),
        Just("<<: "),
        Just("---\n"),
        Just("...\n"),
        Just("%YAML 1.2\n"),
        Just("- "),
        Just(": "),
        Just("|\n"),
        Just("\""),
        Just("'"),
        Just("}"),
        Just("]"),
        Just("\r\n"),
        Just("\t"),
        Just("  "),
        Just("\u{feff}"),
        Just("😀"),
        Just("!!str "),
        Just("~"),
        Just("1e999"),
        Just("# x\n"),
        Just("\n"),
    ];
    proptest::collection::vec(scrap, 0..40).prop_map(|scraps| scraps.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), scraps in scraps()) {
        for text in [text, scraps] {
            if let Err(problems) = parse(&[source("a.yaml", text)]) {
                prop_assert!(problems.has_errors());
                prop_assert!(problems.render(true).contains("error"));
            }
        }
    }

    #[test]
    fn a_damaged_manifest_is_refused_or_read(at in 0_usize..400, damage in any::<char>()) {
        let text = format!("{SERVER}metadata: {{name: a}}\nspec:\n  source: {{local: {{}}}}\n---\n{TENANT}metadata:\n  name: x\nspec:\n  comment: |\n    two\n    lines\n  extensions: [pg_trgm, {{name: vector}}]\n  credentials:\n    keys: {{URL: \"{{uri}}\"}}\n");
        let damaged: String =
            text.chars().enumerate().map(|(index, c)| if index == at { damage } else { c }).collect();
        if let Err(problems) = parse(&[source("a.yaml", damaged)]) {
            prop_assert!(problems.render(false).starts_with("error: "));
        }
    }
}
