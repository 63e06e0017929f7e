//! Reading many Secrets with a few requests.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, ObjectList};
use kube::{Api, ResourceExt};
use tenantdb_core::{Delivery, Held, PlaceError};

use super::{OWNER, SecretPlace};

/// From how many on a list is less work than a request for each.
const MANY: usize = 50;

/// How many the API server gives at a time.
const PAGE: u32 = 500;

/// How many requests are under way.
const AT_A_TIME: usize = 16;

/// Which of the deliveries is in a Secret, by its namespace and name.
type Wanted = BTreeMap<(String, String), Vec<usize>>;

impl SecretPlace {
    /// What each of these holds, in their order.
    pub(super) async fn read_all(&self, deliveries: &[Delivery]) -> Vec<Result<Held, PlaceError>> {
        let mut found: Vec<Option<Result<Held, PlaceError>>> = vec![None; deliveries.len()];
        if deliveries.len() >= MANY
            && let Err(error) = self.list(deliveries, &mut found).await
        {
            // One by one is slower, and tells of each by itself.
            tracing::debug!(%error, "Secrets can't be listed");
        }
        let rest: Vec<usize> = (0..found.len()).filter(|index| found[*index].is_none()).collect();
        let reads: Vec<_> = rest.into_iter().map(|index| self.read_one(index, &deliveries[index])).collect();
        let mut reads = stream::iter(reads).buffer_unordered(AT_A_TIME);
        while let Some((index, held)) = reads.next().await {
            found[index] = Some(held);
        }
        found.into_iter().flatten().collect()
    }

    async fn read_one(&self, index: usize, delivery: &Delivery) -> (usize, Result<Held, PlaceError>) {
        (index, self.held(delivery).await)
    }

    /// Finds those that are ours, and those that nobody has.
    async fn list(
        &self,
        deliveries: &[Delivery],
        found: &mut [Option<Result<Held, PlaceError>>],
    ) -> Result<(), kube::Error> {
        let mut wanted = Wanted::new();
        for (index, delivery) in deliveries.iter().enumerate() {
            let key = (delivery.claim.namespace.to_string(), delivery.secret_name.to_string());
            wanted.entry(key).or_default().push(index);
        }
        let namespaces: BTreeSet<&str> = wanted.keys().map(|(namespace, _)| namespace.as_str()).collect();
        let secrets: Api<Secret> = match namespaces.first() {
            Some(only) if namespaces.len() == 1 => Api::namespaced(self.client.clone(), only),
            _ => Api::all(self.client.clone()),
        };
        let ours = ListParams::default().labels(OWNER);
        each(
            ours,
            |page| {
                let secrets = secrets.clone();
                async move { secrets.list(&page).await }
            },
            |secret| {
                for index in wanted.remove(&key_of(&secret)).unwrap_or_default() {
                    found[index] = Some(Ok(self.assess(&deliveries[index], Some(&secret))));
                }
            },
        )
        .await?;
        if wanted.len() < MANY {
            return Ok(());
        }
        // What somebody else made has no label of ours, and nothing but its name is asked for.
        each(
            ListParams::default(),
            |page| {
                let secrets = secrets.clone();
                async move { secrets.list_metadata(&page).await }
            },
            |secret| {
                wanted.remove(&key_of(&secret));
            },
        )
        .await?;
        for index in wanted.into_values().flatten() {
            found[index] = Some(Ok(self.assess(&deliveries[index], None)));
        }
        Ok(())
    }
}

fn key_of(secret: &impl ResourceExt) -> (String, String) {
    (secret.namespace().unwrap_or_default(), secret.name_any())
}

/// Lists page by page, so that no more of them than a page is in memory at a time.
async fn each<T: Clone, F: Future<Output = Result<ObjectList<T>, kube::Error>>>(
    mut page: ListParams,
    list: impl Fn(ListParams) -> F,
    mut take: impl FnMut(T),
) -> Result<(), kube::Error> {
    page.limit = Some(PAGE);
    loop {
        let listed = list(page.clone()).await?;
        listed.items.into_iter().for_each(&mut take);
        page.continue_token = listed.metadata.continue_.filter(|token| !token.is_empty());
        if page.continue_token.is_none() {
            return Ok(());
        }
    }
}
