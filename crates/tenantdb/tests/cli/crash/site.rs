//! A server and a home, and what must be true of them after a crash. It is worked out here from the declarations
//! alone, and shares nothing with the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use tenantdb_testkit::{Admin, Options, TestServer, copy_tree, scratch_directory};

use crate::world::{World, query};

/// The password of a credential that somebody spoilt by hand: nobody promised that it works.
pub const SPOILT: &str = "spoilt";

/// The password of what somebody made by hand.
const BEFORE: &str = "from-before";

/// What has to be left of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// All of it, and every credential that was ever delivered logs in.
    Whole,
    /// The database and its owner; nobody logs in.
    Database,
    /// The roles; none of them logs in.
    Roles,
    /// Nothing.
    Nothing,
}

/// What each tenant has beside its own database, roles and credential; `{}` stands for its name.
#[derive(Clone, Copy, Debug)]
pub struct More {
    /// Roles, and whether they log in: `{}_ro|f`.
    pub roles: &'static [&'static str],
    /// Credentials, each of which logs in.
    pub credentials: &'static [&'static str],
}

/// A user name and its password.
pub type Login = (String, String);

/// A server of its own, and a home.
pub struct Site {
    pub server: TestServer,
    pub world: World,
    /// Those that it is about.
    pub tenants: &'static [&'static str],
    promised: Promised,
    /// The world's folder and what was promised when it was kept.
    kept: Option<(TempDir, Promised)>,
}

/// What has to stay true of the tenants, whatever happens.
#[derive(Clone, Default)]
struct Promised {
    /// Every login that was ever seen in a tenant's credential, and so has to work.
    seen: BTreeMap<String, BTreeSet<Login>>,
    /// Users whose credential was taken back; the login may be there for a while.
    forgotten: BTreeSet<String>,
    /// Further tenants that stay whole.
    whole: BTreeSet<String>,
    /// Tenants whose role was there before, beside whose login they have slots.
    adopted: BTreeSet<String>,
}

