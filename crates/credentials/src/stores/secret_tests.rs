//! What is asked of the API server, by one that is none.

use std::sync::Arc;

use kube::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::format::tests::{delivery, login};

/// Has one Secret, and takes note of what is to be written into it, which it refuses.
struct ApiServer {
    client: Client,
    written: Arc<Mutex<Vec<Value>>>,
}

impl ApiServer {
    async fn with(secret: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let written = Arc::new(Mutex::default());
        tokio::spawn(serve(listener, secret, Arc::clone(&written)));
        Self { client: Client::try_from(Config::new(url.parse().unwrap())).unwrap(), written }
    }
}

async fn serve(listener: TcpListener, secret: Value, written: Arc<Mutex<Vec<Value>>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (head, body) = request(&mut stream).await;
        let (status, answer) = if head.starts_with("GET ") {
            ("200 OK", secret.clone())
        } else {
            written.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            ("409 Conflict", json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409}))
        };
        let answer = answer.to_string();
        let length = answer.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}");
        stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n{answer}").as_bytes()).await.unwrap();
    }
}

/// Its head and body.
async fn request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let (mut read, mut block) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if read.len() >= end + 4 + length.unwrap_or(0) {
                return (head, read.split_off(end + 4));
            }
        }
        let count = stream.read(&mut block).await.unwrap();
        assert_ne!(count, 0, "it ended early");
        read.extend(&block[..count]);
    }
}

/// Without its UID, the API server would make a Secret that was deleted meanwhile, with nothing but our keys in it.
#[tokio::test]
async fn keys_are_added_to_the_very_secret_that_was_looked_at() {
    let metadata = json!({"name": "app-env", "namespace": "default", "uid": "7f3c", "resourceVersion": "5"});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"SESSION_KEY": "YWJj"}});
    let api_server = ApiServer::with(secret).await;
    let place = SecretPlace::new(api_server.client, PlaceId("cluster:test Secrets".to_owned()));
    let secret_name = "app-env".parse().unwrap();
    let delivery = Delivery { existing: Existing::Merged, secret_name, ..delivery("cafe") };
    let moved = place.write(&delivery, &login("cafe_a", "pass"), Generation(1), Version(5)).await;
    assert!(matches!(moved, Err(PlaceError::Moved(_))), "{moved:?}");
    let written = api_server.written.lock().unwrap();
    let [written] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!((&written["metadata"]["uid"], &written["metadata"]["resourceVersion"]), (&json!("7f3c"), &json!("5")));
    assert!(written["data"]["SESSION_KEY"].is_null());
}
