//! Traps about webhooks: secrets, and addresses that must not be reached.

use gatepost_domain::record::Role;
use gatepost_webhook_client::PrivateNetworks;
use serde_json::json;

use crate::fixture::{Fixture, code, text};

/// Ways to write addresses that are not public.
const PRIVATE: &[&str] = &[
    "https://127.0.0.1/",
    "https://0x7f.1/",
    "https://2130706433/",
    "https://0177.0.0.1/",
    "https://localhost/",
    "https://a.localhost./",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fd00::1]/",
    "https://[fe80::1]/",
    "https://10.1.2.3/",
    "https://172.16.0.1/",
    "https://192.168.0.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://168.63.129.16/",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://224.0.0.1/",
];

#[tokio::test]
async fn trap_27_secrets_and_tokens_are_shown_once() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let hook = json!({
        "name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"], "theauthapiSignature": true,
    });
    let (_, webhook) = admin.post("/webhooks", hook).await;
    let (_, access_key) = admin.post("/access-keys", json!({"name": "n"})).await;
    let secrets = [text(&webhook, "secret"), text(&webhook, "theauthapiToken"), text(&access_key, "key")];
    assert_ne!(secrets[0], secrets[1], "the static token is not the signing secret");
    let path = format!("/webhooks/{}", text(&webhook, "id"));
    let responses = [
        admin.get(&path).await.1,
        admin.get("/webhooks").await.1,
        admin.patch(&path, json!({"name": "other"})).await.1,
        admin.get("/access-keys").await.1,
        admin.patch(&format!("/access-keys/{}", text(&access_key, "id")), json!({"name": "other"})).await.1,
    ];
    for response in responses {
        let shown = response.to_string();
        assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
}

#[tokio::test]
async fn trap_29_neither_webhooks_nor_pings_reach_private_addresses() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let (_, made) = admin.post("/webhooks", hook.clone()).await;
    let path = format!("/webhooks/{}", text(&made, "id"));
    for (number, url) in PRIVATE.iter().enumerate() {
        let mut create = hook.clone();
        create["url"] = json!(url);
        // An account has only so many pings at a time.
        let pinging = fixture.caller(&format!("account {number}"), None, Role::User).await;
        for (status, problem) in [
            admin.post("/webhooks", create).await,
            admin.patch(&path, json!({"url": url})).await,
            pinging.post("/webhooks/ping", json!({"url": url, "httpMethod": "POST", "body": {}})).await,
        ] {
            assert_eq!((status, code(&problem)), (400, "webhook-address-refused"), "{url}");
        }
    }
    assert_eq!(admin.get(&path).await.1["url"], "https://93.184.215.14/");
}

#[tokio::test]
async fn trap_30_http_and_private_addresses_are_for_development_only() {
    for (private_networks, status) in [(PrivateNetworks::Refused, 400), (PrivateNetworks::Allowed, 201)] {
        let fixture = Fixture::with_private_networks(private_networks).await;
        let admin = fixture.caller("a", None, Role::Admin).await;
        for url in ["http://93.184.215.14/", "http://127.0.0.1:9/", "https://127.0.0.1:9/"] {
            let hook = json!({"name": "w", "url": url, "topics": ["api-key.created"]});
            assert_eq!(admin.post("/webhooks", hook).await.0, status, "{url}");
        }
        let other = json!({"name": "w", "url": "ftp://93.184.215.14/", "topics": ["api-key.created"]});
        assert_eq!(admin.post("/webhooks", other).await.0, 400);
    }
}
