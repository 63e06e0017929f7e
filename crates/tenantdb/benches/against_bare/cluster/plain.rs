//! The requests to the API server that a database costs at least: its resource, a finalizer, its Secret, its status.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::task::JoinSet;

use super::site::{Site, database};
use crate::bare::{CONNECTION_LIMIT, name};

/// How many requests are under way.
pub const AT_A_TIME: usize = 16;

/// Makes the resource of a database.
pub async fn declare(databases: &Api<DynamicObject>, number: usize) {
    databases.create(&PostParams::default(), &object(number)).await.expect("it is made");
}

/// The resource of a database.
pub fn object(number: usize) -> DynamicObject {
    let spec = json!({"spec": {"connectionLimit": CONNECTION_LIMIT}});
    DynamicObject::new(&name(number), &database()).data(spec)
}

/// Makes those of many.
pub async fn declare_all(site: &Site, tenants: usize) {
    let databases = site.databases();
    each(tenants, |number| {
        let databases = databases.clone();
        async move { declare(&databases, number).await }
    })
    .await;
}

/// Puts the finalizer on it.
pub async fn hold(databases: &Api<DynamicObject>, number: usize) {
    let change = json!({"metadata": {"finalizers": ["tenantdb.dev/ledger"]}});
    patch(databases.patch_metadata(&name(number), &PatchParams::default(), &Patch::Merge(&change)).await);
}

/// Delivers a credential and says so.
pub async fn deliver(site: &Site, databases: &Api<DynamicObject>, number: usize) {
    let name = name(number);
    let keys = ["username", "password", "host", "endpoint", "port", "database", "uri", "DATABASE_URL", "DB_HOST"];
    let data: serde_json::Map<_, _> = keys.into_iter().map(|key| (key.to_owned(), "x".repeat(40).into())).collect();
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": format!("{name}-secret"), "labels": {"app.kubernetes.io/managed-by": "tenantdb"}},
        "stringData": data,
    }))
    .expect("a Secret");
    let secrets: Api<Secret> = Api::namespaced(site.client.clone(), "default");
    secrets.create(&PostParams::default(), &secret).await.expect("it is made");
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "InSync", "message": "it is as declared",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
    });
    let status = json!({"status": {"observedGeneration": 1, "conditions": [condition], "database": name}});
    patch(databases.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await);
}

/// All requests of many, some at a time.
pub async fn write_all(site: &std::sync::Arc<Site>, tenants: usize) {
    each(tenants, |number| {
        let (site, databases) = (site.clone(), site.databases());
        async move {
            declare(&databases, number).await;
            hold(&databases, number).await;
            deliver(&site, &databases, number).await;
        }
    })
    .await;
}

pub async fn each<F: Future<Output = ()> + Send + 'static>(tenants: usize, work: impl Fn(usize) -> F) {
    let mut running = JoinSet::new();
    for number in 0..tenants {
        if running.len() == AT_A_TIME {
            running.join_next().await.expect("some are under way").expect("it succeeds");
        }
        running.spawn(work(number));
    }
    running.join_all().await;
}

fn patch<T>(patched: kube::Result<T>) {
    patched.map(drop).expect("it is patched");
}
