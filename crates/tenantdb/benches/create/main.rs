//! How long it takes to create tenants, compared with the bare work: the same statements and one login for each tenant,
//! by a plain parallel client that keeps no ledger and delivers nothing. What is compared, and what came of it, is in
//! `docs/performance.md`.
//!
//! `cargo bench -p tenantdb` runs it. `BENCH_TENANTS` (200,1000), `BENCH_ROUNDS` (4: each side goes first once; 0: only
//! what takes little time), `BENCH_WORKERS` (2,4,8: those of the plain client, of which the best counts) and
//! `BENCH_SERVERS` (18,16) change it.

mod bare;
mod look;

use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tempfile::TempDir;
use tenantdb_testkit::{ADMIN_PASSWORD_VARIABLE, Admin, Options, TestServer, server_manifest, tenant_manifest};

/// The file with the declarations.
const DECLARATIONS: &str = "declarations.yaml";

/// How often what takes little time is run.
const QUICK_RUNS: usize = 7;

/// How often the program is run that has nothing to do, and its bare queries.
const IDLE_RUNS: usize = 25;

fn main() {
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(4);
    for major in numbers("BENCH_SERVERS", "18,16") {
        if !tenantdb_testkit::available(major) {
            continue;
        }
        for tenants in numbers("BENCH_TENANTS", "200,1000") {
            println!("PostgreSQL {major}, fsync on, plain admin, {tenants} tenants, median of {rounds}");
            if rounds > 0 {
                measure(major, tenants, rounds);
            }
            quick(major, tenants);
        }
        plan_many(major, 10_000);
    }
}

/// Numbers separated by commas, from the environment.
fn numbers<T: FromStr<Err: std::fmt::Debug>>(variable: &str, default: &str) -> Vec<T> {
    let text = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    text.split(',').map(|number| number.trim().parse().expect("numbers separated by commas")).collect()
}

/// What it costs to plan for many, on a server that has none.
fn plan_many(major: u32, tenants: usize) {
    let server = start(major);
    let folder = declarations(&server, tenants);
    let plan = || {
        let before = processor();
        let (_, peak) = run(folder.path(), &server, &["plan", "-f", DECLARATIONS]);
        (processor().saturating_sub(before), peak)
    };
    let (used, peak) = median(&std::array::from_fn::<_, 3, _>(|_| plan()));
    println!("PostgreSQL {major}, empty, {tenants} tenants declared");
    println!("  tenantdb plan: {:.2} s of processor, peak memory {} MiB\n", used.as_secs_f64(), peak / 1024);
}

fn measure(major: u32, tenants: usize, rounds: usize) {
    let workers: Vec<usize> = numbers("BENCH_WORKERS", "2,4,8");
    let sides: Vec<Side> = workers.into_iter().map(Side::Bare).chain([Side::Ours]).collect();
    let mut costs = vec![Vec::new(); sides.len()];
    for round in 0..rounds {
        // Each in its turn, and another one first each time.
        for step in 0..sides.len() {
            let turn = (round + step) % sides.len();
            let spent = cost(major, |server| match sides[turn] {
                Side::Ours => create(server, tenants),
                Side::Bare(workers) => bare::measure(server, tenants, workers),
            });
            eprintln!("round {round}, {}: {:.2} s", sides[turn], spent.took.as_secs_f64());
            costs[turn].push(spent);
        }
    }
    for (side, costs) in sides.iter().zip(&costs) {
        println!("  {:<16} {}", format!("{side}:"), Shown(costs));
    }
    let (ours, bare) = costs.split_last().expect("our own side");
    let best = bare.iter().min_by_key(|costs| median(costs)).expect("several numbers of workers");
    // Of each round by itself: a machine that gets slower does so for both.
    let mut ratios: Vec<f64> =
        ours.iter().zip(best).map(|(ours, bare)| ours.took.as_secs_f64() / bare.took.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let all: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    println!("  ratio of the time to the best bare: {:.2} ({})", ratios[ratios.len() / 2], all.join(" "));
}

/// Who creates the tenants.
#[derive(Clone, Copy)]
enum Side {
    /// The program.
    Ours,
    /// A plain client with so many workers.
    Bare(usize),
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ours => write!(f, "tenantdb apply"),
            Self::Bare(workers) => write!(f, "bare, {workers} workers"),
        }
    }
}

/// What is measured of something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    took: Duration,
    /// The processor time of the server and its client together, which other work on the machine changes less.
    processor: Duration,
}

/// Does something on a server of its own.
fn cost(major: u32, work: impl FnOnce(&TestServer) -> Duration) -> Cost {
    let server = start(major);
    let before = processor();
    let took = work(&server);
    drop(server);
    Cost { took, processor: processor().saturating_sub(before) }
}

