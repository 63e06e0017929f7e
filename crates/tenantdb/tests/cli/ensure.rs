//! `ensure`: what `create-service-database.sh` was called for, from the same variables.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tenantdb_testkit::{Admin, Options, TestServer, majors, on_every_server, on_servers};

use crate::world::{Run, World};

/// The variables that `ensure` reads.
const READ: [&str; 20] = [
    "SERVICE_DB_NAME",
    "SERVICE_DB_USER",
    "APP_NAME",
    "NAMESPACE",
    "ENABLE_PGVECTOR",
    "SETUP_DATABASES",
    "DB_TYPES",
    "TENANTDB_PROJECT",
    "TENANTDB_SERVER",
    "PG_HOST",
    "PG_PORT",
    "PG_NAMESPACE",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "POSTGRES_ADMIN_USER",
    "POSTGRES_ADMIN_PASSWORD",
    "POSTGRES_PASSWORD",
    "GITHUB_ENV",
    "KUBE_CONFIG",
    "TENANTDB_FAILPOINT",
];

/// The services of the setup's document: namespace, application, database.
const SERVICES: [(&str, &str, &str); 4] = [
    ("cafe", "cafe-backend", "cafe"),
    ("erp", "erp-api", "erp"),
    ("treasury", "treasury-app", "treasury"),
    ("notifications", "notifications-backend", "notifications"),
];

const WHO: &str = "SELECT current_user || ' ' || session_user || ' ' || current_database()";

/// A machine that builds services.
struct Builds<'a> {
    server: &'a TestServer,
    world: World,
}

impl<'a> Builds<'a> {
    fn on(server: &'a TestServer) -> Self {
        Self { server, world: World::new() }
    }

    /// A service's own checkout.
    fn checkout(&self, name: &str) -> PathBuf {
        let folder = self.world.folder().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// `ensure`, as a build would call it, without any variable but those of the server.
    fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = self.world.command(&[&["ensure"], arguments].concat());
        command.current_dir(folder);
        for name in READ {
            command.env_remove(name);
        }
        command.envs(self.variables());
        command
    }

    fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("PG_HOST", self.server.host().to_owned()),
            ("PG_PORT", self.server.port().to_string()),
            ("POSTGRES_ADMIN_USER", self.server.admin_username().to_owned()),
            ("POSTGRES_ADMIN_PASSWORD", self.server.admin_password().to_owned()),
        ]
    }

    fn ensure(&self, folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
        Run::of(self.command(folder, arguments).envs(variables.iter().copied()))
    }

    /// `ensure` for the cafe, in a checkout.
    fn cafe(&self, folder: &Path, arguments: &[&str]) -> Run {
        self.ensure(folder, &[("APP_NAME", "cafe-backend"), ("NAMESPACE", "cafe")], arguments)
    }

    /// Logs in with what a URL in a file says.
    fn log_in(&self, folder: &Path, key: &str, sql: &str) -> Result<String, String> {
        let url = variables(folder)[key].clone();
        let (login, rest) = url.strip_prefix("postgresql://").unwrap().split_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let (address, database) = rest.split_once('/').unwrap();
        assert_eq!(address, format!("{}:{}", self.server.host(), self.server.port()));
        self.server.psql_as(user, password, database, sql)
    }

    #[track_caller]
    fn is_confirmed(&self, folder: &Path) {
        let before = fs::read(folder.join(".env")).unwrap();
        self.cafe(folder, &[]).exits(0).says("Nothing to do: 1 database is as declared.");
        assert_eq!(fs::read(folder.join(".env")).unwrap(), before);
        assert_eq!(self.log_in(folder, "CAFE_POSTGRES_URL", WHO).as_deref(), Ok("cafe_user cafe_user cafe"));
    }
}