impl Site {
    pub fn new(major: u32, tenants: &'static [&'static str]) -> Self {
        // The less it keeps of its log, the less there is to copy.
        let server = Options::new(major, Admin::Plain).setting("wal_recycle", "off").start();
        let world = World::on(&server);
        server.psql("postgres", "CREATE ROLE readers; GRANT readers TO admin_user WITH ADMIN OPTION");
        world.write("seed.sql", "CREATE TABLE seeds AS SELECT current_user AS who;");
        Self { server, world, tenants, promised: Promised::default(), kept: None }
    }

    /// Ends the server, and keeps it all as it is now for [`Site::go_back`].
    pub fn keep(&mut self) {
        self.server.keep();
        let kept = tempfile::tempdir_in(scratch_directory()).unwrap();
        copy_tree(self.world.folder(), &kept.path().join("world"));
        self.kept = Some((kept, self.promised.clone()));
    }

    /// Makes it all as it was when it was kept.
    pub fn go_back(&mut self) {
        let (kept, promised) = self.kept.as_ref().expect("it was kept");
        self.server.go_back();
        fs::remove_dir_all(self.world.folder()).unwrap();
        copy_tree(&kept.path().join("world"), self.world.folder());
        self.promised = promised.clone();
    }

    /// Remembers every credential that is delivered now.
    pub fn look(&mut self) {
        for (tenant, login) in delivered(&self.folder()) {
            if login.1 != SPOILT {
                self.promised.seen.entry(tenant).or_default().insert(login);
            }
        }
    }

    /// Takes back what was promised of every credential so far.
    pub fn forget(&mut self) {
        let users = std::mem::take(&mut self.promised.seen).into_values().flatten().map(|(user, _)| user);
        self.promised.forgotten.extend(users);
    }

    /// Somebody makes a database by hand, whose owner logs in; the administrator may let others join that.
    pub fn make_by_hand(&mut self, tenant: &str) {
        self.server.psql("postgres", &format!("CREATE ROLE {tenant} LOGIN PASSWORD '{BEFORE}'"));
        self.server.psql("postgres", &format!("CREATE DATABASE {tenant} OWNER {tenant}"));
        if self.server.major() >= 16 {
            let grant = format!("GRANT {tenant} TO admin_user WITH ADMIN OPTION, INHERIT FALSE, SET FALSE");
            self.server.psql("postgres", &grant);
        }
        self.promised.adopted.insert(tenant.to_owned());
    }

    /// Expects its password from before to work all the time.
    pub fn keeps_login(&mut self, tenant: &str) {
        self.promised.seen.entry(tenant.to_owned()).or_default().insert((tenant.to_owned(), BEFORE.to_owned()));
    }

    /// Expects a further tenant to stay whole.
    pub fn keeps(&mut self, tenant: &str) {
        self.promised.whole.insert(tenant.to_owned());
    }

    /// The server holds what the tenants have left and nothing else, and so does the folder of credentials.
    #[track_caller]
    pub fn check(&mut self, mut left: BTreeMap<String, Left>, more: More) {
        self.look();
        let of_tenants = |names: &[&str]| -> BTreeSet<String> {
            let of_one = |tenant: &String| names.iter().map(|name| name.replace("{}", tenant)).collect::<Vec<_>>();
            left.keys().flat_map(of_one).collect()
        };
        let (roles, credentials) = (of_tenants(more.roles), of_tenants(more.credentials));
        left.extend(self.promised.whole.iter().map(|tenant| (tenant.clone(), Left::Whole)));
        let left = &left;
        self.has_no_stray_database(left);
        self.has_no_stray_role(left, roles);
        self.has_no_stray_file(left, &credentials);
        for name in credentials {
            let held = self.world.credential("default", &name);
            let came_in = query(&self.server, &held, "SELECT session_user");
            assert_eq!(came_in.as_ref(), Ok(&held["username"]), "{name} was delivered");
        }
        for (tenant, left) in left {
            let seen = self.promised.seen.get(tenant).cloned().unwrap_or_default();
            assert!(*left != Left::Whole || !seen.is_empty(), "{tenant} has no credential");
            for (user, password) in seen {
                let came_in = self.server.psql_as(&user, &password, tenant, "SELECT current_user");
                match left {
                    Left::Whole => assert_eq!(came_in.as_ref(), Ok(tenant), "{user} was delivered"),
                    _ => assert!(came_in.is_err(), "{user} should be gone"),
                }
            }
        }
    }

    /// A closer look than `apply`'s own finds nothing to do.
    #[track_caller]
    pub fn is_as_declared(&self) {
        self.world.run(&["plan", "--exit-code", "--refresh", "-f", "server.yaml", "-f", "tenants.yaml"]).exits(0);
    }

    #[track_caller]
    fn has_no_stray_database(&self, left: &BTreeMap<String, Left>) {
        let ours = left.iter().filter(|(_, left)| matches!(left, Left::Whole | Left::Database));
        let expected: BTreeSet<String> = ["postgres", "template0", "template1", "tenantdb"]
            .into_iter()
            .chain(ours.map(|(tenant, _)| tenant.as_str()))
            .map(str::to_owned)
            .collect();
        assert_eq!(self.lines("SELECT datname FROM pg_database"), expected);
    }

    /// Every role and who can log in; and the estate keeps no membership in a tenant but the one that PostgreSQL gives
    /// to whoever makes a role, which has neither INHERIT nor SET.
    #[track_caller]
    fn has_no_stray_role(&self, left: &BTreeMap<String, Left>, more: BTreeSet<String>) {
        let found = self.lines("SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname !~ '^pg_'");
        let mut expected: BTreeSet<String> =
            ["admin_user|t", "postgres|t", "readers|f", "tenantdb_owner|f"].map(str::to_owned).into();
        expected.extend(more);
        for (tenant, left) in left {
            let logins: BTreeSet<&str> =
                self.promised.seen.get(tenant).into_iter().flatten().map(|(user, _)| user.as_str()).collect();
            let roles: &[&str] = match left {
                Left::Whole if logins.contains(tenant.as_str()) && !self.promised.adopted.contains(tenant) => &[""],
                Left::Whole | Left::Roles => &["", "_a", "_b"],
                Left::Database => &[""],
                Left::Nothing => &[],
            };
            let third = format!("{tenant}_c");
            let third = (*left == Left::Whole && logins.contains(third.as_str())).then_some(third);
            for role in roles.iter().map(|suffix| format!("{tenant}{suffix}")).chain(third) {
                let login = *left == Left::Whole && logins.contains(role.as_str());
                let either = *left == Left::Whole && self.promised.forgotten.contains(&role);
                let login = login || either && found.contains(&format!("{role}|t"));
                expected.insert(format!("{role}|{}", if login { 't' } else { 'f' }));
            }
        }
        assert_eq!(found, expected);
        let elevated = if self.server.major() >= 16 { "inherit_option OR set_option" } else { "true" };
        let memberships = self.lines(&format!(
            "SELECT roleid::regrole FROM pg_auth_members WHERE member = 'tenantdb_owner'::regrole AND ({elevated})"
        ));
        assert_eq!(memberships, BTreeSet::new());
    }

    #[track_caller]
    fn has_no_stray_file(&self, left: &BTreeMap<String, Left>, more: &BTreeSet<String>) {
        let of_tenants =
            left.iter().filter(|(_, left)| **left == Left::Whole).map(|(tenant, _)| format!("{tenant}-secret"));
        let of_tenants =
            of_tenants.chain(more.iter().cloned()).flat_map(|name| [format!("{name}.json"), format!(".{name}.json")]);
        let expected: BTreeSet<String> = of_tenants.chain([".lock".to_owned()]).collect();
        let found = fs::read_dir(self.folder()).unwrap();
        let found: BTreeSet<String> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(found, expected);
    }

    fn lines(&self, sql: &str) -> BTreeSet<String> {
        self.server.psql("postgres", sql).lines().map(str::to_owned).collect()
    }

    /// Where the credentials are.
    pub fn folder(&self) -> PathBuf {
        self.world.home().join("credentials/default")
    }
}

/// The credentials that are delivered now, by tenant.
pub fn delivered(folder: &std::path::Path) -> Vec<(String, Login)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let read = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix("-secret.json")?;
        // A file that goes away between the two reads is no credential any more.
        let text = fs::read_to_string(&path).ok().filter(|_| !name.starts_with('.'))?;
        let credential: BTreeMap<String, String> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text:?}", path.display()));
        Some((name.to_owned(), (credential["username"].clone(), credential["password"].clone())))
    };
    entries.filter_map(|entry| read(entry.ok()?.path())).collect()
}
