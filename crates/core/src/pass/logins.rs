//! What a place holds, and whether the server takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Pass, panicked};
use crate::{Claim, Delivery, Depth, Digest, Engine, Failure, Held, Login, Password, Place, PlaceView};

impl<E: Engine> Pass<E> {
    /// What the place holds of these.
    pub(super) async fn view(&self, deliveries: BTreeMap<Claim, Delivery>) -> PlaceView {
        let (claims, deliveries): (Vec<Claim>, Vec<Delivery>) = deliveries.into_iter().unzip();
        let found = self.place.read(&deliveries).await;
        let (mut held, mut locations) = (BTreeMap::new(), BTreeMap::new());
        for ((claim, delivery), found) in claims.iter().zip(&deliveries).zip(found) {
            locations.insert(claim.clone(), self.place.location(delivery));
            held.insert(claim.clone(), found.map_err(|error| error.to_string()));
        }
        let deliveries = claims.into_iter().zip(deliveries).collect();
        let (refused, accepted) = (BTreeSet::new(), BTreeSet::new());
        PlaceView { id: self.place.id().clone(), held, deliveries, locations, refused, accepted }
    }

    /// Tries what is in doubt; on a deep look, all that the place holds.
    pub(super) async fn try_logins(
        &self,
        view: &mut PlaceView,
        depth: Depth,
        doubtful: &BTreeSet<Claim>,
    ) -> Result<(), Failure> {
        let budget = Arc::new(Semaphore::new(self.turns.most));
        let mut tries = JoinSet::new();
        for (claim, delivery) in &view.deliveries {
            let Some(Ok(Held::Credential { login, .. })) = view.held.get(claim) else { continue };
            let is_doubtful = doubtful.contains(claim);
            if depth == Depth::Shallow && !is_doubtful {
                continue;
            }
            let (engine, place, budget) = (self.engine.clone(), self.place.clone(), budget.clone());
            let (claim, delivery, login) = (claim.clone(), delivery.clone(), login.clone());
            let wrong = is_doubtful.then(self.new_password);
            tries.spawn(async move {
                let _permit = budget.acquire_owned().await;
                let answer = try_login(&*engine, &*place, &delivery, &login, wrong).await;
                answer.map(|answer| (claim, answer))
            });
        }
        while let Some(done) = tries.join_next().await {
            match done.map_err(|error| panicked(&error))?? {
                (claim, Answer::Refused) => drop(view.refused.insert(claim)),
                (claim, Answer::Proved) => drop(view.accepted.insert(claim)),
                (_, Answer::LetIn) => {}
            }
        }
        Ok(())
    }
}

/// What a server says of a login that a place holds.
enum Answer {
    /// It does not let it in.
    Refused,
    /// It lets it in, and would perhaps let anyone in.
    LetIn,
    /// It lets it in, and with another password it would not.
    Proved,
}

/// Tries a login; with a `wrong` password as well, where it is to prove something.
async fn try_login<E: Engine>(
    engine: &E,
    place: &dyn Place,
    delivery: &Delivery,
    login: &Digest,
    wrong: Option<Password>,
) -> Result<Answer, Failure> {
    let Ok(Some(login)) = place.login(delivery, login).await else { return Ok(Answer::LetIn) };
    // What lets a login in that has no password is not ours to show.
    if login.password.is_none() {
        return Ok(if wrong.is_some() { Answer::Proved } else { Answer::LetIn });
    }
    if !engine.try_login(delivery, &login).await? {
        return Ok(Answer::Refused);
    }
    let Some(password) = wrong else { return Ok(Answer::LetIn) };
    let wrong = Login { password: Some(password), ..login };
    Ok(if engine.try_login(delivery, &wrong).await? { Answer::LetIn } else { Answer::Proved })
}
