//! The steps of the credential protocol, which are the same for every engine.

use super::Pass;
use crate::{Condition, CredentialStep, Engine, Failure, FailureKind, Login, Marker, TenantPlan, Version};

/// The credential that a tenant's steps set or use.
#[derive(Default)]
pub(super) struct CredentialInHand {
    pub(super) login: Option<Login>,
    version: Version,
}

impl CredentialInHand {
    fn login(&self) -> Result<&Login, Failure> {
        self.login.as_ref().ok_or_else(|| {
            Failure::new(FailureKind::Stale, "the credential that was there is gone").hint("run it again")
        })
    }
}

impl<E: Engine> Pass<E> {
    /// Carries out one of them.
    pub(super) async fn credential(
        &self,
        tenant: &TenantPlan<E::Step>,
        step: &CredentialStep,
        in_hand: &mut CredentialInHand,
    ) -> Result<Vec<Condition>, Failure> {
        let delivery = tenant.delivery.as_ref().ok_or_else(|| missing("a delivery"))?;
        match step {
            CredentialStep::Fence { username, password, generation, version } => {
                let marker = Marker { generation: *generation, writer: self.writer.clone() };
                in_hand.version = self.place.fence(delivery, &marker, *version).await.map_err(Failure::from)?;
                let password = password.then(self.new_password);
                in_hand.login = Some(Login { username: username.clone(), password });
            }
            CredentialStep::Stage { .. } => {
                let next = in_hand.login()?.password.as_ref().ok_or_else(|| missing("a password"))?;
                let staged = self.place.stage(delivery, next, in_hand.version).await;
                in_hand.version = staged.map_err(Failure::from)?;
            }
            CredentialStep::Reuse { login, version } => {
                in_hand.version = *version;
                in_hand.login = self.place.login(delivery, login).await.map_err(Failure::from)?;
                in_hand.login()?;
            }
            CredentialStep::Probe => return self.engine.probe(delivery, in_hand.login()?).await,
            CredentialStep::Publish { generation, .. } => {
                let login = in_hand.login()?;
                let published = self.place.publish(delivery, login, *generation, in_hand.version).await;
                in_hand.version = published.map_err(Failure::from)?;
            }
            CredentialStep::Withdraw { .. } => self.place.withdraw(delivery).await.map_err(Failure::from)?,
        }
        Ok(Vec::new())
    }
}

fn missing(what: &str) -> Failure {
    Failure::new(FailureKind::Rejected, format!("the plan lacks {what}")).hint("this is a bug in tenantdb")
}
