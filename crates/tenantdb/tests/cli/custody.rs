//! What happens to a credential after it was delivered: it is replaced when it is lost, written again when its shape
//! changes, left alone when it is somewhere else, and never mixed up with what is not ours.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use tenantdb_testkit::{TestServer, on_every_server, on_servers};

use crate::world::{World, query, tenant};

type Credential = BTreeMap<String, String>;

/// Who a credential logs in as.
fn login(server: &TestServer, credential: &Credential) -> String {
    query(server, credential, "SELECT current_user || ' ' || session_user").unwrap()
}

/// The declaration of `cafe` with this about its credential.
fn with_credentials(spec: &str) -> String {
    tenant("cafe", &format!("{{credentials: {spec}}}"))
}

/// What happens to a credential, how, and the reason that is told.
type Loss<'a> = (&'a str, &'a dyn Fn(&World), &'a str);

on_every_server! {
    fn a_lost_or_forged_credential_is_replaced_and_the_earlier_login_goes_on_working(server: TestServer) {
        let forged = |world: &World| world.forge("cafe", "hunter2");
        let garbled = |world: &World| fs::write(world.credential_path("default", "cafe-secret"), "no JSON").unwrap();
        let deleted = |world: &World| world.lose("cafe");
        let losses: [Loss; 3] = [
            ("deleted", &deleted, "its place lost it"),
            ("garbled", &garbled, "its place lost it"),
            ("forged", &forged, "the delivered one was changed by hand"),
        ];
        for (name, lose, reason) in losses {
            let world = World::on(&server);
            let declared = tenant(name, "{credentials: {secretName: cafe-secret}}");
            world.apply(&declared).exits(0);
            let earlier = world.delivered("cafe");
            lose(&world);
            world.plan(&declared).exits(3).says(&format!("login {name}_b: may log in")).says(reason).says("credential generation 2");
            world.apply(&declared).exits(0);
            let credential = world.delivered("cafe");
            assert_eq!(login(&server, &credential), format!("{name} {name}_b"));
            assert_eq!(login(&server, &earlier), format!("{name} {name}_a"), "what an application has read works on");
            assert_eq!((earlier["generation"].as_str(), credential["generation"].as_str()), ("1", "2"));
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        }
    }

    fn a_credential_that_is_lost_again_is_replaced_as_long_as_a_login_is_free(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("cafe", "{connectionLimit: 5, deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}");
        let lose = || world.lose("cafe");
        let mut handed_out = Vec::new();
        world.apply(&declared).exits(0);
        for slot in ["cafe_a", "cafe_b", "cafe_c"] {
            handed_out.push(world.delivered("cafe"));
            assert_eq!(login(&server, handed_out.last().unwrap()), format!("cafe {slot}"));
            lose();
            if slot != "cafe_c" {
                world.run_on(&["apply"]).exits(0).says("its place lost it");
                world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
            }
        }
        let limits = "SELECT string_agg(rolconnlimit::text, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'cafe__'";
        assert_eq!(server.psql("postgres", limits), "5 5 5");
        assert_eq!(server.psql("postgres", "SELECT datconnlimit FROM pg_database WHERE datname = 'cafe'"), "18");
        world.run_on(&["apply"]).exits(4).tells("all login slots are in use").tells("hint:");
        for (credential, slot) in handed_out.iter().zip(["cafe_a", "cafe_b", "cafe_c"]) {
            assert_eq!(login(&server, credential), format!("cafe {slot}"), "what an application has read works on");
        }

        server.psql("postgres", "ALTER ROLE cafe_a NOLOGIN PASSWORD NULL");
        world.run_on(&["apply"]).exits(0).says("login cafe_a: may log in");
        assert_eq!(login(&server, &world.delivered("cafe")), "cafe cafe_a");
        world.run(&["delete", "cafe", "--yes"]).exits(0);
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'cafe%'"), "0");
    }

    fn the_third_slot_is_never_a_role_of_somebody_else(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("cafe", "{}");
        world.apply(&declared).exits(0);
        server.psql("postgres", "CREATE ROLE cafe_c NOLOGIN");
        for slot in ["cafe_b", "none"] {
            world.lose("cafe");
            match slot {
                "none" => drop(world.run_on(&["apply"]).exits(4).tells("all login slots are in use")),
                slot => drop(world.run_on(&["apply"]).exits(0).says(slot)),
            }
        }
        assert_eq!(server.psql("postgres", "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'cafe_c'"), "f");

        let other = tenant("shop", "{}");
        server.psql("postgres", "CREATE ROLE shop_c NOLOGIN");
        world.apply(&other).exits(4).tells("role `shop_c` exists, and tenantdb did not make it");
    }

    fn another_home_leaves_the_credential_alone_and_says_where_it_is(server: TestServer) {
        let world = World::on(&server);
        world.write("tenantdb.yaml", "project: shop\n");
        let declared = tenant("cafe", "{comment: Orders}");
        world.apply(&declared).exits(0);
        let credential = world.delivered("cafe");

        let laptop = world.another_home();
        let path = world.credential_path("default", "cafe-secret").display().to_string();
        laptop.plan(&declared).exits(0).tells("CredentialElsewhere").tells(&path);
        let changed = declared.replace("Orders", "Invoices");
        laptop.apply(&changed).exits(0).says("comment \"Invoices\"").tells("CredentialElsewhere").tells(&path);
        assert!(!laptop.credential_path("default", "cafe-secret").exists());
        laptop.run(&["credentials", "cafe"]).exits(2).tells("no credential of default/cafe").tells("hint:");

        world.apply(&changed).exits(0).says("Nothing to do");
        assert_eq!(world.delivered("cafe"), credential);
        assert_eq!(login(&server, &credential), "cafe cafe_a");

        server.psql("postgres", "ALTER ROLE cafe_a NOLOGIN");
        laptop.apply(&changed).exits(0).tells("LoginLost").tells(&path);
        world.apply(&changed).exits(0).says("its login was taken away");
        assert_eq!(login(&server, &credential), "cafe cafe_a");
    }
}

