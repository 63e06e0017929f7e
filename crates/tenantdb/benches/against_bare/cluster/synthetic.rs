//! More databases than this machine's disk has room for: one is made, and the catalog's rows, the ledger's and the Secrets of
//! all others are those of the one with other names. Whatever looks into a database would fail.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, ResourceExt as _};

use super::burst::peace;
use super::plain::{declare, each, object};
use super::site::Site;
use crate::bare::name;

/// What an operator needs that begins with so many, and then has nothing to do.
pub fn measure(major: u32, tenants: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let site = Site::new(major).await;
        let mut readiness = site.readiness();
        let operator = site.operator().await;
        declare(&site.databases(), 0).await;
        readiness.wait(1).await;
        drop(operator);
        multiply(&site, tenants).await;
        println!(
            "PostgreSQL {major}, {tenants} databases, of which all but one are rows of the catalog and nothing else"
        );
        let operator = site.operator().await;
        readiness.wait(tenants).await;
        peace(&site, operator, tenants).await;
        println!();
    });
}

/// Makes the rest of what so many databases leave behind where an operator looks.
async fn multiply(site: &Site, tenants: usize) {
    let secrets: Api<Secret> = Api::namespaced(site.client.clone(), "default");
    let one = secrets.get(&format!("{}-secret", name(0))).await.expect("it was delivered");
    let value = |key: &str| {
        let data = one.data.as_ref().and_then(|data| data.get(key)).expect("the key is there");
        String::from_utf8(data.0.clone()).expect("it is text")
    };
    let number = tenants.to_string();
    let filled = |sql: &str| {
        let sql = sql.replace("{tenants}", &number).replace("{username}", &value("username"));
        sql.replace("{password}", &value("password"))
    };
    let _ = site.server.psql("postgres", &filled(include_str!("synthetic.sql")));
    let _ = site.server.psql("tenantdb", &filled(include_str!("synthetic_ledger.sql")));
    // Numbers from 1 on: the one that was made is number 0.
    each(tenants - 1, |before| {
        let (databases, secrets, one) = (site.databases(), secrets.clone(), one.clone());
        async move {
            let made = databases.create(&PostParams::default(), &object(before + 1)).await.expect("it is made");
            let secret = of_another(&one, &name(before + 1), &made.uid().expect("it has one"));
            secrets.create(&PostParams::default(), &secret).await.expect("it is made");
        }
    })
    .await;
}

/// The Secret of one database as another's.
fn of_another(one: &Secret, name_of_it: &str, uid: &str) -> Secret {
    let renamed = |text: &str| text.replace(&name(0), name_of_it);
    let mut labels = one.labels().clone();
    labels.insert("tenantdb.dev/owner-uid".to_owned(), uid.to_owned());
    let annotations = one.annotations().iter().map(|(key, value)| (key.clone(), renamed(value))).collect();
    let metadata = ObjectMeta {
        name: Some(renamed(&one.name_any())),
        labels: Some(labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    };
    let data = one.data.iter().flatten().map(|(key, value)| {
        let text = String::from_utf8(value.0.clone()).expect("it is text");
        (key.clone(), k8s_openapi::ByteString(renamed(&text).into_bytes()))
    });
    Secret { metadata, data: Some(data.collect()), type_: one.type_.clone(), ..Secret::default() }
}
