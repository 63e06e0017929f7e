//! Comparing the program with the plain client, in turns.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tenantdb_testkit::{Admin, Options, TestServer};

use crate::listed;

/// Who does the work.
#[derive(Clone, Copy)]
pub enum Side {
    /// The program.
    Ours,
    /// A plain client with so many workers.
    Bare(usize),
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours => write!(f, "tenantdb"),
            Self::Bare(workers) => write!(f, "bare, {workers} workers"),
        }
    }
}

/// What is measured of something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// How long it took.
    pub took: Duration,
    /// The processor time of the server and its client together, which other work on the machine changes less.
    pub processor: Duration,
}

/// Lets each side do the work, round by round, and shows what it took.
pub fn compare(what: &str, mut work: impl FnMut(Side) -> Cost) {
    let rounds: usize = listed("BENCH_ROUNDS", "4")[0];
    let workers: Vec<usize> = listed("BENCH_WORKERS", "2,4,8");
    let sides: Vec<Side> = workers.into_iter().map(Side::Bare).chain([Side::Ours]).collect();
    let mut costs = vec![Vec::new(); sides.len()];
    for round in 0..rounds {
        // Each in its turn, and another one first each time.
        for step in 0..sides.len() {
            let turn = (round + step) % sides.len();
            let spent = work(sides[turn]);
            eprintln!("{what}, round {round}, {}: {:.2} s", sides[turn], spent.took.as_secs_f64());
            costs[turn].push(spent);
        }
    }
    println!("  {what}, median of {rounds}");
    for (side, costs) in sides.iter().zip(&costs) {
        println!("    {:<16} {}", format!("{side}:"), Shown(costs));
    }
    let (ours, bare) = costs.split_last().expect("our own side");
    let best = bare.iter().min_by_key(|costs| median(costs)).expect("several numbers of workers");
    // Of each round by itself: a machine that gets slower does so for both.
    let mut ratios: Vec<f64> =
        ours.iter().zip(best).map(|(ours, bare)| ours.took.as_secs_f64() / bare.took.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let all: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    println!("    ratio of the time to the best bare: {:.2} ({})", ratios[ratios.len() / 2], all.join(" "));
}

/// What work on a server costs that is of no use afterwards: its processor time is known when it has ended.
pub fn cost(server: TestServer, work: impl FnOnce(&TestServer) -> Duration) -> Cost {
    let before = processor();
    let took = work(&server);
    drop(server);
    Cost { took, processor: processor().saturating_sub(before) }
}

/// What this process and all that have ended below it have used.
pub fn processor() -> Duration {
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

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.0.to_vec();
        all.sort();
        let all: Vec<String> = all.iter().map(|cost| format!("{:.2}", cost.took.as_secs_f64())).collect();
        let Cost { took, processor } = median(self.0);
        write!(f, "{:6.2} s ({}), {:.2} s of processor", took.as_secs_f64(), all.join(" "), processor.as_secs_f64())
    }
}

/// The one in the middle.
pub fn median<T: Copy + Ord>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

/// A server of its own, with nothing left to be written by what was measured before.
pub fn start(major: u32, admin: Admin) -> TestServer {
    settle();
    let quiet = [("log_statement", "none"), ("log_connections", "off"), ("log_disconnections", "off")];
    let options = Options::new(major, admin).fsync(true);
    quiet.into_iter().fold(options, |options, (name, value)| options.setting(name, value)).start()
}

/// Waits until what was written is on disk.
pub fn settle() {
    let synced = Command::new("sync").status();
    assert!(synced.is_ok_and(|status| status.success()), "sync(1) failed");
}
