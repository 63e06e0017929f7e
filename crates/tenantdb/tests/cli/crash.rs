//! A crash at any moment: run it again and all is as declared, and nothing that was handed out ever stops working.
//!
//! `TENANTDB_SOAK=1` makes the full numbers of kills, which take about half an hour.

mod damage;
mod reader;
mod scenario;
mod scenarios;
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tenantdb_core::CredentialStep;
use tenantdb_postgres::PostgresStep;
use tenantdb_testkit::{Admin, Options};

use crate::world::{Run, World, query, tenant};
use reader::Reader;
use scenario::NOTHING;
use scenarios::SCENARIOS;
use site::{Left, Site};

/// Servers at work at the same time.
const SERVERS: usize = 4;

/// A process that ends itself at the n-th passage of a failpoint.
#[derive(Clone, Debug)]
struct Kill {
    scenario: usize,
    failpoint: String,
    passage: usize,
    major: u32,
}

#[test]
fn a_crash_at_any_kind_of_step_is_mended_by_running_again() {
    let Some(majors) = majors() else { return };
    let stages = in_parallel(SERVERS, (0..SCENARIOS.len()).collect(), |scenario| {
        let mut stage = Stage::new(scenario, majors[scenario % majors.len()]);
        let passages = stage.passages();
        (stage, passages)
    });
    let (stages, traced): (Vec<Stage>, Vec<BTreeMap<String, usize>>) = stages.into_iter().unzip();
    let kills = if soak() { every_failpoint(&traced, &majors) } else { every_kind(&traced, &stages) };
    let mut on_stages: BTreeMap<(usize, u32), (Option<Stage>, Vec<Kill>)> = BTreeMap::new();
    for kill in &kills {
        on_stages.entry((kill.scenario, kill.major)).or_default().1.push(kill.clone());
    }
    for stage in stages {
        on_stages.entry((stage.scenario, stage.major)).and_modify(|(ready, _)| *ready = Some(stage));
    }
    in_parallel(SERVERS, on_stages.into_iter().collect(), |((scenario, major), (ready, kills))| {
        let mut stage = ready.unwrap_or_else(|| Stage::new(scenario, major));
        for kill in &kills {
            stage.crash(kill);
        }
    });

    let mut done = BTreeMap::<&str, usize>::new();
    for kill in &kills {
        *done.entry(kind(&kill.failpoint)).or_default() += 1;
    }
    say(&format!("{} kills at steps: {done:?}", kills.len()));
    let of_steps: BTreeSet<&str> = PostgresStep::kinds().chain(CredentialStep::KINDS.iter().copied()).collect();
    let missed: Vec<&&str> = of_steps.iter().filter(|kind| !done.contains_key(*kind)).collect();
    assert!(missed.is_empty(), "no scenario passes {missed:?}: add one to scenarios.rs");
}

/// A scenario on one version. It is set up once, and each run of its task begins there.
struct Stage {
    scenario: usize,
    major: u32,
    site: Site,
}

impl Stage {
    fn new(scenario: usize, major: u32) -> Self {
        let _context = Context(format!("set up, {}, PostgreSQL {major}", SCENARIOS[scenario].name));
        Self { scenario, major, site: SCENARIOS[scenario].site(major) }
    }

    /// How often an undisturbed run passes each failpoint.
    fn passages(&mut self) -> BTreeMap<String, usize> {
        let (scenario, site) = (&SCENARIOS[self.scenario], &mut self.site);
        let _context = Context(format!("undisturbed, {}, PostgreSQL {}", scenario.name, self.major));
        scenario.begin(site);
        let passages = traced(&mut scenario.command(site));
        scenario.check(site);
        site.server.rest();
        passages
    }