/// What this process and all that have ended below it have used.
fn processor() -> Duration {
    let used = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(|who| {
        let usage = getrusage(who).expect("a process knows what it used");
        [usage.user_time(), usage.system_time()]
    });
    let whole = |number: i64| u64::try_from(number).unwrap_or_default();
    let duration =
        |time: &TimeVal| Duration::from_secs(whole(time.tv_sec())) + Duration::from_micros(whole(time.tv_usec()));
    used.iter().flatten().map(duration).sum()
}

struct Shown<'a>(&'a [Cost]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut all = self.0.to_vec();
        all.sort();
        let all: Vec<String> = all.iter().map(|cost| format!("{:.2}", cost.took.as_secs_f64())).collect();
        let Cost { took, processor } = median(self.0);
        write!(f, "{:6.2} s ({}), {:.2} s of processor", took.as_secs_f64(), all.join(" "), processor.as_secs_f64())
    }
}

fn median<T: Copy + Ord>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

/// A server of its own for each measurement, with nothing left to be written by the one before.
fn start(major: u32) -> TestServer {
    let synced = Command::new("sync").status();
    assert!(synced.is_ok_and(|status| status.success()), "sync(1) failed");
    let quiet = [("log_statement", "none"), ("log_connections", "off"), ("log_disconnections", "off")];
    let options = Options::new(major, Admin::Plain).fsync(true);
    quiet.into_iter().fold(options, |options, (name, value)| options.setting(name, value)).start()
}

/// A whole process: how long it took, and its peak memory in KiB.
type Run = (Duration, u64);

/// Creates the tenants with the program, as a whole process.
fn create(server: &TestServer, tenants: usize) -> Duration {
    run(declarations(server, tenants).path(), server, &APPLY).0
}

const APPLY: [&str; 3] = ["apply", "-f", DECLARATIONS];

/// What the program takes once they are there.
fn quick(major: u32, tenants: usize) {
    let server = start(major);
    let folder = declarations(&server, tenants);
    let (_, peak) = run(folder.path(), &server, &APPLY);
    println!("  tenantdb apply: peak memory {} MiB", peak / 1024);
    let queries = look::traced(&trace(folder.path(), &server));
    // In turns, so that what the server does of its own meanwhile is the same for both.
    let (idle, looks): (Vec<Run>, Vec<Duration>) =
        (0..IDLE_RUNS).map(|_| (run(folder.path(), &server, &APPLY), look::measure(&server, &queries))).unzip();
    show("apply, nothing to do", &idle);
    let took = median(&looks).as_secs_f64() * 1000.0;
    println!("  bare, the {} queries of a look and the logins for them: {took:.1} ms", queries.len());
    let commands: [(&str, &[&str]); 3] = [
        ("plan", &["plan", "-f", DECLARATIONS]),
        ("plan --refresh", &["plan", "--refresh", "-f", DECLARATIONS]),
        ("--version", &["--version"]),
    ];
    for (what, arguments) in commands {
        let runs: Vec<Run> = (0..QUICK_RUNS).map(|_| run(folder.path(), &server, arguments)).collect();
        show(what, &runs);
    }
    println!();
}

fn show(what: &str, runs: &[Run]) {
    let (took, peak) = median(runs);
    println!("  tenantdb {what}: {:.1} ms, peak memory {} MiB", took.as_secs_f64() * 1000.0, peak / 1024);
}

/// What the program traces when nothing is to be done.
fn trace(folder: &Path, server: &TestServer) -> String {
    let output = program(folder, server, &APPLY).env("TENANTDB_LOG", "trace").output().expect("the program starts");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn declarations(server: &TestServer, tenants: usize) -> TempDir {
    let spec = format!("{{connectionLimit: {}}}", bare::CONNECTION_LIMIT);
    let tenants: String = (0..tenants).map(|number| tenant_manifest(&bare::name(number), &spec)).collect();
    let folder = tempfile::Builder::new().prefix("tenantdb-bench-").tempdir().expect("a folder");
    std::fs::write(folder.path().join(DECLARATIONS), server_manifest(server) + &tenants).expect("a file");
    folder
}

fn run(folder: &Path, server: &TestServer, arguments: &[&str]) -> Run {
    let mut program = program(folder, server, arguments);
    let began = Instant::now();
    let mut child = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    loop {
        peak = peak.max(peak_memory(Path::new(&status)));
        if let Some(end) = child.try_wait().expect("a child that was not waited for") {
            let took = began.elapsed();
            assert!(end.success(), "{arguments:?} ended with {end}");
            return (took, peak);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn program(folder: &Path, server: &TestServer, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenantdb"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env("TENANTDB_HOME", folder.join("home")).env(ADMIN_PASSWORD_VARIABLE, server.admin_password());
    command.env("NO_COLOR", "1");
    command
}

/// What Linux says of a process's peak; 0 elsewhere.
fn peak_memory(status: &Path) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    peak.and_then(|peak| peak.trim().parse().ok()).unwrap_or_default()
}
