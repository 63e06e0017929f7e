//! Which names a tenant gets, which it can't have, and what happens when two want the same.

use std::fs;

use tenantdb_testkit::{Admin, TestServer, on_servers};

use crate::world::{Run, World, query, server_yaml, tenant, tenant_in};

/// Declared for deletion with everything, if only it were one's own.
const WITHOUT_MERCY: &str =
    "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete, database: cafe}";

on_servers! {
    [18 Plain]
    fn a_name_too_long_for_its_suffixes_is_refused_with_one_that_fits(server: TestServer) {
        let world = World::on(&server);
        let (name, longer, umlauts) = ("x".repeat(61), "y".repeat(90), "ü".repeat(40));
        for (metadata_name, spec, field) in [
            (name.as_str(), String::new(), "owner"),
            (longer.as_str(), String::new(), "database"),
            ("umlauts", format!("database: {umlauts}"), "database"),
            ("roles", format!("owner: {}", "z".repeat(64)), "owner"),
        ] {
            let refused = world.untouched(&server, || world.apply(&tenant(metadata_name, &format!("{{{spec}}}")))).exits(2);
            let fits = quoted_after(&refused.stderr, "A name that fits: `");
            world.apply(&tenant(metadata_name, &format!("{{{field}: {fits}}}"))).exits(0).says("1 created");
        }
    }

    fn names_may_be_as_long_as_they_fit(server: TestServer) {
        let world = World::on(&server);
        let (name, database, owner) = ("n".repeat(246), "d".repeat(63), "o".repeat(60));
        world.apply(&tenant(&name, &format!("{{database: {database}, owner: {owner}}}"))).exits(0).says("1 created");
        let json = world.run(&["credentials", &name, "--format", "json"]).exits(0).stdout;
        let credential = serde_json::from_str(&json).unwrap();
        assert_eq!(query(&server, &credential, "SELECT current_database() || current_user").unwrap(), database + &owner);
    }

    fn a_reserved_name_is_nobodys(server: TestServer) {
        let reserved = ["postgres", "template0", "template1", "tenantdb", "tenantdb_owner", "none", "public", "pg_x"];
        let world = World::on(&server);
        let mut declared = String::new();
        for (index, name) in reserved.iter().enumerate() {
            declared += &tenant(&format!("database-{index}"), &format!("{{database: {name}, owner: role-{index}}}"));
            declared += &tenant(&format!("owner-{index}"), &format!("{{owner: {name}}}"));
        }
        let refused = world.untouched(&server, || world.apply(&declared)).exits(2);
        for name in reserved {
            assert!(refused.stderr.contains(&format!("the database name `{name}` is reserved")), "{}", refused.stderr);
            assert!(refused.stderr.contains(&format!("the role name `{name}` is reserved")), "{}", refused.stderr);
        }
        for name in ["postgres", "template0", "template1", "tenantdb", "none", "public"] {
            world.untouched(&server, || world.apply(&tenant(name, "{}"))).exits(2).tells("is reserved");
        }
        naming(&world, &server, "{database: \"pg_{name}\"}");
        world.untouched(&server, || world.apply(&tenant("x", "{}"))).exits(2).tells("`pg_x` is reserved");
        naming(&world, &server, "{owner: \"tenantdb_{name}\"}");
        world.untouched(&server, || world.apply(&tenant("owner", "{}"))).exits(2).tells("`tenantdb_owner` is reserved");
    }

    fn the_administrators_name_is_nobodys_whichever_login_it_is(server: TestServer) {
        let world = World::on(&server);
        let passwords = "passwordFrom: [{env: NOT_SET, username: \"boss_a\"}, ";
        world.write("server.yaml", &server_yaml(&server).replace("passwordFrom: [", passwords));
        for spec in ["{database: admin_user}", "{owner: admin_user}", "{database: boss_a}", "{owner: boss}"] {
            let refused = world.untouched(&server, || world.apply(&tenant("cafe", spec)));
            refused.exits(2).tells("is the administrator's");
        }
    }

    fn naming_makes_the_names(server: TestServer) {
        let world = World::on(&server);
        naming(&world, &server, "{database: \"{namespace}-{name}\", owner: \"{database}_user\"}");
        let declared = tenant_in("team", "cafe", "{}") + &tenant_in("other", "cafe", "{}") + &tenant_in("team", "erp", "{database: erp}");
        world.apply(&declared).exits(0).says("3 created");
        for (namespace, secret, database) in
            [("team", "cafe-secret", "team-cafe"), ("other", "cafe-secret", "other-cafe"), ("team", "erp-secret", "erp")]
        {
            let credential = world.credential(namespace, secret);
            assert_eq!(credential["database"], database);
            assert_eq!(query(&server, &credential, "SELECT current_user").unwrap(), format!("{database}_user"));
        }
    }

    fn names_stay_what_they_were_when_naming_changes(server: TestServer) {
        let world = World::on(&server);
        naming(&world, &server, "{database: \"{namespace}-{name}\"}");
        let declared = tenant_in("team", "cafe", "{}") + &tenant_in("other", "cafe", "{}");
        world.apply(&declared).exits(0).says("2 created");
        // By the new naming both would be `cafe`, by the next one `pg_cafe`, and by the last too long.
        for template in ["{name}".to_owned(), "pg_{name}".to_owned(), "x".repeat(70)] {
            naming(&world, &server, &format!("{{database: \"{template}\"}}"));
            world.untouched(&server, || world.apply(&declared)).exits(0).says("Nothing to do: 2 databases are as declared.");
            world.run(&["status", "-f", "server.yaml", "-f", "tenants.yaml"]).exits(0).says("other-cafe");
        }
        naming(&world, &server, "{database: \"new-{name}\"}");
        world.apply(&(declared + &tenant_in("team", "erp", "{}"))).exits(0).says("1 created");
        assert_eq!(world.credential("team", "erp-secret")["database"], "new-erp");
    }

    fn another_database_or_owner_is_a_migration_and_refused(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        for (spec, message) in [
            ("{database: coffee}", "`database` is `cafe` since it was made, and can't become `coffee`"),
            ("{owner: coffee}", "`owner` is `cafe` since it was made, and can't become `coffee`"),
        ] {
            let refused = world.untouched(&server, || world.apply(&tenant("cafe", spec)));
            refused.exits(4).tells(message).tells("is a migration");
        }
        let declared = tenant("cafe", "{database: coffee}") + &tenant("erp", "{}");
        world.apply(&declared).exits(4).says("1 created, 1 refused");
        world.apply(&tenant("cafe", "{database: cafe, owner: cafe}")).exits(0).says("Nothing to do");
    }

    fn in_one_input_no_two_tenants_share_a_role(server: TestServer) {
        let world = World::on(&server);
        for (one, other) in [("shop", "shop_a"), ("shop", "shop_rw"), ("shop_a", "shop_a_b")] {
            let declared = tenant("one", &format!("{{database: {one}}}")) + &tenant("other", &format!("{{database: {other}}}"));
            let refused = world.untouched(&server, || world.apply(&declared));
            refused.exits(2).tells("the role name `").tells("belongs to default/one (tenants.yaml:2)");
        }
        let similar = tenant("one", "{database: shop}") + &tenant("other", "{database: shop_d}") + &tenant("third", "{database: Shop}");
        world.apply(&similar).exits(0).says("3 created");
    }

    fn in_one_input_no_two_tenants_share_a_database(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant_in("team", "cafe", "{}") + &tenant_in("other", "cafe", "{}");
        let refused = world.untouched(&server, || world.apply(&declared));
        refused.exits(2).tells("the database `cafe` is also declared by team/cafe (tenants.yaml:2)").tells("{namespace}");
        naming(&world, &server, "{database: \"{namespace}-{name}\"}");
        world.apply(&declared).exits(0).says("2 created");
    }
}