    fn crash(&mut self, kill: &Kill) {
        let (scenario, site) = (&SCENARIOS[self.scenario], &mut self.site);
        let _context = Context(format!("killed during {}: {kill:?}", scenario.name));
        scenario.begin(site);
        let failpoint = format!("{}:{}", kill.failpoint, kill.passage);
        let killed = Run::of(scenario.command(site).env("TENANTDB_FAILPOINT", failpoint));
        assert_eq!(killed.code, None, "it was not killed: {killed:?}");
        site.look();
        Run::of(&mut scenario.command(site)).exits(0);
        scenario.check(site);
    }
}

/// Runs a command to its end, and gives how often it passed each failpoint.
pub fn traced(command: &mut Command) -> BTreeMap<String, usize> {
    let run = Run::of(command.env("TENANTDB_LOG", "tenantdb_core::failpoint=trace")).exits(0);
    let mut passages = BTreeMap::new();
    for (_, name) in run.stderr.lines().filter_map(|line| line.split_once("tenantdb_core::failpoint: ")) {
        *passages.entry(name.to_owned()).or_default() += 1;
    }
    passages
}

/// Whether a failpoint is worth a kill of its own: before one step is after another.
pub fn is_worth_a_kill(failpoint: &str) -> bool {
    soak() || !failpoint.starts_with("before-")
}

/// What a failpoint is about: the kind of a step, or itself.
fn kind(failpoint: &str) -> &str {
    failpoint.strip_prefix("before-").or(failpoint.strip_prefix("after-")).unwrap_or(failpoint)
}

/// One kill for each kind of step, before or after it, spread over the scenarios.
fn every_kind(traced: &[BTreeMap<String, usize>], stages: &[Stage]) -> Vec<Kill> {
    let kinds: BTreeSet<&str> = traced.iter().flat_map(BTreeMap::keys).map(|name| kind(name)).collect();
    let choose = |(index, wanted): (usize, &&str)| {
        let places: Vec<(usize, &String, usize)> =
            places(traced).filter(|(_, failpoint, _)| kind(failpoint) == *wanted).collect();
        let (scenario, failpoint, count) = places[index * 7 % places.len()];
        let passage = 1 + index * 3 % count;
        Kill { scenario, failpoint: failpoint.clone(), passage, major: stages[scenario].major }
    };
    kinds.iter().enumerate().map(choose).collect()
}

/// At least five kills at each failpoint, at different passages, in each scenario that passes it.
fn every_failpoint(traced: &[BTreeMap<String, usize>], majors: &[u32]) -> Vec<Kill> {
    let names: BTreeSet<&String> = traced.iter().flat_map(BTreeMap::keys).collect();
    let mut kills = Vec::new();
    for name in names {
        let places: Vec<(usize, &String, usize)> =
            places(traced).filter(|(_, failpoint, _)| *failpoint == name).collect();
        for round in 0..places.len().max(5) {
            let (scenario, failpoint, count) = places[round % places.len()];
            let major = majors[(round + kills.len()) % majors.len()];
            kills.push(Kill { scenario, failpoint: failpoint.clone(), passage: 1 + round % count, major });
        }
    }
    kills
}

/// Scenario, failpoint and how often it is passed there.
fn places(traced: &[BTreeMap<String, usize>]) -> impl Iterator<Item = (usize, &String, usize)> {
    let of = |(scenario, passages)| BTreeMap::iter(passages).map(move |(name, count)| (scenario, name, *count));
    traced.iter().enumerate().flat_map(of)
}

#[test]
fn a_kill_at_any_moment_is_mended_by_running_again_while_applications_keep_logging_in() {
    let Some(majors) = majors() else { return };
    let seed: u32 = std::env::var("TENANTDB_SEED").map_or_else(|_| rand::rng().random(), |seed| seed.parse().unwrap());
    let (alone, in_pairs) = if soak() { (200, 50) } else { (6, 3) };
    say(&format!("TENANTDB_SEED={seed}"));
    let shares: Vec<Share> = (0..majors.len())
        .map(|index| Share {
            major: majors[index],
            seed: u64::from(seed) * 100 + index as u64,
            alone: share(alone, index, majors.len()),
            in_pairs: share(in_pairs, index, majors.len()),
        })
        .collect();
    let outcomes = in_parallel(majors.len(), shares, Share::run);
    for outcome in outcomes {
        say(&outcome);
    }
}

