//! Extensions of a version and in a schema, and those that only a superuser may make.

use std::fs;

use tenantdb_testkit::{Admin, TestServer, on_every_server, on_servers};

use crate::world::{World, query, tenant};

fn cafe(extensions: &str) -> String {
    tenant("cafe", &format!("{{schemas: [app], extensions: [{extensions}]}}"))
}

/// Version, schema and owner of an extension of the tenant's.
fn installed(server: &TestServer, extension: &str) -> String {
    let columns = "extversion, extnamespace::regnamespace, extowner::regrole";
    server.psql("cafe", &format!("SELECT {columns} FROM pg_extension WHERE extname = '{extension}'"))
}

/// A superuser's login moves an extension; a plain administrator is told what a superuser has to run.
fn moved_by_a_superuser(server: &TestServer, world: &World, declared: &str, says: &str) {
    if server.admin() == Admin::Superuser {
        world.apply(declared).exits(0).says(says);
        return;
    }
    let refused = world.apply(declared).exits(4).tells("only a superuser can move it");
    let (_, statement) = refused.stderr.split_once("as a superuser run in database cafe: ").unwrap();
    server.psql("cafe", statement.lines().next().unwrap());
    world.apply(declared).exits(0);
}

on_every_server! {
    fn an_extension_is_made_upgraded_and_moved_as_declared(server: TestServer) {
        let world = World::on(&server);
        let made = cafe("{name: pg_trgm, version: '1.4', schema: app}, hstore");
        world.plan(&made).exits(3).says("extension pg_trgm 1.4 in schema app").says("extension hstore in schema public");
        world.apply(&made).exits(0);
        assert_eq!(installed(&server, "pg_trgm"), "1.4|app|tenantdb_owner");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);

        let upgraded = cafe("{name: pg_trgm, version: '1.6'}, hstore");
        world.plan(&upgraded).exits(3).says("extension pg_trgm: version 1.6  # it was 1.4");
        world.apply(&upgraded).exits(0);
        assert_eq!(installed(&server, "pg_trgm"), "1.6|app|tenantdb_owner");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);

        // What a trusted extension is made of belongs to who made the server.
        let moved = cafe("{name: pg_trgm, version: '1.6', schema: public}, hstore");
        moved_by_a_superuser(&server, &world, &moved, "extension pg_trgm: in schema public  # it was in app");
        assert_eq!(installed(&server, "pg_trgm"), "1.6|public|tenantdb_owner");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);

        // Whatever is there will do where nothing is said.
        world.apply(&cafe("pg_trgm, hstore")).exits(0);
        assert_eq!(installed(&server, "pg_trgm"), "1.6|public|tenantdb_owner");
    }

    fn what_the_tenant_made_itself_is_upgraded_as_well(server: TestServer) {
        let world = World::on(&server);
        world.apply(&cafe("")).exits(0);
        let credential = world.delivered("cafe");
        query(&server, &credential, "CREATE EXTENSION pg_trgm VERSION '1.3'").unwrap();
        world.apply(&cafe("{name: pg_trgm, version: '1.6', schema: public}")).exits(0).says("# it was 1.3");
        assert_eq!(installed(&server, "pg_trgm"), "1.6|public|cafe");
        query(&server, &credential, "DROP EXTENSION pg_trgm; CREATE EXTENSION pg_trgm VERSION '1.5'").unwrap();
        world.run_on(&["plan", "--exit-code"]).exits(0);
        world.run_on(&["apply", "--refresh"]).exits(0).says("extension pg_trgm: version 1.6  # it was 1.5");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }

    fn what_the_server_does_not_have_is_refused_with_what_it_has(server: TestServer) {
        let world = World::on(&server);
        let refused = |declared: &str| world.untouched(&server, || world.apply(&cafe(declared))).exits(4);
        refused("pg_trmg").tells("the server has no extension `pg_trmg`").tells("did you mean `pg_trgm`?");
        let version = refused("{name: pg_trgm, version: '1.66'}").tells("the server has no version `1.66` of extension `pg_trgm`");
        version.tells("did you mean `1.6`? It has 1.3, 1.4, 1.5, 1.6");
        refused("{name: pg_trgm, schema: ap}").tells("there is no schema `ap` for extension `pg_trgm`").tells("did you mean `app`?");
        refused("{name: pg_trgm, schema: other}").tells("declare it as well: `schemas: [other]`");
        world.apply(&cafe("pg_trgm")).exits(0);
        let older = world.apply(&cafe("{name: pg_trgm, version: '1.3'}")).exits(4);
        older.tells("extension `pg_trgm` has version 1.6, from which no way leads to 1.3");
        world.apply(&cafe("{name: pg_trgm, version: '9'}")).exits(4).tells("the server has no version `9`");
        // What is there may be where nobody declared it.
        server.psql("cafe", "CREATE SCHEMA extra");
        moved_by_a_superuser(&server, &world, &cafe("{name: pg_trgm, schema: extra}"), "extension pg_trgm: in schema extra");
    }

    fn an_extension_is_made_after_those_that_it_needs(server: TestServer) {
        let world = World::on(&server);
        world.apply(&cafe("hstore_plperl")).exits(4).tells("hstore_plperl");
        // `cube` comes later in the alphabet than what needs it only by luck.
        let refused = world.apply(&cafe("earthdistance")).exits(4);
        refused.tells("extension `earthdistance` needs cube").tells("`extensions: [cube, earthdistance]`");
    }

    fn an_extension_that_is_not_trusted_takes_a_superuser(server: TestServer) {
        let world = World::on(&server);
        world.apply(&cafe("")).exits(0);
        let declared = cafe("dblink, pg_trgm");
        if server.admin() == Admin::Plain {
            let refused = world.untouched(&server, || world.apply(&declared)).exits(4);
            let refused = refused.tells("extension `dblink` is not trusted: only a superuser can make it");
            let (_, statements) = refused.stderr.split_once("let a superuser run in database cafe: ").unwrap();
            server.psql("cafe", statements.lines().next().unwrap());
        }
        world.apply(&declared).exits(0);
        assert_eq!(installed(&server, "dblink").split_once('|').unwrap().1, "public|postgres");
        assert_eq!(server.psql("cafe", "SELECT count(*) FROM pg_namespace WHERE nspname = 'tenantdb_extension'"), "0");
        let credential = world.delivered("cafe");
        assert!(query(&server, &credential, "SELECT dblink_get_connections()").is_ok());
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        // One that is there needs nobody to make it.
        world.apply(&declared).exits(0);
        let moved = cafe("{name: dblink, schema: app}, pg_trgm");
        moved_by_a_superuser(&server, &world, &moved, "extension dblink: in schema app  # it was in public");
    }

    fn an_extension_that_insists_on_its_schema_gets_into_it(server: TestServer) {
        let world = World::on(&server);
        let refused = world.apply(&cafe("{name: plpgsql, schema: app}")).exits(4);
        refused.tells("extension `plpgsql` belongs into schema `pg_catalog`, not `app`");
        world.apply(&cafe("")).exits(0);
        world.apply(&cafe("{name: plpgsql, schema: app}")).exits(4).tells("extension `plpgsql` is in schema `pg_catalog`, and can't be moved");
        if server.admin() == Admin::Superuser {
            world.apply(&cafe("{name: pageinspect, schema: app}")).exits(0);
            assert_eq!(installed(&server, "pageinspect").split_once('|').unwrap().1, "app|postgres");
        }
    }
}

