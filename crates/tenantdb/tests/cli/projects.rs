//! What is no longer declared, was delivered elsewhere, or was declared by somebody else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tenantdb_testkit::{TestServer, on_every_server, on_servers};

use crate::world::{Run, World, query, tenant};

const GOES: &str = "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}";

/// Applies a project's declarations, beside the server's.
fn apply(world: &World, project: &str, tenants: &str, options: &[&str]) -> Run {
    world.write(&format!("{project}/tenantdb.yaml"), &format!("project: {project}\n"));
    fs::copy(world.folder().join("server.yaml"), world.folder().join(project).join("server.yaml")).unwrap();
    world.write(&format!("{project}/databases.yaml"), tenants);
    world.run(&[&["apply", "-f", project], options].concat())
}

fn databases(server: &TestServer) -> String {
    server.psql(
        "postgres",
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database \
         WHERE NOT datistemplate AND datname NOT IN ('postgres', 'tenantdb')",
    )
}

on_every_server! {
    fn only_what_the_project_itself_declares_no_more_is_pruned(server: TestServer) {
        let world = World::on(&server);
        let shop = tenant("cafe", GOES) + &tenant("old", GOES) + &tenant("kept", "{}") + &tenant("left", "{deletionProtection: false}");
        apply(&world, "shop", &shop, &[]).exits(0);
        apply(&world, "bank", &(tenant("erp", GOES) + &tenant("ledger-db", GOES)), &[]).exits(0);
        server.psql("postgres", "CREATE DATABASE handmade");
        // Without consent nothing goes; the rest is done.
        let changed = tenant("cafe", "{connectionLimit: 3, deletionProtection: false}");
        let asked = apply(&world, "shop", &changed, &["--prune"]).exits(4);
        let asked = asked.tells("no longer declared: default/kept, default/left, default/old");
        asked.tells("default/old: needs consent").tells("default/left: needs consent").says("~ default/cafe changed");
        assert_eq!(databases(&server), "cafe erp handmade kept ledger-db left old");
        world.run(&["plan", "-f", "shop", "--prune", "--exit-code"]).exits(4).says("- database old, with all its data");
        let pruned = apply(&world, "shop", &changed, &["--prune", "--yes"]).exits(4);
        let pruned = pruned.says("- default/old deleted").says("~ default/left orphaned").says("no longer declared, as its policies say");
        pruned.tells("default/kept: it is no longer declared, and protected from deletion");
        assert_eq!(databases(&server), "cafe erp handmade kept ledger-db left");
        assert!(!world.credential_path("default", "old-secret").exists());
        assert!(world.credential_path("default", "left-secret").exists());
        // What is left behind is not pruned again.
        let again = apply(&world, "shop", &(changed + &tenant("kept", "{}")), &["--prune", "--yes"]).exits(0);
        again.says("Nothing to do: 2 databases are as declared.");
        let erp = world.delivered("erp");
        assert_eq!(query(&server, &erp, "SELECT 1").unwrap(), "1");
    }

    fn what_was_delivered_elsewhere_is_delivered_here_only_when_asked(server: TestServer) {
        let world = World::on(&server);
        world.write("tenantdb.yaml", "project: shop\n");
        world.apply(&tenant("cafe", "{}")).exits(0);
        let first = world.delivered("cafe");
        let other = world.another_home();
        other.apply(&tenant("cafe", "{}")).exits(0).tells("CredentialElsewhere");
        assert!(!other.credential_path("default", "cafe-secret").exists());
        other.run_on(&["apply", "--reissue"]).exits(0).says("asked for here as well");
        let second = other.delivered("cafe");
        assert_eq!((second["username"].as_str(), second["generation"].as_str()), ("cafe_b", "2"));
        // Both log in, and neither is touched by the next run of either.
        for credential in [&first, &second] {
            assert_eq!(query(&server, credential, "SELECT current_user").unwrap(), "cafe");
        }
        other.run_on(&["apply", "--reissue", "--refresh"]).exits(0).says("Nothing to do");
        world.run_on(&["apply", "--refresh"]).exits(0).says("Nothing to do").tells("CredentialElsewhere");
        assert_eq!((world.delivered("cafe"), other.delivered("cafe")), (first, second));
    }
}