/// The part of one of several workers.
fn share(whole: usize, index: usize, workers: usize) -> usize {
    (whole + workers - 1 - index) / workers
}

/// Kills at random moments on servers of one version.
struct Share {
    major: u32,
    seed: u64,
    /// Kills of a process that works alone.
    alone: usize,
    /// Kills of processes that work in pairs.
    in_pairs: usize,
}

/// What is created while the process is killed.
fn fifty() -> BTreeMap<String, &'static str> {
    let spec = |number: usize| if number.is_multiple_of(5) { scenarios::FULL } else { "{connectionLimit: 20}" };
    (0..50).map(|number| (format!("tenant-{number:02}"), spec(number))).collect()
}

impl Share {
    fn run(self) -> String {
        let mut random = StdRng::seed_from_u64(self.seed);
        let (mut killed, mut logins, length) = ([0, 0], 0, self.undisturbed());
        for (processes, wanted) in [(1, self.alone), (2, self.in_pairs)] {
            while killed[processes - 1] < wanted {
                let moments = (0..processes).map(|_| length.mul_f64(random.random())).collect();
                let (kills, reads) = self.round(moments);
                killed[processes - 1] += kills;
                logins += reads;
            }
        }
        format!(
            "{} kills of one process and {} of two at random moments of 50 creations on PostgreSQL {} ({:.1} s when \
             undisturbed); {logins} logins by an application meanwhile",
            killed[0],
            killed[1],
            self.major,
            length.as_secs_f64(),
        )
    }

    fn site(&self) -> Site {
        let site = Site::new(self.major, &[]);
        let tenants: String = fifty().iter().map(|(name, spec)| tenant(name, spec)).collect();
        site.world.write("tenants.yaml", &tenants);
        site
    }

    /// How long it takes two processes when nobody kills them; one takes as long, for the work is the server's.
    fn undisturbed(&self) -> Duration {
        let _context = Context(format!("undisturbed on PostgreSQL {}", self.major));
        let site = self.site();
        let began = Instant::now();
        let running: Vec<Child> = (0..2).map(|_| start(&site)).collect();
        for mut process in running {
            assert!(process.wait().unwrap().success());
        }
        began.elapsed()
    }

    /// Kills a process at each of these moments after they were started together; gives the number of those that were
    /// still at work then, and how often an application logged in meanwhile.
    fn round(&self, mut moments: Vec<Duration>) -> (usize, usize) {
        let _context = Context(format!("killed after {moments:?} on PostgreSQL {}", self.major));
        let mut site = self.site();
        let reader = Reader::start(&site);
        let began = Instant::now();
        let running: Vec<Child> = moments.iter().map(|_| start(&site)).collect();
        moments.sort();
        let mut kills = 0;
        for (mut process, moment) in running.into_iter().zip(moments.clone()) {
            thread::sleep(moment.saturating_sub(began.elapsed()));
            if process.try_wait().unwrap().is_none() {
                kills += 1;
                process.kill().unwrap();
            }
            process.wait().unwrap();
        }
        site.look();
        site.world.run(&APPLY).exits(0);
        let left = fifty().into_keys().map(|name| (name, Left::Whole)).collect();
        site.check(left, NOTHING);
        site.is_as_declared();
        (kills, reader.stop())
    }
}

const APPLY: [&str; 5] = ["apply", "-f", "server.yaml", "-f", "tenants.yaml"];

