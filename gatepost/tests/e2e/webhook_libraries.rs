//! Deliveries over HTTPS, verified by the libraries `standardwebhooks` and `svix` from npm and from PyPI.

use gatepost_test_support::MockServer;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::https_receiver::{HttpsReceiver, TestCa};
use crate::process::Gatepost;
use crate::single_process::read_first_access_key;

/// Webhook with its receiver.
struct Subscription {
    receiver: HttpsReceiver,
    path: String,
    secret: Value,
}

impl Subscription {
    async fn create(admin: &Admin, mut receiver: HttpsReceiver) -> Self {
        let body = json!({"name": receiver.name, "url": receiver.url, "topics": ["api-key.created"]});
        let webhook = admin.post("/webhooks", body).await;
        let secret = webhook["secret"].clone();
        receiver.set(&secret, &Value::Null);
        Self { receiver, path: format!("/webhooks/{}", webhook["id"].as_str().unwrap()), secret }
    }

    async fn change(&self, admin: &Admin, method: Method, path: &str, body: Value) -> Value {
        let response = admin.send(method, &format!("{}{path}", self.path), body.to_string()).await;
        assert_eq!(response.status(), 200);
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// Checks the next delivery: its signatures, and that it is accepted. If a public key is set, `v1a` is valid too.
    fn check_delivery(&self, kinds: &[&str]) -> Value {
        let request = self.receiver.next_request();
        let name = &self.receiver.name;
        let signatures = request["headers"]["webhook-signature"].as_str().unwrap().split(' ');
        let mut found: Vec<&str> = signatures.map(|signature| signature.split_once(',').unwrap().0).collect();
        found.sort_unstable();
        assert_eq!(found, kinds, "{name}");
        let is_v1a = kinds.contains(&"v1a");
        assert_eq!((&request["accepted"], &request["v1a"]), (&json!(true), &json!(is_v1a)), "{name}: {request}");
        request
    }

    /// Sends a received delivery again as it was, which is accepted, and with another body, which is refused.
    async fn check_tampering(&self, client: &Client, delivery: &Value) {
        let body = delivery["body"].as_str().unwrap();
        let tampered = body.replacen("\"isActive\":true", "\"isActive\":null", 1);
        assert_ne!(body, tampered);
        for (body, accepted) in [(body, true), (&tampered, false)] {
            let mut request = client.post(&self.receiver.url).body(body.to_owned());
            for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
                request = request.header(name, delivery["headers"][name].as_str().unwrap());
            }
            let status = request.send().await.unwrap().status();
            let seen = self.receiver.next_request();
            assert_eq!(status, if accepted { 204 } else { 401 }, "{}: {seen}", self.receiver.name);
            assert_eq!(seen["v1a"], json!(accepted && delivery["v1a"] == true), "{}", self.receiver.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_libraries_verify_deliveries_over_https_also_during_a_rotation_and_with_v1a() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, origin) = (TestCa::create(directory.path()), MockServer::start());
    let trust = [("SSL_CERT_FILE", ca.ca_file.to_str().unwrap())];
    let up = Gatepost::start_with(directory.path(), &["up", "--upstream", &origin.url()], &trust).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let (client, project) = (ca.client(), admin.create_project().await);
    let mut subscriptions = Vec::new();
    for receiver in [
        HttpsReceiver::node("standardwebhooks", &ca),
        HttpsReceiver::node("svix", &ca),
        HttpsReceiver::python("standardwebhooks.webhooks", &ca),
        HttpsReceiver::python("svix.webhooks", &ca),
    ] {
        subscriptions.push(Subscription::create(&admin, receiver).await);
    }

    admin.create_api_key(&project).await;
    for subscription in &subscriptions {
        let delivery = subscription.check_delivery(&["v1"]);
        subscription.check_tampering(&client, &delivery).await;
    }

    for subscription in &mut subscriptions {
        let body = json!({"signatures": ["v1", "v1a"]});
        let changed = subscription.change(&admin, Method::PATCH, "", body).await;
        subscription.receiver.set(&subscription.secret, &changed["publicKey"]);
    }
    admin.create_api_key(&project).await;
    for subscription in &subscriptions {
        let delivery = subscription.check_delivery(&["v1", "v1a"]);
        subscription.check_tampering(&client, &delivery).await;
    }

    let mut rotated = Vec::new();
    for subscription in &subscriptions {
        rotated.push(subscription.change(&admin, Method::POST, "/rotate-secret", json!({})).await);
    }
    // During the overlap, receivers with the old secret and with the new one accept the same requests.
    for is_new in [false, true] {
        if is_new {
            for (subscription, rotated) in subscriptions.iter_mut().zip(&rotated) {
                assert_ne!(rotated["secret"], subscription.secret);
                subscription.receiver.set(&rotated["secret"], &rotated["publicKey"]);
            }
        }
        admin.create_api_key(&project).await;
        for subscription in &subscriptions {
            let delivery = subscription.check_delivery(&["v1", "v1", "v1a", "v1a"]);
            subscription.check_tampering(&client, &delivery).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_with_a_certificate_of_another_authority_gets_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, origin) = (TestCa::create(directory.path()), MockServer::start());
    let up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let subscription = Subscription::create(&admin, HttpsReceiver::node("standardwebhooks", &ca)).await;
    let outcome = subscription.change(&admin, Method::POST, "/test", json!({"topic": "api-key.created"})).await;
    assert_eq!((&outcome["outcome"], &outcome["errorClass"]), (&json!("failed"), &json!("tls")), "{outcome}");
}
