//! One database after the other, each from its resource to its Secret.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::plain::{declare, deliver, hold};
use super::site::Site;
use crate::bare::{Bare, name};
use crate::create::create;
use crate::measure::median;

/// How many each side makes.
const CLAIMS: usize = 25;

/// What one takes.
pub fn measure(major: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (ours, bare) = runtime.block_on(async {
        let (ours, theirs) = (Site::new(major).await, Arc::new(Site::new(major).await));
        let operator = ours.operator().await;
        let bare = Arc::new(Bare::new(&theirs.server));
        bare.prepare().await;
        let ledger = Arc::new(bare.estate("tenantdb").await);
        let mut readiness = ours.readiness();
        let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
        // The first of all pays for what is prepared once.
        for number in 0..=CLAIMS {
            let began = Instant::now();
            declare(&ours.databases(), number).await;
            readiness.wait(number + 1).await;
            of_ours.push(began.elapsed());
            let secret = format!("{}-secret", name(number));
            let _ = ours.cluster.kubectl(&["get", "secret", &secret]);

            let began = Instant::now();
            let databases = theirs.databases();
            declare(&databases, number).await;
            hold(&databases, number).await;
            create(bare.clone(), ledger.clone(), number).await;
            deliver(&theirs, &databases, number).await;
            of_bare.push(began.elapsed());
        }
        drop(operator);
        (of_ours.split_off(1), of_bare.split_off(1))
    });
    println!("PostgreSQL {major}, fsync on, one database from its resource to its Secret, {CLAIMS} times in turns");
    show("bare", &bare);
    show("operator", &ours);
    let ratio = median(&ours).as_secs_f64() / median(&bare).as_secs_f64();
    println!("    ratio of the medians: {ratio:.2}\n");
}

fn show(side: &str, took: &[Duration]) {
    let mut sorted = took.to_vec();
    sorted.sort();
    let shown = |took: Duration| took.as_secs_f64() * 1000.0;
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    println!(
        "    {:<10} {:6.1} ms ({:.1} to {:.1})",
        format!("{side}:"),
        shown(median(took)),
        shown(least),
        shown(most)
    );
}
