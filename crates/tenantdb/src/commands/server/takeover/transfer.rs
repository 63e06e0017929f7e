//! The credentials of what a cluster takes over: each goes into its Secret as it is.

use std::collections::BTreeSet;

use tenantdb_core::{Authority, Claim, Delivered, Delivery, Failure, Generation};
use tenantdb_credentials::Document;
use tenantdb_credentials::stores::LocalPlace as _;
use tenantdb_credentials::stores::file::FilePlace;
use tenantdb_credentials::stores::secret::{SecretPlace, place_id};

use super::Context;
use crate::error::Error;
use crate::output::style;

/// What becomes of each of them.
#[derive(Default)]
pub struct Transfer {
    /// What is brought from files, to whom.
    brought: Vec<(Delivery, Document, Generation)>,
    /// Secrets that are there already, and who gets them.
    handed: Vec<(Delivery, Delivered, Claim)>,
    /// What is not here, and where it is.
    missing: Vec<(Claim, String)>,
    forgotten: BTreeSet<Claim>,
}

impl Transfer {
    /// Looks for what was delivered; nothing is written yet.
    pub async fn of(
        context: &Context,
        delivered: Vec<(Delivery, Delivered)>,
        from: &Authority,
        to: &Authority,
    ) -> Result<Self, Error> {
        let (places, mut transfer) = (context.home.places()?, Self::default());
        let secrets = SecretPlace::new(context.cluster.client().await?.clone(), place_id(from));
        for (delivery, delivered) in delivered {
            let claim = delivery.claim.of(to);
            // Also what an earlier run brought that broke off.
            if secrets.has(&delivery, &delivered.login, &claim).await.map_err(Failure::from)? {
                transfer.handed.push((delivery, delivered, claim));
            } else if let Some(document) = in_files(&places, &delivery, &delivered)? {
                transfer.brought.push((Delivery { claim, ..delivery }, document, delivered.generation));
            } else {
                transfer.forgotten.insert(delivery.claim.clone());
                transfer.missing.push((delivery.claim, delivered.location));
            }
        }
        Ok(transfer)
    }

    /// What is not here, for people.
    pub fn missing(&self) -> Option<String> {
        let told = self.missing.iter().map(|(claim, location)| format!("{} in {location}", claim.path()));
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| told.join(", "))
    }

    /// Whose credentials the cluster makes anew.
    pub fn forgotten(&self) -> &BTreeSet<Claim> {
        &self.forgotten
    }

    /// Writes them into the cluster; doing it again does what is left.
    pub async fn deliver(&self, context: &Context) -> Result<(), Error> {
        for (delivery, document, generation) in &self.brought {
            let client = context.cluster.client().await?;
            tenantdb_kubernetes::bring(client, delivery.clone(), document, *generation).await?;
        }
        for (delivery, delivered, to) in &self.handed {
            let client = context.cluster.client().await?.clone();
            let secrets = SecretPlace::new(client, delivered.place.clone());
            secrets.hand_over(delivery, &delivered.login, to).await.map_err(Failure::from)?;
        }
        Ok(())
    }

    /// Has the operator look at them now: it may have looked when they were another's.
    pub async fn tell_operator(&self, context: &Context, taken: &BTreeSet<Claim>) {
        if !context.in_cluster {
            return;
        }
        let mark = format!("{} {}", tenantdb_core::writer(), jiff::Timestamp::now());
        for claim in taken.iter().filter(|claim| claim.access.is_none()) {
            let told = match context.cluster.client().await {
                Ok(client) => tenantdb_kubernetes::refresh(client, claim, &mark).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = told {
                style::warning(&failure.to_string(), "the operator looks at it within ten minutes");
            }
        }
    }
}

/// A credential that is still in one of these places as it was delivered.
fn in_files(places: &[FilePlace], delivery: &Delivery, delivered: &Delivered) -> Result<Option<Document>, Failure> {
    let Some(place) = places.iter().find(|place| *place.id() == delivered.place) else { return Ok(None) };
    Ok(place.document(delivery, &delivered.login)?)
}