on_servers! {
    [15 Plain, 18]

    fn another_name_of_the_credential_is_refused_and_nothing_is_used_up(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        let credential = world.delivered("cafe");
        let renamed = with_credentials("{secretName: other}");
        world.plan(&renamed).exits(4).tells("delivered as `cafe-secret`").tells("hint: set `credentials.secretName: cafe-secret`");
        world.untouched(&server, || world.apply(&renamed)).exits(4);
        assert_eq!(world.delivered("cafe"), credential);
        world.apply(&tenant("cafe", "{}")).exits(0).says("Nothing to do");
    }

    fn a_damaged_credential_is_not_printed(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        for damage in ["", "garbage", "{}"] {
            fs::write(world.credential_path("default", "cafe-secret"), damage).unwrap();
            for format in ["env", "uri", "json"] {
                let run = world.run(&["credentials", "cafe", "--format", format]).exits(1);
                assert_eq!(run.tells("cafe-secret.json holds no credential any more").tells("hint: ").stdout, "");
            }
        }
    }

    fn other_keys_or_another_address_are_written_with_the_same_login(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        let first = world.delivered("cafe");

        let again = "its keys or its address changed";
        let keys = with_credentials("{keys: {CAFE_URL: '{uri}', CAFE_DSN: 'host={host} user={username}'}}");
        world.plan(&keys).exits(3).says(again);
        world.apply(&keys).exits(0);
        let with_keys = world.delivered("cafe");
        assert_eq!(with_keys["CAFE_URL"], first["uri"]);
        assert_eq!(with_keys["CAFE_DSN"], "host=127.0.0.1 user=cafe_a");

        let env = with_credentials("{formats: [env], keys: {CAFE_URL: '{uri}'}}");
        world.plan(&env).exits(3).says(again);
        world.apply(&env).exits(0);
        let with_env = world.delivered("cafe");
        let keys: Vec<&str> = with_env.keys().map(String::as_str).collect();
        assert_eq!(keys, ["CAFE_URL", "DATABASE_URL", "DB_HOST", "DB_NAME", "DB_PASSWORD", "DB_PORT", "DB_USER"]);
        assert_eq!(with_env["DB_PASSWORD"], first["password"]);

        let published = fs::read_to_string(world.folder().join("server.yaml")).unwrap();
        let moved = published.replace("127.0.0.1", "localhost") + "  publish: {parameters: {sslmode: prefer}}\n";
        world.write("server.yaml", &moved);
        world.plan(&env).exits(3).says(again);
        world.apply(&env).exits(0);
        let with_address = world.delivered("cafe");
        assert_eq!(with_address["DB_HOST"], "localhost");
        let uri = first["uri"].replace("127.0.0.1", "localhost") + "?sslmode=prefer";
        assert_eq!(with_address["CAFE_URL"], uri);

        world.plan(&env).exits(0);
        assert_eq!(login(&server, &first), "cafe cafe_a", "no password changed on the way");
    }
}

