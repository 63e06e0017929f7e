//! What is wrong with the input is told where it stands, and before anything is touched.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tenantdb_testkit::{TestServer, on_servers};

use crate::world::{Run, World, query, server_yaml, tenant};

on_servers! {
    [18 Plain]
    fn wrong_declarations_are_refused_where_they_are_wrong(server: TestServer) {
        let world = World::on(&server);
        for (declared, message, hint) in [
            (tenant("x", "{conectionLimit: 5}"), "unknown field `spec.conectionLimit`", "did you mean `connectionLimit`?"),
            (tenant("x", "{connectionLimit: many}"), "spec.connectionLimit must be a whole number, not the text `many`", ""),
            (tenant("x", "{connectionLimit: \"5\"}"), "spec.connectionLimit must be a whole number", "write it without quotes: `5`"),
            (tenant("x", "{adopt: Everything}"), "spec.adopt must be Never, IfOrphaned or Existing", ""),
            (tenant("X", "{}"), "`X` is not a Kubernetes name", ""),
            (tenant("x", "{database: \"\"}"), "a name can't be empty", ""),
            (tenant("x", "{}") + &tenant("x", "{}"), "TenantDatabase `default/x` is already declared at tenants.yaml:2", ""),
            (tenant("x", "{server: shard}"), "there is no server `shard`", "did you mean `shared`?"),
            (tenant("x", "{access: [{name: ro, level: ReadOnly}]}"), "`ro` is reserved", "give it another name"),
            (tenant("x", "{access: [{name: reporting, level: Readonly}]}"), "spec.access[0].level must be ReadOnly or ReadWrite", ""),
            (tenant("x", "{}").replace("TenantDatabase", "TenantDatabas"), "unknown kind `TenantDatabas`", "did you mean `TenantDatabase`?"),
            (tenant("x", "{}").replace("TenantDatabase", "TenantCache"), "kind TenantCache is not supported yet", ""),
            (tenant("x", "{databases: [{name: y}]}").replace("TenantDatabase", "TenantRole"), "spec.databases[0].level is missing", ""),
            (tenant("x", "{}") + &tenant("x-y", "{owner: x_a}").replace("TenantDatabase", "TenantRole"), "unknown field `spec.owner`", ""),
            (tenant("x", "{}").replace("tenantdb.dev", "example.org"), "objects of `example.org/v1alpha1` are not tenantdb's", ""),
            (tenant("x", "{schemas: [a, a]}"), "the schema `a` is listed twice", ""),
            ("just text".to_owned(), "this is not a declaration", ""),
            ("a: [".to_owned(), "this is not valid YAML", ""),
            (String::new() + "# nothing\n---\n", "", ""),
        ] {
            for command in ["apply", "plan", "delete"] {
                world.write("tenants.yaml", &declared);
                let files = [command, "-f", "tenants.yaml", "-f", "server.yaml"];
                let files = if message.is_empty() { &files[..3] } else { &files[..] };
                let refused = world.untouched(&server, || world.run(files)).exits(2).tells(message).tells(hint);
                let place = if message.is_empty() { "there is no declaration" } else { "--> tenants.yaml:" };
                assert_eq!(refused.tells(place).stdout, "");
                assert!(!world.home().exists(), "{command} left a home behind");
            }
        }
    }

    fn all_that_is_wrong_in_all_files_is_told_at_once(server: TestServer) {
        let world = World::on(&server);
        world.write("a/one.yaml", &(tenant("good", "{}") + &tenant("x", "{databse: y}") + &tenant("y", "{sizeLimit: 1Gi}")));
        world.write("a/deeper/two.json", r#"{"apiVersion": "tenantdb.dev/v1alpha1", "kind": "TenantDatabase", "metadata": {"name": 5}}"#);
        let refused = world.untouched(&server, || world.run(&["apply", "-f", "server.yaml", "-f", "a"])).exits(2);
        for place in ["--> a/one.yaml:10:8", "--> a/one.yaml:15:19", "--> a/deeper/two.json:1:88"] {
            assert!(refused.stderr.contains(place), "no {place} in:\n{}", refused.stderr);
        }
        assert_eq!(refused.stderr.matches("error: ").count(), 3, "{}", refused.stderr);
        // What only shows when all declarations are known is told at once as well, and with the rest.
        let names = tenant("x", "{server: other}") + &tenant("y", "{server: another}") + &tenant("z", "{owner: postgres}");
        world.write("a/one.yaml", &(names + &tenant("x", "{}") + &tenant("w", "{databse: y}")));
        fs::remove_dir_all(world.folder().join("a/deeper")).unwrap();
        let refused = world.untouched(&server, || world.run(&["apply", "-f", "server.yaml", "-f", "a"])).exits(2);
        for message in ["no server `other`", "no server `another`", "name `postgres` is", "already declared at", "unknown field `spec.databse`"] {
            assert!(refused.stderr.contains(message), "no {message} in:\n{}", refused.stderr);
        }
        assert_eq!(refused.stderr.matches("error: ").count(), 5, "{}", refused.stderr);
        // Of a server that is wrong nobody knows what its tenants get.
        world.write("server.yaml", &server_yaml(&server).replace("source:", "sauce:"));
        let refused = world.untouched(&server, || world.run(&["apply", "-f", "server.yaml", "-f", "a", "-f", "missing.yaml"])).exits(2);
        let refused = refused.tells("unknown field `spec.sauce`").tells("unknown field `spec.databse`").tells("can't read missing.yaml");
        assert!(!refused.stderr.contains("no server"), "{}", refused.stderr);
    }

    fn a_password_where_none_belongs_is_not_shown(server: TestServer) {
        let world = World::on(&server);
        let declared = server_yaml(&server).replace("admin: {", "admin: {password: hunter2, ");
        world.write("server.yaml", &declared);
        let refused = world.run(&["plan", "-f", "server.yaml"]).exits(2).tells("unknown field `spec.admin.password`").tells("password: *******,");
        assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    }

    fn what_cant_be_read_is_refused(server: TestServer) {
        let world = World::on(&server);
        fs::write(world.folder().join("latin1.yaml"), b"# gr\xfc\xdfe\n").unwrap();
        symlink("loop.yaml", world.folder().join("loop.yaml")).unwrap();
        symlink("nowhere.yaml", world.folder().join("dangling.yaml")).unwrap();
        world.write("with-a-pipe/tenant.yaml", "");
        mkfifo(&world.folder().join("with-a-pipe/pipe.yaml"), Mode::S_IRWXU).unwrap();
        fs::create_dir_all(world.folder().join("empty/.hidden")).unwrap();
        world.write("empty/.hidden/tenant.yaml", &tenant("hidden", "{}"));
        world.write("empty/readme.md", "not read");
        world.write("blank.yaml", " \n");
        world.write("good.yaml", &tenant("good", "{}"));
        for (file, message) in [
            ("missing.yaml", "can't read missing.yaml: No such file or directory"),
            ("dangling.yaml", "can't read dangling.yaml: No such file or directory"),
            ("loop.yaml", "can't read loop.yaml: Too many levels of symbolic links"),
            ("latin1.yaml", "can't read latin1.yaml: stream did not contain valid UTF-8"),
        ] {
            let refused = world.untouched(&server, || world.run(&["apply", "-f", "server.yaml", "-f", "good.yaml", "-f", file]));
            refused.exits(2).tells(message).tells("hint: ");
        }
        for nothing in ["blank.yaml", "empty", "/dev/null", "with-a-pipe"] {
            world.run(&["apply", "-f", nothing]).exits(2).tells("there is no declaration in what was given");
        }
        world.run(&["apply"]).exits(2).tells("--file <PATH>");
        assert!(!world.home().exists());
    }

    fn a_certificate_that_cant_be_used_is_refused_before_any_server_is_touched(server: TestServer) {
        let world = World::on(&server);
        let second = server_yaml(&server).replace("name: shared", "name: zebra").replace("  default: true\n", "");
        world.write("second.yaml", &second.replace("mode: disable", "caFrom: {file: ca.pem}"));
        let tenants = tenant("cafe", "{server: shared}") + &tenant("erp", "{server: zebra}");
        world.write("tenants.yaml", &tenants);
        let all = ["-f", "server.yaml", "-f", "second.yaml", "-f", "tenants.yaml"];
        for (certificate, message) in
            [(None, "ca.pem: No such file"), (Some("not a certificate"), "no certificate in it"), (Some("-----BEGIN CERTIFICATE-----\n%\n"), "not a PEM certificate")]
        {
            certificate.map(|text| world.write("ca.pem", text));
            for command in ["apply", "plan"] {
                let refused = world.untouched(&server, || world.run(&[&[command], &all[..]].concat())).exits(2);
                refused.tells("server zebra: ").tells(message).tells("--> second.yaml:7:").tells("hint: ");
            }
        }
    }

    fn a_declared_default_wins_over_a_remembered_one(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        world.write("server.yaml", &server_yaml(&server).replace("name: shared", "name: other"));
        world.plan(&tenant("erp", "{}")).exits(3).says("default/erp on other");
        world.write("server.yaml", "# nothing\n");
        world.plan(&tenant("erp", "{}")).exits(3).says("default/erp on shared");
    }

    fn folders_standard_input_and_json_are_declarations_as_well(server: TestServer) {
        let world = World::on(&server);
        world.write("all/server.yml", &server_yaml(&server));
        world.write("all/team/erp/erp.yaml", &tenant("erp", "{}"));
        world.write("all/team/cafe.json", r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "tenantdb.dev/v1alpha1", "kind": "TenantDatabase", "metadata": {"name": "cafe", "namespace": "team"}}]}"#);
        world.write("all/.git/config.yaml", "not: ours");
        world.write("all/notes.txt", "not ours");
        symlink("..", world.folder().join("all/team/back")).unwrap();
        let all = ["-f", "all", "-f", "-"];
        with_stdin(&world, &[&["plan", "--exit-code"], &all[..]].concat(), &tenant("shop", "{}")).exits(3).says("Plan: 3 to create.");
        with_stdin(&world, &[&["apply"], &all[..]].concat(), &tenant("shop", "{}")).exits(0).says("3 created");
        for (namespace, secret) in [("team", "cafe-secret"), ("default", "erp-secret"), ("default", "shop-secret")] {
            query(&server, &world.credential(namespace, secret), "SELECT 1").unwrap();
        }
        let refused = with_stdin(&world, &["apply", "-f", "-"], &tenant("x", "{databse: y}"));
        refused.exits(2).tells("--> <stdin>:5:8");
    }

    fn a_plan_touches_nothing(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("cafe", "{schemas: [app], comment: Orders}") + &tenant("erp", "{}");
        let planned = world.untouched(&server, || world.plan(&declared)).exits(3);
        planned.says("+ database cafe").says("Plan: 2 to create.");
        world.untouched(&server, || world.run(&["plan", "--refresh", "-f", "server.yaml", "-f", "tenants.yaml"])).exits(0);
        assert!(!world.home().join("credentials").exists());
        world.apply(&declared).exits(0).says("2 created");
        server.psql("postgres", "ALTER DATABASE cafe CONNECTION LIMIT 1; ALTER ROLE cafe_a SET work_mem = '1GB'");
        let changed = declared.replace("Orders", "Invoices");
        world.untouched(&server, || world.plan(&changed)).exits(3).says("Invoices");
        world.untouched(&server, || world.run(&["status", "-f", "server.yaml", "-f", "tenants.yaml"])).exits(0).says("Drifted");
    }

    fn no_name_steers_the_terminal(server: TestServer) {
        let world = World::on(&server);
        let (escape, name) = ("\u{1b}]0;owned\u{7}\u{9b}31m", r"\u{1b}]0;owned\u{7}\u{9b}31m");
        let quoted = r#""\e]0;owned\a\x9b31m""#;
        let declared = tenant("cafe", &format!("{{database: {quoted}, comment: {quoted}, schemas: [{quoted}]}}"));
        let runs = [
            world.plan(&declared).exits(3).says(name),
            world.apply(&declared).exits(0),
            world.apply(&declared.replace("comment: \"", "comment: \"new")).exits(0).says("new"),
            world.run(&["status"]).exits(0).says(name),
            world.apply(&tenant("cafe", "{database: cafe}")).exits(4).tells(name),
            world.another_home().apply(&declared).exits(4).tells(name),
            world.apply(&tenant("x", &format!("{{{quoted}: 1}}"))).exits(2).tells(name),
            world.apply(&tenant("x", &format!("{{adopt: {quoted}}}"))).exits(2).tells(name),
            world.apply(&tenant("x", &format!("{{extensions: [{quoted}]}}"))).exits(4).tells(name),
            world.apply(&(declared.clone() + &tenant("x", &format!("{{database: {quoted}}}")))).exits(2).tells(name),
            world.run(&["apply", "-f", escape]).exits(2).tells(name),
            world.run(&["delete", escape]).exits(2),
            world.run(&["credentials", "cafe", "--format", "uri"]).exits(0),
            world.run(&["credentials", "cafe", "--format", "json"]).exits(0),
        ];
        for run in runs {
            let steers = |c: char| c.is_control() && c != '\n';
            assert!(!run.stdout.contains(steers) && !run.stderr.contains(steers), "{run:?}");
        }
    }

    fn files_of_a_declaration_stay_where_it_was_read(server: TestServer) {
        let world = World::new();
        let declared = server_yaml(&server).replace("{env: TEST_ADMIN_PASSWORD}", "{file: password}");
        world.write("platform/server.yaml", &declared);
        world.write("platform/password", &format!("{}\n", server.admin_password()));
        world.write("platform/cafe.yaml", &tenant("cafe", "{}"));
        let here = |folder: &str, arguments: &[&str]| {
            let mut command = world.command(arguments);
            Run::of(command.current_dir(world.folder().join(folder)))
        };
        here("platform", &["apply", "-f", "server.yaml", "-f", "cafe.yaml"]).exits(0).says("1 created");
        here(".", &["status"]).exits(0).says("Ready");
        here(".", &["apply", "-f", "platform/cafe.yaml"]).exits(0).says("Nothing to do");
    }
}

#[test]
fn what_only_looks_makes_no_local_server() {
    let world = World::new();
    let server = "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {name: dev}\n\
                  spec: {default: true, source: {local: {}}}\n";
    world.write("server.yaml", server);
    world.plan(&tenant("cafe", "{}")).exits(3).says("Plan: 1 to create.");
    world.run(&["status", "-f", "server.yaml", "-f", "tenants.yaml"]).exits(0);
    world.run(&["delete", "--yes", "-f", "server.yaml", "-f", "tenants.yaml"]).exits(0).tells("AlreadyGone");
    assert!(!world.home().join("servers").exists());
}

/// Runs the program with a text on its standard input.
fn with_stdin(world: &World, arguments: &[&str], text: &str) -> Run {
    let mut command = world.command(arguments);
    let (reading, mut writing) = std::io::pipe().unwrap();
    writing.write_all(text.as_bytes()).unwrap();
    drop(writing);
    Run::of(command.stdin(Stdio::from(reading)))
}