on_servers! {
    [15 Plain, 18 Superuser]
    fn a_role_of_another_tenant_is_a_conflict_and_the_others_are_done(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("shop", "{}")).exits(0);
        let declared = tenant("other", "{database: shop_a}") + &tenant("erp", "{}");
        let refused = world.apply(&declared).exits(4).says("+ default/erp created").says("1 created, 1 refused");
        refused.tells("default/other: role `shop_a` belongs to TenantDatabase default/shop of project:");
        let databases = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname ~ 'shop|erp'";
        assert_eq!(server.psql("postgres", databases), "erp shop");
        assert!(!world.credential_path("default", "other-secret").exists());
        let free = quoted_after(&world.apply(&declared).exits(4).stderr, "set `owner: ");
        world.apply(&tenant("other", &format!("{{database: shop_a, owner: {free}}}"))).exits(0).says("1 created");
    }

    fn of_two_claims_on_a_database_the_first_keeps_it(server: TestServer) {
        let winner = World::on(&server);
        winner.apply(&tenant("cafe", "{}")).exits(0);
        let loser = winner.another_home();
        let claims = tenant("cafe", WITHOUT_MERCY) + &tenant("erp", "{}");
        let refused = loser.apply(&claims).exits(4).says("1 created, 1 refused");
        let (winners, losers) = (authority(&winner), authority(&loser));
        refused
            .tells(&format!("database `cafe` belongs to TenantDatabase default/cafe of {winners}"))
            .tells(&format!("not to default/cafe of {losers}"))
            .tells(&format!("put `project: {}` into tenantdb.yaml", winners.trim_start_matches("project:")))
            .tells(&format!("tenantdb server takeover shared --from {winners}"))
            .tells("else set `database: default-cafe`");
        assert!(!loser.credential_path("default", "cafe-secret").exists());
        let credential = winner.delivered("cafe");
        for arguments in [&["delete", "--yes", "-f", "server.yaml", "-f", "tenants.yaml"][..], &["delete", "--yes", "cafe"]] {
            loser.write("tenants.yaml", &tenant("cafe", WITHOUT_MERCY));
            let run = winner.untouched(&server, || loser.run(arguments));
            assert!(matches!(run.code, Some(2 | 4)), "{run:?}");
            query(&server, &credential, "CREATE TABLE IF NOT EXISTS beans (id int)").unwrap();
        }
        winner.apply(&tenant("cafe", "{}")).exits(0).says("Nothing to do");
    }

    fn two_projects_of_one_home_are_two_claimants(server: TestServer) {
        let world = World::on(&server);
        for project in ["one", "two"] {
            world.write(&format!("{project}/tenantdb.yaml"), &format!("project: {project}\n"));
            world.write(&format!("{project}/cafe.yaml"), &tenant("cafe", "{}"));
            world.write(&format!("{project}/server.yaml"), &server_yaml(&server));
        }
        world.run(&["apply", "-f", "one"]).exits(0).says("1 created");
        let refused = world.untouched(&server, || world.run(&["apply", "-f", "two"])).exits(4);
        refused.tells("belongs to TenantDatabase default/cafe of project:one");
        world.untouched(&server, || world.run(&["delete", "--yes", "-f", "two"])).exits(4);
        world.run(&["apply", "-f", "one"]).exits(0).says("Nothing to do");
    }

    fn the_credential_of_a_name_is_that_of_the_project_that_we_are_in(server: TestServer) {
        let world = World::on(&server);
        let within = |project: &str, arguments: &[&str]| {
            Run::of(world.command(arguments).current_dir(world.folder().join(project)))
        };
        let own = |project: &str| format!("{{database: {project}_api, credentials: {{secretName: {project}-api}}}}");
        for project in ["shop", "bank", "other"] {
            world.write(&format!("{project}/tenantdb.yaml"), &format!("project: {project}\n"));
            world.write(&format!("{project}/server.yaml"), &server_yaml(&server));
        }
        for project in ["bank", "shop"] {
            world.write(&format!("{project}/api.yaml"), &tenant("api", &own(project)));
            within(project, &["apply", "-f", "."]).exits(0).says("1 created");
            let uri = within(project, &["credentials", "api", "--format", "uri"]).exits(0);
            uri.says(&format!("/{project}_api\n"));
            within(project, &["exec", "api", "--", "sh", "-c", "echo $PGDATABASE"]).exits(0).says(&format!("{project}_api"));
        }
        let refused = within("other", &["credentials", "api"]).exits(2);
        refused.tells("default/api is a database of project:bank and project:shop, and not of project:other, where we are");
        within(".", &["connect", "api"]).exits(2).tells("we are in no project").tells("in the folder of the project");
        let refused = within("other", &["delete", "api"]).exits(2);
        refused.tells("default/api is a database of project:").tells("and not of project:other").tells("hint: run it in the folder");
        fs::remove_dir_all(world.folder().join("bank")).unwrap();
        within("shop", &["credentials", "api", "--format", "uri"]).exits(0).says("/shop_api");
    }
}

