//! Declarations that no server is there for.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::index::Index;
use crate::shared::Shared;
use crate::tell::events::Happened;
use crate::tell::reason;
use crate::tell::status::{Facts, Verdict};
use crate::watch::object::{Key, Tenant};

/// How long to wait before what is let go is looked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells them so, and lets go of those that were deleted: nobody can do any more about them.
pub(crate) fn strand(shared: &Arc<Shared>, letting_go: &mut JoinSet<()>) {
    for key in shared.index(Index::take_stranded) {
        let Some(tenant) = shared.index(|index| index.tenant(&key)) else { continue };
        if !tenant.meta.is_deleted {
            let stranded = || Verdict::stranded(shared.index(|index| index.why_stranded(&key)));
            let verdict = tenant.fault().map_or_else(stranded, Verdict::invalid);
            shared.tell(&key, &tenant, &verdict, &Facts::default());
        } else if tenant.meta.is_held() {
            if let Some(happened) = left_behind(&tenant) {
                let Key { kind, namespace, name } = &key;
                tracing::warn!(
                    kind,
                    namespace = namespace.as_str(),
                    name = name.as_str(),
                    note = happened.note,
                    "it is let go"
                );
                shared.happened(&key, &tenant, happened);
            }
            letting_go.spawn(let_go(shared.clone(), key, tenant));
        }
    }
}

/// What stays where, as far as its status tells.
fn left_behind(tenant: &Tenant) -> Option<Happened> {
    let status = &tenant.meta.status;
    let known = |field: &str, what: &str| Some(format!("{what} {}", status[field].as_str()?));
    let all =
        [known("database", "database"), known("owner", "role"), known("role", "role"), known("secretName", "Secret")];
    let mut all: Vec<String> = all.into_iter().flatten().collect();
    all.dedup();
    let server = status["server"].as_str().filter(|_| !all.is_empty())?;
    let note = format!(
        "DatabaseServer {server} is not there any more, so its policies could not be followed: {} stay as they are; \
         `tenantdb orphans` lists what is left on a server",
        all.join(", ")
    );
    Some(Happened::done(&reason::LEFT_BEHIND, note).for_somebody())
}

/// Takes our finalizer off, until that is done or its server is back.
async fn let_go(shared: Arc<Shared>, key: Key, tenant: Tenant) {
    let is_as_it_was = |index: &mut Index| {
        let latest = index.tenant(&key);
        latest.is_some_and(|latest| latest.meta.uid == tenant.meta.uid && latest.meta.is_held())
    };
    while shared.index(is_as_it_was) && !shared.interrupt.is_set() {
        shared.finalizers.take_off(&key, &tenant.meta.uid).await;
        tokio::time::sleep(PAUSE).await;
    }
}