/// Extensions whose scripts call a function of theirs in a way that a better match takes over.
fn careless_extensions(server: &TestServer, world: &World) {
    let script =
        "CREATE FUNCTION greet(text) RETURNS text LANGUAGE sql AS $$SELECT 'hello'$$; SELECT greet('x'::varchar);";
    let later = "SELECT greet('x'::varchar);";
    for (name, relocatable) in [("loose", true), ("tight", false)] {
        let control = format!("default_version = '1.0'\nrelocatable = {relocatable}\ntrusted = false\n");
        world.write(&format!("share/extension/{name}.control"), &control);
        world.write(&format!("share/extension/{name}--1.0.sql"), script);
        world.write(&format!("share/extension/{name}--1.0--1.1.sql"), later);
    }
    let path = world.folder().join("share");
    for folder in [path.clone(), path.join("extension")] {
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    server.psql("postgres", &format!("ALTER SYSTEM SET extension_control_path = '{}:$system'", path.display()));
    server.psql("postgres", "SELECT pg_reload_conf()");
    tenantdb_testkit::wait_until(std::time::Duration::from_secs(10), || {
        server.psql("postgres", "SELECT count(*) FROM pg_available_extensions WHERE name = 'tight'") == "1"
    });
}

/// What a tenant plants where such a script would find it.
const PLANTED: &str = "CREATE FUNCTION greet(varchar) RETURNS text LANGUAGE plpgsql AS \
                       $$BEGIN ALTER ROLE cafe_b SUPERUSER; RETURN 'caught'; END$$";

on_servers! {
    [18 Superuser]

    fn what_a_tenant_has_planted_is_never_run_by_an_extension_that_a_superuser_makes(server: TestServer) {
        let world = World::on(&server);
        careless_extensions(&server, &world);
        world.apply(&(cafe("") + &tenant("erp", "{}"))).exits(0);
        for name in ["cafe", "erp"] {
            query(&server, &world.delivered(name), PLANTED).unwrap();
        }
        let is_superuser = || server.psql("postgres", "SELECT rolsuper FROM pg_roles WHERE rolname = 'cafe_b'") == "t";
        // This is what it is about: made by hand in the tenant's schema, the script runs what was planted there.
        server.psql("erp", "CREATE EXTENSION loose SCHEMA public");
        assert!(is_superuser(), "the attack no longer works, and the rest shows nothing");
        server.psql("postgres", "ALTER ROLE cafe_b NOSUPERUSER");

        world.apply(&cafe("loose")).exits(0);
        assert_eq!(installed(&server, "loose"), "1.0|public|postgres");
        // The next run would heal it.
        assert!(!is_superuser());
        world.apply(&cafe("{name: loose, version: '1.1'}")).exits(0).says("extension loose: version 1.1  # it was 1.0");
        assert_eq!(installed(&server, "loose"), "1.1|public|postgres");
        assert!(!is_superuser());

        let refused = world.untouched(&server, || world.apply(&cafe("tight"))).exits(4);
        refused.tells("extension `tight` is not trusted, and can't be moved").tells("schemas: [tight]");
        let declared = "{schemas: [tight], extensions: [{name: tight, schema: tight}]}";
        world.apply(&tenant("cafe", declared)).exits(0);
        assert_eq!(installed(&server, "tight"), "1.0|tight|postgres");
        assert_eq!(server.psql("cafe", "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'tight'"), "cafe");
        assert!(!is_superuser());
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
        // Now that the tenant can write there, nothing of it is run there.
        let credential = world.delivered("cafe");
        query(&server, &credential, &PLANTED.replace("greet", "tight.greet")).unwrap();
        let later = declared.replace("name: tight,", "name: tight, version: '1.1',");
        world.apply(&tenant("cafe", &later)).exits(4).tells("this administrator can't upgrade it");
        assert!(!is_superuser());
    }

    fn in_a_new_database_nobody_has_planted_anything_yet(server: TestServer) {
        let world = World::on(&server);
        careless_extensions(&server, &world);
        let declared = tenant("cafe", "{extensions: [tight, pg_trgm]}");
        world.declare(&declared).run_killed_at("after-create-extension", &["apply"]);
        world.run_on(&["apply"]).exits(0);
        assert_eq!(installed(&server, "tight"), "1.0|public|postgres");
        assert_eq!(server.psql("cafe", "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'public'"), "cafe");
        world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
    }
}