on_servers! {
    [18 Plain]

    fn what_is_not_ours_is_a_conflict_and_stays_as_it_is(server: TestServer) {
        let world = World::on(&server);
        let path = world.write("home/credentials/default/cafe-secret.json", "{\"password\": \"someone else's\"}");
        let declared = tenant("cafe", "{}") + &tenant("erp", "{}");
        for run in [world.plan(&declared).exits(4), world.apply(&declared).exits(4)] {
            let refused = run.tells("default/cafe: ").tells(&format!("{} was not written by tenantdb", path.display()));
            refused.tells("hint: move it away, or choose another `credentials.secretName`");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"password\": \"someone else's\"}");
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^cafe'"), "0");
        assert_eq!(login(&server, &world.delivered("erp")), "erp erp_a", "the others are done");

        fs::remove_file(&path).unwrap();
        world.apply(&declared).exits(0);
        assert_eq!(login(&server, &world.delivered("cafe")), "cafe cafe_a");
    }

    fn nobody_else_can_read_a_credential(server: TestServer) {
        let world = World::on(&server);
        world.apply(&tenant("cafe", "{}")).exits(0);
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = world.credential_path("default", "cafe-secret");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        world.apply(&with_credentials("{keys: {CAFE_URL: '{uri}'}}")).exits(0);
        assert_eq!(mode(&path), 0o600);
    }

    fn an_unreadable_sidecar_is_said_and_nothing_is_replaced(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("cafe", "{}") + &tenant("erp", "{}");
        world.apply(&declared).exits(0);
        let credential = world.delivered("cafe");
        let sidecar = world.credential_path("default", ".cafe-secret");
        let good = fs::read_to_string(&sidecar).unwrap();
        fs::write(&sidecar, "no JSON").unwrap();
        for run in [world.plan(&declared).exits(4), world.apply(&declared).exits(4)] {
            run.tells("default/cafe: its credential can't be read").tells(".cafe-secret.json is not readable").tells("hint:");
        }
        world.run(&["credentials", "cafe"]).exits(1).tells(".cafe-secret.json is not readable").tells("hint:");
        world.run(&["credentials", "erp"]).exits(0);
        fs::write(&sidecar, good).unwrap();
        world.plan(&declared).exits(0);
        assert_eq!(login(&server, &credential), "cafe cafe_a");
    }

    fn a_credential_is_printed_as_asked(server: TestServer) {
        let world = World::on(&server);
        world.apply(&with_credentials("{keys: {CAFE_URL: 'jdbc:{uri}'}}")).exits(0);
        let credential = world.delivered("cafe");
        let print = |format: &str| world.run(&["credentials", "cafe", "--format", format]).exits(0).stdout;

        assert_eq!(print("uri"), format!("{}\n", credential["uri"]));
        assert_eq!(serde_json::from_str::<Credential>(&print("json")).unwrap(), credential);
        let env = print("env");
        assert!(env.contains(&format!("CAFE_URL='jdbc:{}'\n", credential["uri"])), "{env}");
        assert!(env.contains(&format!("DB_PASSWORD='{}'\n", credential["password"])), "{env}");
        assert!(!env.contains("username="), "{env}");
        assert_eq!(world.run(&["credentials", "cafe"]).exits(0).stdout, env);
        world.run(&["credentials", "cafee"]).exits(2).tells("no credential of default/cafee").tells("hint: did you mean `cafe`?");
        world.run(&["status", "cafee"]).exits(2).tells("no database `cafee`").tells("hint: did you mean `cafe`?");
    }

    fn two_tenants_never_share_a_credential(server: TestServer) {
        let world = World::on(&server);
        let cafe = with_credentials("{secretName: shared}");
        let erp = tenant("erp", "{credentials: {secretName: shared}}");
        world.apply(&(cafe.clone() + &erp)).exits(2).tells("the credential `shared` is also that of default/cafe");
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname IN ('cafe', 'erp')"), "0");

        world.apply(&cafe).exits(0);
        let credential = world.credential("default", "shared");
        world.apply(&erp).exits(4).tells("default/erp: ").tells("belongs to TenantDatabase cafe").tells("hint:");
        assert_eq!(world.credential("default", "shared"), credential);

        let elsewhere = erp.replace("{name: erp}", "{name: erp, namespace: other}");
        world.apply(&elsewhere).exits(0);
        assert_eq!(login(&server, &world.credential("other", "shared")), "erp erp_a");
    }
}

on_servers! {
    [15 Plain, 18]

    async fn two_that_apply_at_once_both_finish_and_all_is_as_declared(server: TestServer) {
        for round in 0..5 {
            let world = World::on(&server);
            let name = |tenant: &str| format!("{tenant}{round}");
            let [cafe, erp, shop] = ["cafe", "erp", "shop"].map(|each| tenant(&name(each), "{connectionLimit: 5}"));
            world.write("one.yaml", &(cafe.clone() + &erp));
            world.write("other.yaml", &(erp + &shop));
            // The same declarations in even rounds, overlapping ones in odd rounds.
            let other = if round % 2 == 0 { "one.yaml" } else { "other.yaml" };
            let apply = |file: &str| world.run_beside(&["apply", "-f", "server.yaml", "-f", file]);
            let (one, another) = tokio::join!(apply("one.yaml"), apply(other));
            one.exits(0);
            another.exits(0);
            for file in ["one.yaml", other] {
                world.run(&["plan", "--exit-code", "--refresh", "-f", "server.yaml", "-f", file]).exits(0);
            }
            for each in ["cafe", "erp"].map(name) {
                let credential = world.delivered(&each);
                assert_eq!(login(&server, &credential), format!("{each} {each}_a"));
            }
        }
    }
}
