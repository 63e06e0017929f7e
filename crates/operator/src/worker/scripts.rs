//! The scripts that databases begin with, as the `ConfigMap`s of their namespaces have them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use kube::Client;
use tenantdb_api::{Tenant, TenantDatabase};
use tenantdb_core::{Claim, Engine, Failure, Fault, Inventory, Phase, Refusal, RefusalKind, Script};

use crate::watch::object::Key;
use crate::watch::reference::{KeyOf, Reader, Reference, ReferredKind, waiting};
use crate::worker::Batch;

/// How many requests are under way.
const AT_A_TIME: usize = 16;

/// The scripts of a batch.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) scripts: BTreeMap<Claim, Vec<Script>>,
    /// What those that can't be used wait for.
    pub(crate) awaited: BTreeMap<Claim, BTreeSet<Reference>>,
    /// Why those of the others can't be used.
    missing: BTreeMap<Claim, Failure>,
}

impl Found {
    /// Those that have to wait: a database that is there needs no script any more.
    pub(crate) fn refusals(&self, held: &Inventory) -> BTreeMap<Claim, Refusal> {
        let is_made = |claim: &Claim| held.get(claim).is_some_and(|tenant| tenant.phase != Phase::Claimed);
        let waiting = self.missing.iter().filter(|(claim, _)| !is_made(claim));
        let refusal = |failure: &Failure| {
            let refusal = Refusal::new(RefusalKind::Waiting, failure.to_string());
            refusal.hint(failure.hint.clone().unwrap_or_default())
        };
        waiting.map(|(claim, failure)| (claim.clone(), refusal(failure))).collect()
    }
}

/// Reads the scripts of a batch.
pub(crate) async fn read<E: Engine>(client: &Client, batch: &Batch) -> Found {
    let reads = with_scripts(batch).into_iter().map(|(claim, key, tenant)| async move {
        let (scripts, read) = of_tenant::<E>(client, &key, &tenant).await;
        (claim, scripts, read)
    });
    let reads: Vec<_> = reads.collect();
    let mut reading = stream::iter(reads).buffer_unordered(AT_A_TIME);
    let mut found = Found::default();
    while let Some((claim, scripts, read)) = reading.next().await {
        match scripts {
            Ok(scripts) => drop(found.scripts.insert(claim, scripts)),
            Err(failure) => {
                found.awaited.insert(claim.clone(), read);
                found.missing.insert(claim, failure);
            }
        }
    }
    found
}

/// Those of a batch that begin with scripts.
fn with_scripts(batch: &Batch) -> Vec<(Claim, Key, TenantDatabase)> {
    let mut all = Vec::new();
    for (claim, (key, tenant)) in &batch.tenants {
        if let Ok(declared) = &tenant.declared
            && let Tenant::Database(database) = &declared.resource
            && !database.spec.init.is_empty()
            && !tenant.meta.is_deleted
        {
            all.push((claim.clone(), key.clone(), database.clone()));
        }
    }
    all
}

/// The scripts of a declaration, and what was read for them.
async fn of_tenant<E: Engine>(
    client: &Client,
    key: &Key,
    tenant: &TenantDatabase,
) -> (Result<Vec<Script>, Failure>, BTreeSet<Reference>) {
    let mut reader = Reader::new(client);
    let mut scripts: Vec<Script> = Vec::new();
    for from in tenant.spec.init.iter().filter_map(|script| script.config_map.as_ref()) {
        let object =
            Reference { kind: ReferredKind::ConfigMap, namespace: key.namespace.clone(), name: from.name.clone() };
        let read = reader.text(&KeyOf { object, key: from.key.clone() }).await;
        let script =
            read.and_then(|text| script::<E>(&format!("{}/{}", from.name, from.key), &text)).and_then(|script| {
                match scripts.iter().find(|other| other.digest() == script.digest()) {
                    Some(other) => Err(waiting(
                        format!("the script {} is the same as {}", script.name(), other.name()),
                        "a script runs once: leave one of them out",
                    )),
                    None => Ok(script),
                }
            });
        match script {
            Ok(script) => scripts.push(script),
            Err(failure) => return (Err(failure), reader.read),
        }
    }
    (Ok(scripts), reader.read)
}

/// A script that can be run, or what is wrong with it.
fn script<E: Engine>(name: &str, text: &str) -> Result<Script, Failure> {
    Script::checked::<E>(name.to_owned(), text.to_owned()).map_err(|faults| {
        let told: Vec<String> = faults.iter().map(|fault| told(name, text, fault)).collect();
        let hint = faults.first().map_or("correct it", |fault| fault.hint);
        waiting(told.join("; "), format!("{hint}; the ConfigMap is followed"))
    })
}

fn told(name: &str, text: &str, fault: &Fault) -> String {
    let before = text.get(..fault.span.start).unwrap_or_default();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("script {name}:{}:{column}: {}", before.matches('\n').count() + 1, fault.message)
}