on_servers! {
    [18 Plain]
    fn another_server_is_a_migration_and_never_a_second_database(server: TestServer) {
        let elsewhere = TestServer::start(18, Admin::Plain);
        let world = two_servers(&server, &elsewhere);
        world.apply(&tenant("cafe", "{server: shared}")).exits(0);
        let moved = tenant("cafe", "{server: elsewhere}");
        let refused_everywhere = || {
            for command in ["apply", "plan"] {
                let run = || world.run(&[command, "-f", "server.yaml", "-f", "tenants.yaml"]);
                world.write("tenants.yaml", &moved);
                let refused = world.untouched(&elsewhere, || world.untouched(&server, run));
                refused
                    .exits(if command == "apply" { 4 } else { 0 })
                    .tells("`server` is `shared` since it was made, and can't become `elsewhere`")
                    .tells("is a migration");
            }
        };
        refused_everywhere();
        let others = moved.clone() + &tenant("erp", "{server: elsewhere}");
        world.apply(&others).exits(4).says("1 created, 1 refused");
        // Neither another name of the credential nor its loss makes a second database.
        let renamed = tenant("cafe", "{server: elsewhere, credentials: {secretName: other}}");
        world.untouched(&elsewhere, || world.apply(&renamed)).exits(4).tells("is a migration");
        std::fs::remove_dir_all(world.home().join("credentials/default")).unwrap();
        refused_everywhere();
        world.apply(&tenant("cafe", "{server: shared}")).exits(0);
        // The other server can't be asked while it is down, but the credential says where the database is.
        server.stop();
        world.apply(&renamed).exits(1).tells("is a migration").says("1 refused");
    }

    fn what_was_left_behind_on_one_server_can_be_made_on_another(server: TestServer) {
        let elsewhere = TestServer::start(18, Admin::Plain);
        let world = two_servers(&server, &elsewhere);
        world.apply(&tenant("cafe", "{server: shared, deletionProtection: false}")).exits(0);
        world.run(&["delete", "cafe"]).exits(0);
        world.apply(&tenant("cafe", "{server: elsewhere, credentials: {secretName: new}}")).exits(0).says("1 created");
    }
}

