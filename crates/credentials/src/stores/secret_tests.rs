//! What is asked of the API server, by one that is none.

use std::future;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::format::tests::{delivery, login};

/// Has one Secret, and takes note of what is to be written into it, which it refuses.
fn api_server(secret: Value) -> (Client, Arc<Mutex<Vec<Value>>>) {
    let written = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&written);
    let answer = move |method: Method, body: Bytes| {
        future::ready(if method == Method::GET {
            (StatusCode::OK, secret.to_string())
        } else {
            noted.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            let refused = json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409});
            (StatusCode::CONFLICT, refused.to_string())
        })
    };
    (Client::new(Router::new().fallback(answer), "default"), written)
}

/// Without its UID, the API server would make a Secret that was deleted meanwhile, with nothing but our keys in it.
#[tokio::test]
async fn keys_are_added_to_the_very_secret_that_was_looked_at() {
    let metadata = json!({"name": "app-env", "namespace": "default", "uid": "7f3c", "resourceVersion": "5"});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"SESSION_KEY": "YWJj"}});
    let (client, written) = api_server(secret);
    let place = SecretPlace::new(client, PlaceId("cluster:test Secrets".to_owned()));
    let secret_name = "app-env".parse().unwrap();
    let delivery = Delivery { existing: Existing::Merged, secret_name, ..delivery("cafe") };
    let moved = place.publish(&delivery, &login("cafe_a", "pass"), Generation(1), Version(5)).await;
    assert!(matches!(moved, Err(PlaceError::Moved(_))), "{moved:?}");
    let written = written.lock().unwrap();
    let [written] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!((&written["metadata"]["uid"], &written["metadata"]["resourceVersion"]), (&json!("7f3c"), &json!("5")));
    assert!(written["data"]["SESSION_KEY"].is_null());
}
