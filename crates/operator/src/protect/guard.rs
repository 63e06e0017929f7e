//! Whether the API server asks who takes protection away, and who has somebody else's Secret written. Nobody here can: an
//! object does not say who changed it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy as Policy, ValidatingAdmissionPolicyBinding as Binding,
};
use kube::{Api, Client, Error};
use tenantdb_kubernetes::told;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The policies that ask, each with a binding of its name.
const PROTECTION: &str = "tenantdb-protection";
const SECRETS: &str = "tenantdb-secrets";

/// How long an answer is believed.
const FRESH: Duration = Duration::from_secs(10);

/// Knows which policies are in force.
pub(crate) struct Guard {
    client: Client,
    answers: Mutex<BTreeMap<&'static str, (Instant, bool)>>,
}

impl Guard {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, answers: Mutex::default() }
    }

    /// Whether everybody who takes protection away is asked whether they may.
    pub(crate) async fn asks_who_unprotects(&self) -> bool {
        self.is_in_force(PROTECTION).await
    }

    /// Whether everybody who has somebody else's Secret written is asked whether they may.
    pub(crate) async fn asks_who_writes_secrets(&self) -> bool {
        self.is_in_force(SECRETS).await
    }

    async fn is_in_force(&self, policy: &'static str) -> bool {
        let mut answers = self.answers.lock().await;
        if let Some((at, is_so)) = answers.get(policy)
            && at.elapsed() < FRESH
        {
            return *is_so;
        }
        let is_so = match self.ask(policy).await {
            Ok(is_so) => is_so,
            Err(error) => {
                tracing::warn!(policy, error = told(&error), "it can't be seen whether it is in force");
                false
            }
        };
        answers.insert(policy, (Instant::now(), is_so));
        is_so
    }

    async fn ask(&self, name: &str) -> Result<bool, Error> {
        let policy = Api::<Policy>::all(self.client.clone()).get_opt(name).await?;
        let binding = Api::<Binding>::all(self.client.clone()).get_opt(name).await?;
        Ok(policy.is_some_and(|policy| is_strict(&policy)) && binding.is_some_and(|binding| denies(&binding, name)))
    }
}

/// Whether what the policy can't decide is refused.
fn is_strict(policy: &Policy) -> bool {
    policy.spec.as_ref().is_some_and(|spec| spec.failure_policy.as_deref().is_none_or(|failure| failure == "Fail"))
}

/// Whether the policy holds everywhere.
fn denies(binding: &Binding, policy: &str) -> bool {
    binding.spec.as_ref().is_some_and(|spec| {
        let denies = spec.validation_actions.iter().flatten().any(|action| action == "Deny");
        denies && spec.policy_name.as_deref() == Some(policy) && spec.match_resources.is_none()
    })
}
