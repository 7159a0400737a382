//! Webhooks through the API.

use gatepost_deliverer::PrivateNetworks;
use gatepost_domain::record::Role;
use serde_json::{Value, json};

use crate::fixture::{Fixture, code, text};

const PUBLIC: &str = "https://93.184.215.14/hook";

fn hook(further: &Value) -> Value {
    let mut body = json!({"name": "w", "url": PUBLIC, "topics": ["api-key.created"], "httpMethod": "POST"});
    body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_webhooks_secret_is_told_once() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let (status, made) = caller.post("/webhooks", hook(&json!({"customHeaders": {"X-Mine": "1"}}))).await;
    assert_eq!(status, 201, "{made}");
    assert!(text(&made, "secret").starts_with("whsec_"));
    assert_eq!(made["customHeaders"], json!({"X-Mine": "1"}));
    let path = format!("/webhooks/{}", text(&made, "id"));
    let (status, read) = caller.get(&path).await;
    assert_eq!((status, read.get("secret")), (200, None));
    let (_, list) = caller.get("/webhooks").await;
    assert_eq!(list, json!([read]));
    assert_eq!(caller.delete(&path).await, (200, json!(true)));
    assert_eq!(caller.get(&path).await.0, 404);
    assert_eq!(caller.delete(&path).await.0, 404);
}

#[tokio::test]
async fn a_webhook_that_is_not_valid_is_refused() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    for (further, expected) in [
        (json!({"url": "http://93.184.215.14/"}), "webhook-address-refused"),
        (json!({"url": "https://127.0.0.1/"}), "webhook-address-refused"),
        (json!({"url": "https://[::1]/"}), "webhook-address-refused"),
        (json!({"url": "https://localhost/"}), "webhook-address-refused"),
        (json!({"url": "https://169.254.169.254/latest/meta-data"}), "webhook-address-refused"),
        (json!({"url": "https://user:secret@93.184.215.14/"}), "webhook-address-refused"),
        (json!({"url": "not a url"}), "validation"),
        (json!({"url": null}), "validation"),
        (json!({"topics": []}), "validation"),
        (json!({"topics": ["api-key.rotated"]}), "validation"),
        (json!({"httpMethod": "BREW"}), "validation"),
        (json!({"status": "sleeping"}), "validation"),
        (json!({"customHeaders": {"Webhook-Id": "x"}}), "validation"),
        (json!({"customHeaders": {"bad name": "x"}}), "validation"),
        (json!({"customHeaders": {"X-A": "line\nline"}}), "validation"),
    ] {
        let (status, problem) = caller.post("/webhooks", hook(&further)).await;
        assert_eq!((status, code(&problem)), (400, expected), "{further}");
    }
    let allowing = Fixture::with(PrivateNetworks::Allowed).await;
    let caller = allowing.caller("a", None, Role::Admin).await;
    assert_eq!(caller.post("/webhooks", hook(&json!({"url": "http://127.0.0.1:9/"}))).await.0, 201);
}

#[tokio::test]
async fn a_project_has_at_most_a_hundred_webhooks() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    for _ in 0..100 {
        assert_eq!(caller.post("/webhooks", hook(&json!({}))).await.0, 201);
    }
    let (status, problem) = caller.post("/webhooks", hook(&json!({}))).await;
    assert_eq!((status, code(&problem)), (409, "too-many-webhooks"));
}
