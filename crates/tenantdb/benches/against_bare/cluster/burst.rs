//! Many databases at once, then the same in peace, then an operator that starts and finds them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::plain::{declare_all, write_all};
use super::site::{Operator, Site};
use crate::listed;
use crate::measure::median;
use crate::program::{APPLY, declarations, run};

/// How long the operator is watched that has nothing to do.
const PEACE: Duration = Duration::from_secs(30);

/// How often a whole round over all databases comes, for what peace costs in the long run.
const ROUND: Duration = Duration::from_mins(10);

/// What a burst takes, and what the operator that made it needs afterwards.
pub fn measure(major: u32, tenants: usize) {
    let rounds: usize = listed("BENCH_CLUSTER_ROUNDS", "3")[0];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let theirs = |bare: &mut Vec<Duration>| bare.push(runtime.block_on(beside(major, tenants)));
        if round % 2 == 0 {
            theirs(&mut bare);
        }
        let is_last = round + 1 == rounds;
        ours.push(runtime.block_on(burst(major, tenants, is_last)));
        if round % 2 == 1 {
            theirs(&mut bare);
        }
        eprintln!("burst, round {round}: operator {:.2?}, bare {:.2?}", ours[round], bare[round]);
    }
    let mut ratios: Vec<f64> =
        ours.iter().zip(&bare).map(|(ours, bare)| ours.as_secs_f64() / bare.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    println!("  burst, median of {rounds}");
    println!("    tenantdb apply, with the bare requests to the API server beside it: {:.2?}", median(&bare));
    println!("    operator: {:.2?}", median(&ours));
    println!("    ratio of a round: {:.2} (of {ratios:.2?})\n", ratios[ratios.len() / 2]);
}

/// The command line, with the bare requests beside it.
async fn beside(major: u32, tenants: usize) -> Duration {
    let site = Arc::new(Site::new(major).await);
    let folder = declarations(&site.server, tenants, "");
    let began = Instant::now();
    let requests = tokio::spawn({
        let site = site.clone();
        async move { write_all(&site, tenants).await }
    });
    tokio::task::block_in_place(|| run(folder.path(), &site.server, &APPLY));
    requests.await.expect("they succeed");
    began.elapsed()
}

async fn burst(major: u32, tenants: usize, is_last: bool) -> Duration {
    let site = Site::new(major).await;
    let operator = site.operator().await;
    let mut readiness = site.readiness();
    let (sessions, processor) = (site.sessions(), operator.processor());
    let began = Instant::now();
    declare_all(&site, tenants).await;
    readiness.wait(tenants).await;
    let took = began.elapsed();
    if is_last {
        let used = operator.processor().saturating_sub(processor);
        let each = |number: u64| {
            let hundredths = number * 100 / tenants as u64;
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        };
        // The server counts a session when it has ended.
        tokio::time::sleep(Duration::from_secs(2)).await;
        println!(
            "  operator, {tenants} databases at once: {:.2} s of processor, {} MiB",
            used.as_secs_f64(),
            operator.memory()
        );
        println!("    sessions opened for each: {}", each(site.sessions() - sessions));
        println!("    statuses written for each: {}", each(operator.metric("tenantdb_status_writes_total").await));
        peace(&site, operator, tenants).await;
    }
    took
}

/// What an operator needs that has nothing to do, and one that begins.
pub async fn peace(site: &Site, operator: Operator, tenants: usize) {
    let before = operator.processor();
    tokio::time::sleep(PEACE).await;
    let idle = operator.processor().saturating_sub(before).as_secs_f64() / PEACE.as_secs_f64();
    drop(operator);
    let began = Instant::now();
    let operator = site.operator().await;
    operator.wait_for("tenantdb_tenants_reconciled_total", tenants as u64).await;
    let took = began.elapsed();
    let start = operator.processor();
    let (written, memory) = (operator.metric("tenantdb_status_writes_total").await, operator.memory());
    println!(
        "  operator that starts and finds {tenants}: all looked at after {:.2} s, {:.2} s of processor, {memory} MiB",
        took.as_secs_f64(),
        start.as_secs_f64()
    );
    println!("    statuses written: {written}");
    tokio::time::sleep(PEACE).await;
    let with_round = idle + start.as_secs_f64() / ROUND.as_secs_f64();
    println!(
        "  operator in peace: {:.2} % of a core, {:.2} % with a look at all every ten minutes, {} MiB",
        idle * 100.0,
        with_round * 100.0,
        operator.memory()
    );
}