/// A world that knows two servers: `shared`, the default, and `elsewhere`.
fn two_servers(shared: &TestServer, elsewhere: &TestServer) -> World {
    let mut world = World::on(shared);
    world.set("ELSEWHERE_PASSWORD", elsewhere.admin_password());
    let other = server_yaml(elsewhere)
        .replace("name: shared", "name: elsewhere")
        .replace("TEST_ADMIN_PASSWORD", "ELSEWHERE_PASSWORD")
        .replace("default: true", "default: false");
    world.write("server.yaml", &format!("{}---\n{other}", server_yaml(shared)));
    world
}

/// Declares the server with this naming.
fn naming(world: &World, server: &TestServer, naming: &str) {
    world.write("server.yaml", &format!("{}  naming: {naming}\n", server_yaml(server)));
}

/// Who a home speaks as.
fn authority(world: &World) -> String {
    format!("project:{}", std::fs::read_to_string(world.home().join("id")).unwrap().trim())
}

/// What a refusal suggests: the name between this and the next backquote.
#[track_caller]
fn quoted_after(stderr: &str, words: &str) -> String {
    let (_, after) = stderr.split_once(words).unwrap_or_else(|| panic!("no {words} in:\n{stderr}"));
    after.split('`').next().unwrap_or_default().to_owned()
}