/// The variables in a folder's `.env`, as a shell reads them.
fn variables(folder: &Path) -> BTreeMap<String, String> {
    let output =
        Command::new("sh").args(["-ec", "set -a; . ./.env; env -0"]).env_clear().current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0')
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

on_servers! {
    [15 Superuser, 18 Superuser]

    fn a_database_from_before_is_taken_over_when_that_is_asked(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        server.psql("postgres", "CREATE ROLE cafe_user LOGIN PASSWORD 'from-before'; CREATE ROLE stranger LOGIN PASSWORD 's'");
        server.psql("postgres", "CREATE DATABASE cafe OWNER cafe_user");
        server.psql_as("cafe_user", "from-before", "cafe", "CREATE TABLE orders AS SELECT 1 AS id").unwrap();
        builds.cafe(&folder, &[]).exits(4).tells("hint: ").tells("run it with --adopt");
        server.psql_as("stranger", "s", "cafe", "SELECT 1").unwrap();

        builds.cafe(&folder, &["--adopt"]).exits(4).tells("--reissue");
        assert!(!folder.join(".env").exists(), "nobody told us the password");
        server.psql_as("stranger", "s", "cafe", "SELECT 1").expect_err("it is closed to others");
        server.psql_as("cafe_user", "from-before", "cafe", "SELECT * FROM orders").unwrap();

        builds.cafe(&folder, &["--adopt", "--reissue"]).exits(0);
        assert_eq!(builds.log_in(&folder, "CAFE_POSTGRES_URL", "SELECT count(*) FROM orders").as_deref(), Ok("1"));
        server.psql_as("cafe_user", "from-before", "cafe", "SELECT 1").expect_err("the earlier password ended");
        builds.is_confirmed(&folder);
    }
}

on_every_server! {
    fn the_four_services_of_the_document_are_made_and_confirmed(server: TestServer) {
        let builds = Builds::on(&server);
        let of = |namespace, app| [("NAMESPACE", namespace), ("APP_NAME", app), ("SETUP_DATABASES", "true"), ("DB_TYPES", "postgres,redis")];
        for (namespace, app, database) in SERVICES {
            let folder = builds.checkout(app);
            let made = builds.ensure(&folder, &of(namespace, app), &[]).exits(0);
            let made = made.says(&format!("+ {namespace}/{database} created")).says(&format!("{app}/.env")).tells("redis is not supported yet");
            assert!(!made.stdout.contains("postgresql://") && !made.stderr.contains("postgresql://"));
            let key = format!("{}_POSTGRES_URL", database.to_uppercase());
            let variables = variables(&folder);
            assert_eq!(variables["DATABASE_URL"], variables[&key]);
            assert_eq!((variables["DB_NAME"].as_str(), variables["DB_PORT"].as_str()), (database, server.port().to_string().as_str()));
            assert_eq!(builds.log_in(&folder, &key, WHO), Ok(format!("{database}_user {database}_user {database}")));
            assert_eq!(builds.log_in(&folder, &key, "CREATE TABLE orders (id int)").as_deref(), Ok(""));
            assert_eq!(fs::metadata(folder.join(".env")).unwrap().permissions().mode() & 0o777, 0o600);
        }
        for (namespace, app, database) in SERVICES {
            let folder = builds.checkout(app);
            let before = fs::read(folder.join(".env")).unwrap();
            builds.ensure(&folder, &of(namespace, app), &[]).exits(0).says("Nothing to do: 1 database is as declared.");
            assert_eq!(fs::read(folder.join(".env")).unwrap(), before);
            let own = variables(&folder);
            for (_, _, other) in SERVICES.iter().filter(|(_, _, other)| *other != database) {
                let refused = server.psql_as(&own["DB_USER"], &own["DB_PASSWORD"], other, "SELECT 1").unwrap_err();
                assert!(refused.contains("permission denied"), "{database} on {other}: {refused}");
            }
        }
    }

    fn build_scripts_as_the_document_shows_them_go_on_working(server: TestServer) {
        let builds = Builds::on(&server);
        let devops = builds.checkout("devops-k8s/scripts");
        let bin = builds.checkout("bin");
        script(&devops.join("create-service-database.sh"), "#!/bin/sh\nexec tenantdb ensure \"$@\"\n");
        script(&bin.join("kubectl"), "#!/bin/sh\nexit 0\n");
        symlink(env!("CARGO_BIN_EXE_tenantdb"), bin.join("tenantdb")).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let build = |folder: &Path, password: &str| {
            let mut bash = Command::new("bash");
            for name in READ {
                bash.env_remove(name);
            }
            bash.arg("build.sh").current_dir(folder).envs(builds.variables()).env("POSTGRES_ADMIN_PASSWORD", password);
            Run::of(bash.env("PATH", &path).env("TENANTDB_HOME", builds.world.home()).env("KUBE_CONFIG", "x").env("NO_COLOR", "1"))
        };
        for (namespace, app, database) in SERVICES {
            let folder = builds.checkout(app);
            symlink(devops.parent().unwrap(), folder.join("devops-k8s")).unwrap();
            script(&folder.join("build.sh"), &build_script(namespace, app, database));
            build(&folder, server.admin_password()).exits(0).says("created").says("deployed with a URL");
            build(&folder, server.admin_password()).exits(0).says("Nothing to do").says("deployed with a URL");
            let failed = build(&folder, "wrong").exits(0).says("warning: Database creation failed").tells("error:").tells("hint:");
            assert!(!failed.stdout.contains("Nothing to do"), "{failed:?}");
        }
    }

    fn a_credential_that_is_not_in_the_file_is_only_replaced_when_somebody_says_so(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        fs::write(folder.join(".env"), "# ours\nPORT=8080\n").unwrap();
        builds.cafe(&folder, &[]).exits(0);
        let forge = |text: String| {
            let line = text.lines().find(|line| line.starts_with("DB_PASSWORD=")).unwrap().to_owned();
            text.replace(&line, "DB_PASSWORD=hunter2")
        };
        for (damage, why) in [(None, "its place lost it"), (Some(forge), "changed by hand")] {
            let before = fs::read_to_string(folder.join(".env")).unwrap();
            match damage {
                None => fs::remove_file(folder.join(".env")).unwrap(),
                Some(forge) => fs::write(folder.join(".env"), forge(before.clone())).unwrap(),
            }
            let refused = builds.cafe(&folder, &[]).exits(4).tells("cafe/.env").tells(why).tells("--reissue");
            assert!(!refused.stderr.contains("hunter2"));
            for other in ["--adopt", "--yes"] {
                builds.cafe(&folder, &[other]).exits(4).tells("--reissue");
            }
            fs::write(folder.join(".env"), &before).unwrap();
            builds.is_confirmed(&folder);

            match damage {
                None => fs::remove_file(folder.join(".env")).unwrap(),
                Some(forge) => fs::write(folder.join(".env"), forge(before.clone())).unwrap(),
            }
            builds.cafe(&folder, &["--reissue"]).exits(0).says("a new password, and the earlier one ends");
            builds.is_confirmed(&folder);
            let after = fs::read_to_string(folder.join(".env")).unwrap();
            assert_ne!(after, before);
            assert!(!after.contains("next"), "{after}");
        }

        let elsewhere = builds.checkout("elsewhere");
        let refused = builds.cafe(&elsewhere, &[]).exits(4).tells("error: cafe/cafe: ").tells("cafe/.env").tells("--reissue");
        assert!(!refused.stdout.contains("as declared"), "{refused:?}");
        assert!(!elsewhere.join(".env").exists());
        builds.is_confirmed(&folder);
        builds.cafe(&elsewhere, &["--reissue"]).exits(0);
        builds.is_confirmed(&elsewhere);
        builds.cafe(&folder, &[]).exits(4).tells("elsewhere/.env");
    }

    fn what_somebody_changed_on_the_server_is_healed_from_the_file(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        builds.cafe(&folder, &[]).exits(0);
        for drift in [
            "ALTER ROLE cafe_user PASSWORD 'other'",
            "ALTER ROLE cafe_user NOLOGIN PASSWORD NULL",
            "ALTER ROLE cafe_user VALID UNTIL '2000-01-01' CONNECTION LIMIT 5",
            "REVOKE CONNECT ON DATABASE cafe FROM cafe_user",
            "GRANT CONNECT ON DATABASE cafe TO PUBLIC",
        ] {
            server.psql("postgres", drift);
            builds.cafe(&folder, &[]).exits(0);
            assert_eq!(builds.log_in(&folder, "DATABASE_URL", WHO).as_deref(), Ok("cafe_user cafe_user cafe"), "{drift}");
            builds.cafe(&folder, &[]).exits(0);
        }
    }

    fn a_database_that_the_script_made_is_left_as_it_is(server: TestServer) {
        let builds = Builds::on(&server);
        server.psql("postgres", "CREATE ROLE cafe_user LOGIN PASSWORD 'old'");
        server.psql("postgres", "CREATE DATABASE cafe OWNER cafe_user");
        let folder = builds.checkout("cafe");
        builds.cafe(&folder, &[]).exits(4).tells("database `cafe` exists").tells("SERVICE_DB_NAME is `database`");
        assert!(!folder.join(".env").exists());
        assert_eq!(server.psql_as("cafe_user", "old", "cafe", "SELECT 1").as_deref(), Ok("1"));
    }
}

on_servers! {
    [18 Plain; 15 Plain, 16 Superuser]
    fn killed_anywhere_it_is_finished_by_running_again(server: TestServer) {
        let builds = Builds::on(&server);
        let trace = |folder: &Path| {
            let mut command = builds.command(folder, &[]);
            let command = command.env("APP_NAME", "traced").env("TENANTDB_LOG", "tenantdb_core::failpoint=trace");
            let run = Run::of(command).exits(0);
            let passed = run.stderr.lines().filter_map(|line| line.split_once("tenantdb_core::failpoint: "));
            passed.map(|(_, name)| name.to_owned()).collect::<Vec<_>>()
        };
        let mut failpoints = trace(&builds.checkout("traced"));
        failpoints.sort();
        failpoints.dedup();
        assert!(failpoints.iter().any(|name| name == "before-dotenv-file"), "{failpoints:?}");
        for (index, failpoint) in failpoints.iter().enumerate() {
            let (app, folder) = (format!("svc{index}"), builds.checkout(failpoint));
            fs::write(folder.join(".env"), "PORT=8080\n").unwrap();
            let mut command = builds.command(&folder, &[]);
            let killed = Run::of(command.env("APP_NAME", &app).env("TENANTDB_FAILPOINT", failpoint));
            if killed.code.is_some() {
                // What the server itself needs is there since the first run.
                continue;
            }
            builds.ensure(&folder, &[("APP_NAME", &app)], &[]).exits(0);
            assert_eq!(builds.log_in(&folder, "DATABASE_URL", WHO), Ok(format!("{app}_user {app}_user {app}")), "{failpoint}");
            assert_eq!(variables(&folder)["PORT"], "8080");
            builds.ensure(&folder, &[("APP_NAME", &app)], &[]).exits(0).says("Nothing to do");
        }
    }
}

on_servers! {
    [15, 18 Plain]

    fn a_new_password_survives_a_kill_anywhere(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        builds.cafe(&folder, &[]).exits(0);
        for failpoint in [
            "before-fence-credential", "after-fence-credential", "after-stage-credential", "before-enable-login",
            "after-enable-login", "before-publish-credential", "before-dotenv-file", "after-dotenv-file",
            "after-publish-credential", "before-record-delivery",
        ] {
            let text = fs::read_to_string(folder.join(".env")).unwrap();
            fs::write(folder.join(".env"), text.replace("DB_PASSWORD=", "DB_PASSWORD=x")).unwrap();
            let mut command = builds.command(&folder, &["--reissue"]);
            let command = command.env("APP_NAME", "cafe-backend").env("NAMESPACE", "cafe").env("TENANTDB_FAILPOINT", failpoint);
            assert_eq!(Run::of(command).code, None, "{failpoint} was never reached");
            builds.cafe(&folder, &["--reissue"]).exits(0);
            builds.is_confirmed(&folder);
        }
    }

    fn services_share_a_file_by_prefixes(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("monorepo");
        builds.cafe(&folder, &[]).exits(0);
        let erp = [("APP_NAME", "erp-api")];
        let before = fs::read(folder.join(".env")).unwrap();
        builds.ensure(&folder, &erp, &[]).exits(4).tells("is that of cafe/cafe").tells("--prefix");
        assert_eq!(fs::read(folder.join(".env")).unwrap(), before);
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'erp_user'"), "0");
        builds.ensure(&folder, &erp, &["--prefix", "ERP"]).exits(0);
        assert_eq!(builds.log_in(&folder, "ERP_DATABASE_URL", WHO).as_deref(), Ok("erp_user erp_user erp"));
        assert_eq!(builds.log_in(&folder, "ERP_POSTGRES_URL", "SELECT 1").as_deref(), Ok("1"));
        builds.is_confirmed(&folder);
        builds.ensure(&folder, &erp, &["--prefix", "ERP"]).exits(0).says("Nothing to do");
    }

    fn two_applications_share_a_database_only_when_they_say_so(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        builds.cafe(&folder, &[]).exits(0);
        let before = fs::read(folder.join(".env")).unwrap();
        let frontend = [("APP_NAME", "cafe-frontend"), ("NAMESPACE", "cafe")];
        let refused = builds.ensure(&folder, &frontend, &["--prefix", "FRONTEND"]).exits(4);
        refused.tells("belongs to TenantDatabase cafe/cafe of project:ensure/cafe/cafe-backend").tells("TENANTDB_PROJECT the project");
        assert_eq!(fs::read(folder.join(".env")).unwrap(), before);

        let project = ("TENANTDB_PROJECT", "ensure/cafe/cafe-backend");
        builds.ensure(&folder, &[frontend[0], frontend[1], project], &[]).exits(0).says("Nothing to do");
        builds.is_confirmed(&folder);
    }

    fn several_at_once_all_finish(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("monorepo");
        let names: Vec<String> = (0..8).map(|number| format!("svc{}", number % 4)).collect();
        thread::scope(|scope| {
            for name in &names {
                let (builds, folder) = (&builds, &folder);
                scope.spawn(move || builds.ensure(folder, &[("APP_NAME", name)], &["--prefix", &name.to_uppercase()]).exits(0));
            }
        });
        for name in &names {
            let key = format!("{}_DATABASE_URL", name.to_uppercase());
            assert_eq!(builds.log_in(&folder, &key, WHO), Ok(format!("{name}_user {name}_user {name}")));
            builds.ensure(&folder, &[("APP_NAME", name)], &["--prefix", &name.to_uppercase()]).exits(0).says("Nothing to do");
        }
    }

    fn variables_are_printed_only_when_somebody_asks(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        let printed = builds.cafe(&folder, &["--format", "env"]).exits(0).stdout;
        let variables = variables(&folder);
        assert!(printed.contains(&format!("DB_PASSWORD='{}'\n", variables["DB_PASSWORD"])), "{printed}");
        assert!(printed.lines().all(|line| line.contains("='")), "{printed}");

        builds.cafe(&folder, &["--format", "github-env"]).exits(2).tells("GITHUB_ENV is not set");
        let steps = folder.join("github-env");
        fs::write(&steps, "EARLIER=1\n").unwrap();
        let of_github = [("APP_NAME", "cafe-backend"), ("NAMESPACE", "cafe"), ("GITHUB_ENV", steps.to_str().unwrap())];
        let said = builds.ensure(&folder, &of_github, &["--format", "github-env"]).exits(0).stdout;
        assert!(said.contains(&format!("::add-mask::{}\n", variables["DB_PASSWORD"])), "{said}");
        assert!(said.lines().all(|line| line.starts_with("::add-mask::")), "{said}");
        let given = fs::read_to_string(&steps).unwrap();
        assert!(given.starts_with("EARLIER=1\nCAFE_POSTGRES_URL<<ghadelimiter_"), "{given}");
        let (_, rest) = given.split_once("DB_PASSWORD<<").unwrap();
        let mut lines = rest.lines();
        let delimiter = lines.next().unwrap();
        assert_eq!((lines.next(), lines.next()), (Some(variables["DB_PASSWORD"].as_str()), Some(delimiter)));

        fs::remove_file(folder.join(".env")).unwrap();
        for format in ["env", "github-env"] {
            assert_eq!(builds.ensure(&folder, &of_github, &["--format", format]).exits(4).stdout, "");
        }
        assert_eq!(fs::read_to_string(&steps).unwrap(), given);
    }

    fn no_secret_is_in_a_log_or_an_argument(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        let traced = |arguments: &[&str]| {
            let mut command = builds.command(&folder, arguments);
            let command = command.env("APP_NAME", "cafe-backend").env("NAMESPACE", "cafe").env("TENANTDB_LOG", "trace");
            let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            thread::sleep(Duration::from_millis(50));
            let seen = fs::read(format!("/proc/{}/cmdline", started.id())).unwrap_or_default();
            (Run::end_of(started), String::from_utf8_lossy(&seen).into_owned())
        };
        let mut secrets = vec![server.admin_password().to_owned()];
        for arguments in [&[][..], &["--reissue"]] {
            let (run, seen) = traced(arguments);
            let run = run.exits(0).tells("TRACE");
            secrets.push(variables(&folder)["DB_PASSWORD"].clone());
            for secret in &secrets {
                for text in [&run.stdout, &run.stderr, &seen, &server.log()] {
                    assert!(!text.contains(secret.as_str()), "a secret is in what could be read");
                }
                for beside in fs::read_dir(folder.join(".tenantdb")).unwrap() {
                    assert!(!fs::read_to_string(beside.unwrap().path()).unwrap().contains(secret.as_str()));
                }
            }
            fs::remove_file(folder.join(".env")).unwrap();
        }
    }

    fn it_waits_for_the_server_as_long_as_it_is_told(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        server.stop();
        let began = Instant::now();
        let run = builds.cafe(&folder, &["--wait", "2"]).exits(1);
        assert!(began.elapsed() >= Duration::from_secs(2), "it did not wait");
        run.tells("note: waiting up to 2 s for PostgreSQL at").tells("does not answer, after 2 s of waiting").tells("hint:");
        assert!(!folder.join(".env").exists() && !folder.join(".tenantdb").exists());
        builds.cafe(&folder, &["--wait", "0"]).exits(1).tells("does not answer");

        let mut waiting = builds.command(&folder, &[]);
        let waiting = waiting.env("APP_NAME", "cafe-backend").env("NAMESPACE", "cafe");
        let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(1500));
        server.start_again();
        Run::end_of(waiting).exits(0).says("+ cafe/cafe created").tells("waiting up to 180 s");
        builds.is_confirmed(&folder);
    }

    fn what_is_wrong_is_refused_before_anything_is_touched(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        let long = "x".repeat(64);
        let app = ("APP_NAME", "cafe-backend");
        for (variables, message) in [
            (&[][..], "the service has no name"),
            (&[("SERVICE_DB_NAME", ""), ("APP_NAME", "-api")], "the service has no name"),
            (&[("SERVICE_DB_NAME", long.as_str())], "SERVICE_DB_NAME: "),
            (&[app, ("SERVICE_DB_USER", long.as_str())], "SERVICE_DB_USER: "),
            (&[app, ("SERVICE_DB_USER", "postgres")], "`postgres` is"),
            (&[app, ("SERVICE_DB_USER", "pg_monitor")], "`pg_monitor` is reserved"),
            (&[app, ("SERVICE_DB_USER", server.admin_username())], "is the administrator's"),
            (&[app, ("SERVICE_DB_NAME", "template1")], "`template1` is reserved"),
            (&[app, ("SERVICE_DB_NAME", "tenantdb")], "`tenantdb` is reserved"),
            (&[app, ("SERVICE_DB_NAME", "cafe\nEVIL=1")], "SERVICE_DB_NAME holds a control character"),
            (&[app, ("NAMESPACE", "Not A Namespace")], "NAMESPACE: "),
            (&[app, ("PG_PORT", "0")], "PG_PORT is `0`"),
            (&[app, ("PG_PORT", "many")], "PG_PORT is `many`"),
            (&[app, ("PG_HOST", "a,b")], "PG_HOST is `a,b`"),
            (&[app, ("POSTGRES_ADMIN_USER", "pg_monitor")], "`pg_monitor` is reserved"),
            (&[app, ("PGSSLMODE", "maybe")], "PGSSLMODE is `maybe`"),
            (&[app, ("PGSSLMODE", "verify-full")], "PGSSLROOTCERT names no certificate"),
            (&[app, ("PGSSLROOTCERT", "no-such-file")], "no-such-file"),
            (&[app, ("DB_TYPES", "postgres,mysql")], "DB_TYPES: `mysql` is no type"),
            (&[app, ("DB_TYPES", "redis,rabbitmq")], "redis and rabbitmq is not supported yet"),
            (&[app, ("DB_TYPES", ",")], "DB_TYPES names no type"),
            (&[app, ("ENABLE_PGVECTOR", "maybe")], "ENABLE_PGVECTOR is `maybe`"),
            (&[app, ("TENANTDB_PROJECT", "a b")], "is not an authority"),
            (&[app, ("TENANTDB_SERVER", "no-such-file")], "no-such-file"),
            (&[app, ("POSTGRES_ADMIN_PASSWORD", "")], "Secret infra/postgresql (keys admin-user-password, postgres-password)"),
        ] {
            let run = builds.ensure(&folder, variables, &[]).exits(2).tells("error: ").tells(message);
            assert!(run.stdout.is_empty() && !run.stderr.contains(server.admin_password()), "{run:?}");
        }
        for arguments in [&["--prefix", "a-b"][..], &["--wait", "-1"], &["--format", "yaml"], &["surplus"]] {
            builds.ensure(&folder, &[app], arguments).exits(2);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing was written");
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname IN ('cafe', 'tenantdb')"), "0");

        fs::create_dir(folder.join("folder")).unwrap();
        for file in ["folder", "no/such/.env"] {
            builds.ensure(&folder, &[app], &["--file", file]).exits(2).tells(file).tells("hint:");
        }
        assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname IN ('cafe', 'tenantdb')"), "0");
        builds.ensure(&folder, &[app, ("POSTGRES_ADMIN_PASSWORD", "wrong")], &[]).exits(1).tells("hint: check POSTGRES_ADMIN_USER");
        builds.ensure(&folder, &[app, ("ENABLE_PGVECTOR", "true")], &[]).exits(4).tells("extension `vector`");
        assert_eq!(builds.ensure(&folder, &[app, ("SETUP_DATABASES", "false")], &[]).exits(0).tells("nothing is done").stdout, "");
        assert!(!folder.join(".env").exists());
    }

    fn a_line_that_tenantdb_did_not_write_is_never_overwritten(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        let theirs = "# theirs\r\nexport CAFE_POSTGRES_URL=\"postgresql://admin@old/cafe\"\r\nOTHER='a\nDB_HOST=b'\r\n";
        fs::write(folder.join(".env"), theirs).unwrap();
        builds.cafe(&folder, &[]).exits(4).tells("did not write the CAFE_POSTGRES_URL that is in it").tells("--prefix");
        assert_eq!(fs::read_to_string(folder.join(".env")).unwrap(), theirs);
        assert!(!server.has_database("cafe"));

        let open = theirs.replace("postgresql://admin@old/cafe", "");
        fs::write(folder.join(".env"), &open).unwrap();
        builds.cafe(&folder, &[]).exits(0);
        let merged = fs::read_to_string(folder.join(".env")).unwrap();
        assert!(merged.starts_with("# theirs\r\nexport CAFE_POSTGRES_URL=postgresql://cafe_user:"), "{merged}");
        assert!(merged.contains("\r\nOTHER='a\nDB_HOST=b'\r\nDATABASE_URL="), "{merged}");
    }

    fn a_declared_server_takes_the_place_of_its_variables(server: TestServer) {
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        let declared = crate::world::server_yaml(&server).replace("tls:", "publish: {parameters: {sslmode: prefer}}\n  tls:");
        builds.world.write("server.yaml", &declared);
        let variables = [
            ("APP_NAME", "cafe-backend"), ("TENANTDB_SERVER", "../server.yaml"), ("PG_HOST", "nowhere.invalid"),
            ("POSTGRES_ADMIN_PASSWORD", ""), ("TEST_ADMIN_PASSWORD", server.admin_password()),
        ];
        builds.ensure(&folder, &variables, &[]).exits(0).says("created");
        let url = self::variables(&folder)["CAFE_POSTGRES_URL"].clone();
        assert!(url.ends_with("/cafe?sslmode=prefer"), "{url}");
    }
}

/// The administrator's password is `POSTGRES_PASSWORD` where there is no other.
#[test]
fn the_other_password_is_tried_and_the_way_is_verified_as_psql_does() {
    for major in majors() {
        let server = Options::new(major, Admin::Plain).start();
        let builds = Builds::on(&server);
        let folder = builds.checkout("cafe");
        let variables = [
            ("APP_NAME", "cafe"),
            ("POSTGRES_ADMIN_PASSWORD", ""),
            ("POSTGRES_PASSWORD", server.admin_password()),
            ("POSTGRES_ADMIN_USER", ""),
            ("PGSSLMODE", "disable"),
        ];
        let run = builds.ensure(&folder, &variables, &[]).exits(0);
        assert!(!run.stderr.contains("TLS"), "{}", run.stderr);
    }
}

/// A service's `build.sh`, as the document shows it; the deployment reads what was written.
fn build_script(namespace: &str, app: &str, database: &str) -> String {
    format!(
        "#!/usr/bin/env bash\n\
         set -euo pipefail\n\
         log_warning() {{ echo \"warning: $*\"; }}\n\
         APP_NAME={app}\n\
         NAMESPACE={namespace}\n\
         SETUP_DATABASES=true\n\
         # Create service database if needed\n\
         if [[ \"$SETUP_DATABASES\" == \"true\" && -n \"${{KUBE_CONFIG:-}}\" ]]; then\n    \
             # Wait for PostgreSQL to be ready\n    \
             kubectl -n infra rollout status statefulset/postgresql --timeout=180s || true\n    \
             # Create database for this service\n    \
             SERVICE_DB_NAME={database} \\\n    \
             APP_NAME={app} \\\n    \
             ./devops-k8s/scripts/create-service-database.sh || log_warning \"Database creation failed or already exists\"\n\
         fi\n\
         source .env\n\
         [[ -n \"${}_POSTGRES_URL\" ]] && echo deployed with a URL\n",
        database.to_uppercase()
    )
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