on_servers! {
    [15 Plain, 18 Plain]

    fn another_projects_databases_are_taken_over_as_they_are(server: TestServer) {
        let world = World::on(&server);
        let both = tenant("cafe", "{}") + &tenant("erp", "{}");
        apply(&world, "lost", &both, &[]).exits(0);
        let before = world.delivered("cafe");
        apply(&world, "found", &both, &[]).exits(4).tells("belongs to TenantDatabase default/cafe of project:lost");
        world.write("tenantdb.yaml", "project: found\n");
        let take = ["server", "takeover", "shared", "--from"];
        let taking = |from: &str, options: &[&str]| world.run(&[&take[..], &[from], options].concat());
        taking("project:lots", &["--yes"]).exits(2).tells("project:lots has nothing on shared").tells("did you mean `project:lost`?");
        taking("project:found", &["--yes"]).exits(2).tells("is already who you are here");
        taking("lost", &["--yes"]).exits(2);
        taking("project:lost", &[]).exits(4).tells("default/cafe, default/erp").tells("needs consent");
        taking("project:lost", &["--yes"]).exits(0).says("2 databases on shared taken over from project:lost");
        apply(&world, "found", &both, &["--refresh"]).exits(0).says("Nothing to do: 2 databases are as declared.");
        assert_eq!(world.delivered("cafe"), before);
        apply(&world, "lost", &both, &[]).exits(4).tells("belongs to TenantDatabase default/cafe of project:found");
        world.run(&["history", "cafe"]).exits(0).says("taken over from project:lost");
        taking("project:lost", &["--yes"]).exits(2).tells("nobody but you has anything there");

        // What was delivered to a folder goes along when that is named.
        let erp = tenant("shop", GOES);
        apply(&world, "third", &erp, &["--credentials", "folder"]).exits(0).says("1 created");
        taking("project:third", &["--yes", "--credentials", "folder"]).exits(0);
        let again = apply(&world, "found", &(both + &erp), &["--credentials", "folder"]).exits(0);
        again.says("Nothing to do: 3 databases are as declared.");
        world.run(&["delete", "shop", "--yes", "--credentials", "folder"]).exits(0).says("- credential in ");
        assert!(!world.folder().join("folder/default/shop-secret.env").exists());
    }

    fn credentials_in_a_folder_of_their_own_are_a_place_like_any_other(server: TestServer) {
        let world = World::on(&server);
        let cafe = tenant("cafe", "{database: \"it's\", deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}");
        let there = ["--credentials", "secrets"];
        world.declare(&cafe);
        world.run_on(&[&["apply"], &there[..]].concat()).exits(0).says("secrets/default/cafe-secret.env");
        let path = world.folder().join("secrets/default/cafe-secret.env");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let shell = format!(". {} && printf '%s|%s' \"$DB_NAME\" \"$DB_PASSWORD\"", path.display());
        let read = String::from_utf8(Command::new("sh").args(["-c", &shell]).output().unwrap().stdout).unwrap();
        let (database, password) = read.split_once('|').unwrap();
        assert_eq!(database, "it's");
        assert_eq!(server.psql_as("it's_a", password, "it's", "SELECT current_user"), Ok("it's".to_owned()));
        world.run_on(&[&["apply", "--refresh"], &there[..]].concat()).exits(0).says("Nothing to do");
        world.run_on(&["apply"]).exits(0).tells("CredentialElsewhere").says("Nothing to do");
        world.run(&["credentials", "cafe"]).exits(2).tells("no credential of default/cafe");
        world.run(&[&["credentials", "cafe"], &there[..]].concat()).exits(0).says("DB_NAME='it'\\''s'");
        let exec = ["exec", "cafe", "--credentials", "secrets", "--", "sh", "-c", "printf %s \"$PGUSER\""];
        assert_eq!(world.run(&exec).exits(0).stdout, "it's_a");
        // The folder is the place, wherever it is moved to.
        fs::rename(world.folder().join("secrets"), world.folder().join("moved")).unwrap();
        world.run_on(&["apply", "--refresh", "--credentials", "moved"]).exits(0).says("Nothing to do");
        world.run(&["delete", "cafe", "--yes", "--credentials", "moved"]).exits(0);
        assert!(!world.folder().join("moved/default/cafe-secret.env").exists());
    }

    fn what_both_have_is_not_taken_over(server: TestServer) {
        let world = World::on(&server);
        apply(&world, "one", &(tenant("cafe", "{}") + &tenant("erp", "{}")), &[]).exits(0);
        let other = world.another_home();
        apply(&other, "two", &tenant("cafe", "{database: cafe2}"), &[]).exits(0);
        other.write("tenantdb.yaml", "project: two\n");
        let refused = other.run(&["server", "takeover", "shared", "--from", "project:one", "--yes"]).exits(4);
        refused.tells("project:one and project:two both have default/cafe");
        apply(&world, "one", &(tenant("cafe", "{}") + &tenant("erp", "{}")), &[]).exits(0).says("Nothing to do");
    }
}

on_servers! {
    [18 Plain]

    fn an_empty_project_prunes_nothing(server: TestServer) {
        let world = World::on(&server);
        apply(&world, "shop", &tenant("cafe", GOES), &[]).exits(0);
        let empty = world.untouched(&server, || apply(&world, "shop", "", &["--prune", "--yes"])).exits(2);
        empty.tells("nothing is declared in what was given, so --prune would remove them all");
        world.run(&["plan", "-f", "shop", "--prune"]).exits(2);
    }

    fn a_server_that_nothing_is_declared_for_any_more_is_pruned_as_well(server: TestServer) {
        let other = TestServer::start(server.major(), server.admin());
        let mut world = World::on(&server);
        world.set("OTHER_PASSWORD", other.admin_password());
        let declared = fs::read_to_string(world.folder().join("server.yaml")).unwrap();
        let second = declared
            .replace("name: shared", "name: second")
            .replace("default: true", "default: false")
            .replace(&server.port().to_string(), &other.port().to_string())
            .replace("TEST_ADMIN_PASSWORD", "OTHER_PASSWORD");
        let there = tenant("there", "{server: second, deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}");
        apply(&world, "shop", &format!("{second}\n---\n{}---\n{there}", tenant("cafe", "{}")), &[]).exits(0).says("2 created");
        assert_eq!(databases(&other), "there");
        apply(&world, "shop", &tenant("cafe", "{}"), &["--prune", "--yes"]).exits(0).says("- default/there deleted");
        assert_eq!((databases(&server).as_str(), databases(&other).as_str()), ("cafe", ""));
        other.stop();
        let gone = apply(&world, "shop", &tenant("cafe", "{connectionLimit: 3}"), &["--prune", "--yes"]).exits(1);
        gone.tells("server second").says("~ default/cafe changed");
    }
}
