//! Several operators: each server is worked on by one of them at a time, whatever becomes of the others.

use std::collections::BTreeMap;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tenantdb_testkit::{Admin, Options, TestServer, wait_until};

use super::site::{OPERATOR, PATIENCE, Site};
use crate::world::tenant;

/// A server whose log tells who changed something.
fn telling() -> Options {
    Options::new(18, Admin::Plain).setting("log_statement", "mod").setting("log_line_prefix", "<%a> ")
}

/// Those who changed something on a server, one after the other, without the same twice in a row.
fn writers(server: &TestServer) -> Vec<String> {
    let log = server.log();
    let statements = log.lines().filter(|line| line.contains("LOG:  statement: "));
    let names = statements.filter_map(|line| line.strip_prefix("<tenantdb ")?.split_once('>').map(|(name, _)| name));
    let operators = names.filter(|name| name.contains('@')).map(str::to_owned);
    let mut writers: Vec<String> = operators.collect();
    writers.dedup();
    writers
}

/// The Lease of a share: its holder, and how often it was taken after the first time.
fn lease(site: &Site, name: &str) -> (Option<String>, usize) {
    let lease = site.get("lease", OPERATOR, name).unwrap_or_default();
    let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty()).map(str::to_owned);
    let transitions = lease["spec"]["leaseTransitions"].as_u64().unwrap_or_default();
    (holder, usize::try_from(transitions).unwrap())
}

/// The process in what an operator is called: `<random> <user>:<process>@<host>`.
fn process(identity: &str) -> Option<u32> {
    identity.rsplit_once('@')?.0.rsplit_once(':')?.1.parse().ok()
}

/// A site with further servers.
struct Fleet {
    site: Site,
    more: Vec<TestServer>,
}

impl Fleet {
    fn new(number: usize) -> Option<Self> {
        let site = Site::without_operator(telling())?;
        let more: Vec<TestServer> = (1..number).map(|_| telling().start()).collect();
        let fleet = Self { site, more };
        for (name, server) in fleet.servers().iter().skip(1) {
            fleet.site.declare(name, server);
        }
        Some(fleet)
    }

    fn servers(&self) -> Vec<(String, &TestServer)> {
        let more = self.more.iter().enumerate().map(|(number, server)| (format!("more-{number}"), server));
        std::iter::once(("shared".to_owned(), &self.site.server)).chain(more).collect()
    }

    fn leases(&self) -> Vec<String> {
        self.servers().iter().map(|(name, _)| format!("tenantdb.server.{name}")).collect()
    }

    /// Which process has how many servers, once somebody has each.
    fn shared_out(&self) -> BTreeMap<u32, usize> {
        let mut held = BTreeMap::new();
        for name in self.leases() {
            let holder = lease(&self.site, &name).0;
            *held.entry(holder.as_deref().and_then(process).unwrap_or_default()).or_default() += 1;
        }
        held
    }

    /// Waits until each of these processes has so many servers.
    #[track_caller]
    fn wait_until_shared_out(&self, wanted: &[(u32, usize)]) {
        let wanted: BTreeMap<u32, usize> = wanted.iter().copied().collect();
        wait_until(PATIENCE, || self.shared_out() == wanted);
    }

    /// Declares three databases on each server.
    fn declare(&self, round: &str) -> Vec<String> {
        let servers = self.servers();
        let all = servers.iter().flat_map(|(server, _)| {
            (0..3).map(move |number| (format!("{round}-{server}-{number}"), format!("{{server: {server}}}")))
        });
        let all: Vec<(String, String)> = all.collect();
        self.site.apply(&all.iter().map(|(name, spec)| tenant(name, spec)).collect::<String>());
        all.into_iter().map(|(name, _)| name).collect()
    }

    /// That nobody wrote beside another: on every server those who wrote took turns as often as its Lease did.
    #[track_caller]
    fn took_turns(&self) {
        for (name, server) in self.servers() {
            let (writers, (_, transitions)) = (writers(server), lease(&self.site, &format!("tenantdb.server.{name}")));
            assert!(!writers.is_empty(), "nobody wrote to {name}:\n{}", server.log());
            assert!(
                writers.len() <= transitions + 1,
                "{name} was taken {transitions} times, and written to by {writers:?}"
            );
        }
    }
}

/// How many replicas show that they live.
fn heartbeats(site: &Site) -> usize {
    let names = site.cluster.kubectl(&["get", "leases", "-n", OPERATOR, "-o", "name"]);
    names.lines().filter(|name| name.contains("tenantdb.replica.")).count()
}

