//! How long the program takes, compared with the bare work: the same statements and logins by a plain parallel client
//! that keeps no ledger and delivers nothing. What is compared, and what came of it, is in `docs/performance.md`.
//!
//! `cargo bench -p tenantdb` runs it. These change it:
//!
//! - `BENCH_ONLY` (create,adopt,delete,deep,quick,claim,burst,fleet,synthetic), `BENCH_SERVERS` (18,16);
//! - `BENCH_TENANTS` (200,1000), `BENCH_FLEET` (2000: on eight servers), `BENCH_SYNTHETIC` (10000);
//! - `BENCH_ROUNDS` (4: each side goes first once), `BENCH_CLUSTER_ROUNDS` (3), `BENCH_WORKERS` (2,4,8: those of the plain
//!   client, of which the best counts).

mod adopt;
mod bare;
mod cluster;
mod create;
mod deep;
mod delete;
mod look;
mod measure;
mod program;

use std::str::FromStr;

/// Measures something on a server of this version, for so many tenants.
type Measure = fn(u32, usize);

fn main() {
    let only: Vec<String> = listed("BENCH_ONLY", "create,adopt,delete,deep,quick,claim,burst,fleet,synthetic");
    let is_wanted = |what: &str| only.iter().any(|wanted| wanted == what);
    for major in listed("BENCH_SERVERS", "18,16") {
        if !tenantdb_testkit::available(major) {
            continue;
        }
        for tenants in listed("BENCH_TENANTS", "200,1000") {
            println!("PostgreSQL {major}, fsync on, {tenants} tenants");
            let comparisons: [(&str, Measure); 6] = [
                ("create", create::measure),
                ("adopt", adopt::measure),
                ("delete", delete::measure),
                ("deep", deep::measure),
                ("quick", look::quick),
                ("burst", cluster::burst),
            ];
            for (what, measure) in comparisons {
                if is_wanted(what) {
                    measure(major, tenants);
                }
            }
            println!();
        }
        if is_wanted("quick") {
            look::plan_many(major, 10_000);
        }
        if is_wanted("claim") {
            cluster::claim(major);
        }
        if is_wanted("fleet") {
            cluster::fleet(major, listed("BENCH_FLEET", "2000")[0]);
        }
        if is_wanted("synthetic") {
            cluster::synthetic(major, listed("BENCH_SYNTHETIC", "10000")[0]);
        }
    }
}

/// What is separated by commas in the environment.
fn listed<T: FromStr<Err: std::fmt::Debug>>(variable: &str, default: &str) -> Vec<T> {
    let text = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    text.split(',').map(|item| item.trim().parse().expect("a list separated by commas")).collect()
}