fn start(site: &Site) -> Child {
    site.world.command(&APPLY).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Whether the full numbers are wanted.
fn soak() -> bool {
    std::env::var("TENANTDB_SOAK").is_ok_and(|value| value == "1")
}

/// A commit that does not wait for the disk is lost with the server: what is outside of it is then ahead of the ledger.
#[test]
fn a_crash_of_the_server_is_mended_by_running_again_and_takes_nothing_back_that_was_reported() {
    let adopted = tenant("cafe", "{adopt: Existing}");
    let removable = tenant("cafe", "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}");
    let mut lost = 0;
    for major in tenantdb_testkit::majors() {
        // Nothing else is to write the log of what was committed.
        let quiet = [("wal_writer_delay", "10s"), ("autovacuum", "off")];
        let options = quiet
            .into_iter()
            .fold(Options::new(major, Admin::Superuser), |all, (name, value)| all.setting(name, value));
        let server = options.start();
        let crash = || {
            server.kill();
            server.start_again();
        };
        let rows = "SELECT count(*) FROM ledger.tenant WHERE phase = 'Provisioned'";
        for failpoint in ["after-claim", "after-fence-credential", "after-publish-credential", "after-settle"] {
            let world = World::on(&server);
            server.psql("postgres", "CREATE ROLE cafe LOGIN PASSWORD 'from-before'");
            server.psql("postgres", "CREATE DATABASE cafe OWNER cafe");
            world.declare(&tenant("erp", "{}")).run_on(&["apply"]).exits(0);
            world.declare(&adopted).run_killed_at(failpoint, &["apply", "--yes"]);
            crash();
            lost +=
                usize::from(server.psql("tenantdb", "SELECT count(*) FROM ledger.tenant WHERE name = 'cafe'") == "0");
            world.run_on(&["apply", "--yes"]).exits(0);
            crash();
            assert_eq!(server.psql("tenantdb", rows), "2", "{failpoint}");
            world.run_on(&["plan", "--exit-code", "--refresh"]).exits(0);
            query(&server, &world.delivered("cafe"), "SELECT 1").unwrap();
            server.attempt_blocking("cafe", "from-before", "cafe").expect("no password changes");
            remove(&world, &removable.replace("{del", "{adopt: Existing, del"));
            remove(&world, &removable.replace("cafe", "erp"));
        }
        for failpoint in
            ["after-record-deletion", "after-withdraw-credential", "after-close-database", "after-drop-database"]
        {
            let world = World::on(&server);
            world.declare(&removable).run_on(&["apply"]).exits(0);
            world.run_killed_at(failpoint, &["delete", "--yes"]);
            crash();
            lost += usize::from(server.psql("tenantdb", rows) == "1");
            world.run_on(&["delete", "--yes"]).exits(0);
            crash();
            assert_eq!(server.psql("tenantdb", "SELECT count(*) FROM ledger.tenant"), "0", "{failpoint}");
            assert!(!server.has_database("cafe"));
        }
    }
    assert!(lost > 0 || tenantdb_testkit::majors().is_empty(), "every commit was on the disk: this tries nothing");
}

/// Lets go of a tenant's protection, and deletes it.
fn remove(world: &World, declaration: &str) {
    world.declare(declaration).run_on(&["apply", "--yes"]).exits(0);
    world.run_on(&["delete", "--yes"]).exits(0);
}

/// The versions to kill on, in turn.
fn majors() -> Option<Vec<u32>> {
    let majors = tenantdb_testkit::majors();
    (!majors.is_empty()).then_some(majors)
}

/// Prints past the test harness, which shows nothing of a test that passed.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "crash: {text}");
}

/// Works on each item, several at a time; the outcomes are in the order of the items.
fn in_parallel<T: Send, R: Send>(workers: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let waiting = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(BTreeMap::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((index, item)) = next() {
                    let outcome = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(index, outcome);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// Says what was going on when a check fails.
struct Context(String);

impl Drop for Context {
    fn drop(&mut self) {
        if thread::panicking() {
            say(&self.0);
        }
    }
}