fn signal(process: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(process).unwrap()), signal).unwrap();
}

#[test]
fn replicas_share_the_servers_and_take_over_what_a_lost_one_had() {
    let Some(mut fleet) = Fleet::new(4) else { return };
    fleet.site.start();
    let first = fleet.site.processes()[0];
    let begun = fleet.declare("alone");
    fleet.site.all_ready(&begun);
    fleet.wait_until_shared_out(&[(first, 4)]);

    fleet.site.start();
    let second = fleet.site.processes()[1];
    fleet.wait_until_shared_out(&[(first, 2), (second, 2)]);
    fleet.site.all_ready(&fleet.declare("shared"));
    assert!(fleet.site.ask("/metrics").1.contains("tenantdb_servers 2"));

    let burst = fleet.declare("lost");
    fleet.site.kill_one(first);
    fleet.site.all_ready(&burst);
    fleet.wait_until_shared_out(&[(second, 4)]);

    // One that is asked to stop gives back what it has, and is not waited for.
    fleet.site.start();
    let third = fleet.site.processes()[1];
    fleet.wait_until_shared_out(&[(second, 2), (third, 2)]);
    signal(second, Signal::SIGTERM);
    fleet.wait_until_shared_out(&[(third, 4)]);
    fleet.site.all_ready(&fleet.declare("late"));
    fleet.took_turns();
    wait_until(PATIENCE, || heartbeats(&fleet.site) == 1);

    fleet.site.objects.delete("dbs", "", "more-0");
    let is_there = || fleet.site.get("lease", OPERATOR, "tenantdb.server.more-0").is_some();
    wait_until(PATIENCE, || !is_there());
    fleet.site.stop();
    assert_eq!(heartbeats(&fleet.site), 0);
    assert_eq!(lease(&fleet.site, "tenantdb.server.shared").0, None);
}

#[test]
fn an_operator_that_was_stopped_writes_nothing_after_another_took_over() {
    let Some(mut fleet) = Fleet::new(1) else { return };
    fleet.site.start();
    fleet.site.start();
    fleet.site.ready_server();
    for round in ["one", "two", "three"] {
        let mut holder = None;
        // For a moment nobody has what is handed over.
        wait_until(PATIENCE, || {
            holder = lease(&fleet.site, "tenantdb.server.shared").0.as_deref().and_then(process);
            holder.is_some()
        });
        let holder = holder.unwrap();
        fleet.site.make_many_called(round, 0..20, "{}");
        wait_until(PATIENCE, || fleet.site.get("secret", "default", &format!("{round}-3-secret")).is_some());
        signal(holder, Signal::SIGSTOP);
        let all: Vec<String> = (0..20).map(|number| format!("{round}-{number}")).collect();
        fleet.site.all_ready(&all);
        assert_ne!(lease(&fleet.site, "tenantdb.server.shared").0.as_deref().and_then(process), Some(holder));
        signal(holder, Signal::SIGCONT);
        wait_until(PATIENCE, || fleet.site.log().matches("the Lease is lost").count() > 0);
        // It lives again, and has its part of what there is.
        wait_until(PATIENCE, || {
            let holders = ["tenantdb", "tenantdb.server.shared"].map(|name| lease(&fleet.site, name).0);
            holders.iter().flatten().filter_map(|holder| process(holder)).any(|process| process == holder)
        });
        fleet.took_turns();
    }
}

#[test]
fn a_lease_that_somebody_takes_away_ends_the_work_until_it_is_free_again() {
    let Some(mut fleet) = Fleet::new(1) else { return };
    fleet.site.start();
    fleet.site.all_ready(&fleet.declare("before"));
    let ours = lease(&fleet.site, "tenantdb.server.shared").0;
    let theirs = json!({"spec": {"holderIdentity": "somebody"}});
    fleet.site.objects.patch("lease", OPERATOR, "tenantdb.server.shared", &theirs);
    wait_until(PATIENCE, || fleet.site.log().contains("the Lease is lost"));
    // Nothing is heard of somebody.
    wait_until(PATIENCE, || lease(&fleet.site, "tenantdb.server.shared").0 == ours);
    fleet.site.all_ready(&fleet.declare("after"));
    fleet.site.cluster.kubectl_with(&["delete", "lease", "--all", "-n", OPERATOR], "");
    wait_until(PATIENCE, || lease(&fleet.site, "tenantdb.server.shared").0 == ours);
    fleet.site.all_ready(&fleet.declare("again"));
}
