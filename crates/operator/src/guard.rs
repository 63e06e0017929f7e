//! Whether the API server asks who takes protection away. Nobody here can: an object does not say who changed it.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy as Policy, ValidatingAdmissionPolicyBinding as Binding,
};
use kube::{Api, Client, Error};
use tenantdb_kubernetes::told;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The policy that asks, and its binding.
const POLICY: &str = "tenantdb-protection";

/// How long an answer is believed.
const FRESH: Duration = Duration::from_secs(10);

/// Knows whether the policy is in force.
pub(crate) struct Guard {
    client: Client,
    answer: Mutex<Option<(Instant, bool)>>,
}

impl Guard {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, answer: Mutex::default() }
    }

    /// Whether everybody who takes protection away is asked whether they may.
    pub(crate) async fn asks_who_unprotects(&self) -> bool {
        let mut answer = self.answer.lock().await;
        if let Some((at, is_so)) = *answer
            && at.elapsed() < FRESH
        {
            return is_so;
        }
        let is_so = match self.ask().await {
            Ok(is_so) => is_so,
            Err(error) => {
                tracing::warn!(policy = POLICY, error = told(&error), "it can't be seen whether it is in force");
                false
            }
        };
        *answer = Some((Instant::now(), is_so));
        is_so
    }

    async fn ask(&self) -> Result<bool, Error> {
        let policy = Api::<Policy>::all(self.client.clone()).get_opt(POLICY).await?;
        let binding = Api::<Binding>::all(self.client.clone()).get_opt(POLICY).await?;
        Ok(policy.is_some_and(|policy| is_strict(&policy)) && binding.is_some_and(|binding| denies(&binding)))
    }
}

/// Whether what the policy can't decide is refused.
fn is_strict(policy: &Policy) -> bool {
    policy.spec.as_ref().is_some_and(|spec| spec.failure_policy.as_deref().is_none_or(|failure| failure == "Fail"))
}

/// Whether the policy holds everywhere.
fn denies(binding: &Binding) -> bool {
    binding.spec.as_ref().is_some_and(|spec| {
        let denies = spec.validation_actions.iter().flatten().any(|action| action == "Deny");
        denies && spec.policy_name.as_deref() == Some(POLICY) && spec.match_resources.is_none()
    })
}
