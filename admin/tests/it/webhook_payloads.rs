//! What webhooks get: the payload of each topic in each way that it arises.

use std::sync::Arc;
use std::time::Duration;

use gatepost_control_plane::NewAccessKey;
use gatepost_deliverer::{Deliverer, DelivererOptions, Retention};
use gatepost_domain::record::FailureLimits;
use gatepost_domain::record::Role;
use gatepost_domain::time::Timestamp;
use gatepost_store::clock::SystemClock;
use gatepost_test_support::{MockServer, RecordedRequest};
use gatepost_webhook_client::PrivateNetworks;
use prometheus::Registry;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, text};

/// How long an event may take here, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running deliverer, and a receiver that counts.
struct Receiver {
    origin: MockServer,
    delivered: usize,
    /// Runs as long as the receiver is looked at.
    _deliverer: Deliverer,
}

/// Starts a deliverer on the store of a fixture.
pub(crate) fn start_deliverer(fixture: &Fixture) -> Deliverer {
    let options = DelivererOptions {
        private_networks: PrivateNetworks::Allowed,
        retention: Retention { max_age: Duration::from_secs(3600), max_entries: 1000 },
        max_pending: 1000,
        failure_limits: FailureLimits::default(),
    };
    let clock = Arc::new(SystemClock);
    Deliverer::start(fixture.store.single_cell().clone(), clock, options, &Registry::new()).unwrap()
}

impl Receiver {
    fn start(fixture: &Fixture) -> Self {
        Self { origin: MockServer::start(), delivered: 0, _deliverer: start_deliverer(fixture) }
    }

    /// Makes a webhook for all topics that leads here.
    async fn subscribe(&self, caller: &Caller<'_>, further: Value) -> Value {
        let (_, topics) = caller.get("/webhooks/topics").await;
        let mut hook = json!({"name": "w", "url": self.origin.url(), "topics": topics, "httpMethod": "POST"});
        hook.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        let (status, made) = caller.post("/webhooks", hook).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    /// The request that tells of what was done last.
    fn next(&mut self) -> RecordedRequest {
        self.delivered += 1;
        assert_eq!(self.origin.await_count(self.delivered, DEADLINE), self.delivered);
        self.origin.take_requests().pop().unwrap()
    }

    /// Its body.
    fn next_body(&mut self) -> Value {
        serde_json::from_slice(&self.next().body).unwrap()
    }
}

/// What differs from run to run, by what it is.
fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(redact),
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) => {
            let prefixes = ["acc_", "prj_", "key_", "ak_", "evt_", "live_access_", "live_"];
            if Timestamp::parse(text).is_ok() {
                *text = "(time)".to_owned();
            } else if text.contains('…') {
                *text = "(mask)".to_owned();
            } else if let Some(prefix) = prefixes.iter().find(|prefix| text.starts_with(*prefix) && text.len() > 20) {
                *text = format!("({prefix})");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns the body that the documentation shows.
fn documented_example() -> Value {
    let page = include_str!("../../../docs/webhooks.md");
    let (_, rest) = page.split_once("```json\n").unwrap();
    serde_json::from_str(rest.split_once("```").unwrap().0).unwrap()
}

fn member_names(object: &Value) -> Vec<&String> {
    object.as_object().unwrap().keys().collect()
}

/// Takes the next event, compares its payload with the committed one, and answers it.
macro_rules! assert_delivered {
    ($receiver:expr, $name:literal) => {{
        let body = $receiver.next_body();
        let mut shown = body.clone();
        redact(&mut shown);
        insta::assert_json_snapshot!($name, shown);
        body
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_api_keys_have_these_payloads() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let mut receiver = Receiver::start(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    receiver.subscribe(&admin, json!({})).await;

    let further = json!({"customMetaData": {"plan": "gold"}, "customAccountId": "c", "expiry": "2099-01-01"});
    let key = admin.create_key(&project, further).await;
    let created = assert_delivered!(receiver, "api_key_created");
    assert_eq!(created["data"]["key"], key["key"], "an admin's webhook sees the value");
    let example = documented_example();
    assert_eq!(member_names(&example), member_names(&created), "docs/webhooks.md");
    assert_eq!(member_names(&example["data"]), member_names(&created["data"]), "docs/webhooks.md");
    let path = format!("/api-keys/auth/{}", text(&key, "key"));
    for _ in 0..2 {
        assert_eq!(admin.send(Method::POST, &path, None).await.0, 200);
    }
    let used = assert_delivered!(receiver, "api_key_first_used");
    assert_eq!((&used["data"]["id"], &used["data"]["key"]), (&key["id"], &key["id"]));
    for _ in 0..2 {
        admin.delete(&format!("/api-keys/{}", text(&key, "id"))).await;
    }
    assert_delivered!(receiver, "api_key_deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_changed_api_keys_have_these_payloads() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let mut receiver = Receiver::start(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let id = text(&admin.create_key(&project, json!({"key": "first-value-of-it"})).await, "id");
    receiver.subscribe(&admin, json!({})).await;
    let path = format!("/api-keys/{id}");

    admin.patch(&path, json!({"name": "changed", "customUserId": "u"})).await;
    let changed = assert_delivered!(receiver, "api_key_updated");
    assert_eq!(changed["data"]["key"], id, "its value has not changed");
    admin.patch(&path, json!({"name": "changed", "key": "second-value-of-it"})).await;
    let renamed = assert_delivered!(receiver, "api_key_updated_by_another_value");
    assert_eq!(renamed["data"]["key"], "second-value-of-it");
    let (_, rotated) = admin.send(Method::POST, &format!("{path}/rotate"), None).await;
    let body = assert_delivered!(receiver, "api_key_updated_by_rotation");
    assert_eq!(body["data"]["key"], rotated["key"]);
    admin.delete(&path).await;
    assert_eq!(receiver.next_body()["type"], "api-key.deleted");
    admin.send(Method::PATCH, &format!("{path}/reactivate"), None).await;
    assert_delivered!(receiver, "api_key_updated_by_reactivation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_access_keys_have_these_payloads() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let mut receiver = Receiver::start(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    receiver.subscribe(&admin, json!({})).await;

    let (_, made) = admin.post("/access-keys", json!({"name": "made", "role": "viewer"})).await;
    let created = assert_delivered!(receiver, "access_key_created");
    assert_eq!(created["data"]["key"], made["key"], "an admin's webhook sees the value");
    let by_operator =
        NewAccessKey { account_name: Some("a".to_owned()), project: None, role: Role::Admin, name: "cli".to_owned() };
    let by_operator = fixture.control_plane.create_access_key(by_operator).await.unwrap();
    let created = assert_delivered!(receiver, "access_key_created_by_the_operator");
    assert_eq!(created["data"]["key"], by_operator.secret.expose());

    let path = format!("/access-keys/{}", text(&made, "id"));
    admin.patch(&path, json!({"name": "renamed"})).await;
    assert_delivered!(receiver, "access_key_updated");
    admin.delete(&path).await;
    assert_delivered!(receiver, "access_key_deleted");
    for _ in 0..2 {
        admin.send(Method::PATCH, &format!("{path}/reactivate"), None).await;
    }
    assert_delivered!(receiver, "access_key_reactivated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_projects_have_these_payloads() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let mut receiver = Receiver::start(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (first, second) = (admin.create_project().await, admin.create_project().await);
    receiver.subscribe(&admin, json!({})).await;

    admin.patch(&format!("/projects/{first}"), json!({"name": "renamed"})).await;
    let body = assert_delivered!(receiver, "project_updated");
    assert_eq!(body["projectId"], first);
    for _ in 0..2 {
        assert_eq!(admin.delete(&format!("/projects/{first}")).await, (200, json!(true)));
    }
    assert_delivered!(receiver, "project_deleted");
    let (_, accounts) = admin.get("/accounts").await;
    assert_eq!(admin.delete(&format!("/accounts/{}", text(&accounts[0], "id"))).await, (200, json!(true)));
    let body = assert_delivered!(receiver, "project_deleted_with_its_account");
    assert_eq!(body["projectId"], second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_sent_only_to_webhooks_whose_url_an_admin_set() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let mut receiver = Receiver::start(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let user = fixture.caller("a", None, Role::User).await;
    let project = admin.create_project().await;
    let own = receiver.subscribe(&user, json!({})).await;
    let key = user.create_key(&project, json!({})).await;
    assert_eq!(receiver.next_body()["data"]["key"], key["id"], "a user made it");
    user.delete(&format!("/webhooks/{}", text(&own, "id"))).await;

    let path = format!("/webhooks/{}", text(&receiver.subscribe(&admin, json!({})).await, "id"));
    assert_eq!(user.patch(&path, json!({"name": "renamed", "topics": ["api-key.created"]})).await.0, 200);
    let key = user.create_key(&project, json!({})).await;
    assert_eq!(receiver.next_body()["data"]["key"], key["key"], "it still leads where the admin wanted");
    let elsewhere = format!("{}elsewhere", receiver.origin.url());
    assert_eq!(user.patch(&path, json!({"url": elsewhere})).await.0, 200);
    let key = user.create_key(&project, json!({})).await;
    let request = receiver.next();
    assert!(request.request_line().contains("/elsewhere"), "{}", request.request_line());
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["data"]["key"], key["id"], "a user chose where it leads");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_webhook_gets_nothing_and_method_headers_and_token_are_sent() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let mut receiver = Receiver::start(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let hook = receiver.subscribe(&admin, json!({"status": "paused"})).await;
    let path = format!("/webhooks/{}", text(&hook, "id"));
    admin.create_key(&project, json!({"name": "while paused"})).await;
    let change = json!({
        "status": "live", "httpMethod": "put", "customHeaders": {"X-Mine": "1"}, "theauthapiSignature": true,
    });
    let (status, changed) = admin.patch(&path, change).await;
    assert_eq!((status, &changed["status"], &changed["httpMethod"]), (200, &json!("live"), &json!("PUT")));
    admin.create_key(&project, json!({"name": "live again"})).await;
    let request = receiver.next();
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["data"]["name"], "live again");
    assert!(request.request_line().starts_with("PUT / "), "{}", request.request_line());
    assert_eq!(request.header("x-mine"), ["1"]);
    assert_eq!(request.header("theauthapi-signature"), [text(&changed, "theauthapiToken")]);
    assert!(request.header("webhook-signature")[0].starts_with("v1,"));
    assert!(!text(&hook, "secret").contains(request.header("theauthapi-signature")[0]));

    let (_, rotated) = admin.send(Method::POST, &format!("{path}/rotate-secret"), None).await;
    assert_ne!(rotated["secret"], hook["secret"]);
    admin.create_key(&project, json!({})).await;
    let signatures: Vec<String> =
        receiver.next().header("webhook-signature")[0].split(' ').map(str::to_owned).collect();
    assert_eq!(signatures.len(), 2, "by the new secret and by the old one");
    admin.post(&format!("{path}/rotate-secret"), json!({"overlapSeconds": 0})).await;
    admin.patch(&path, json!({"theauthapiSignature": false})).await;
    admin.create_key(&project, json!({})).await;
    let request = receiver.next();
    assert_eq!(request.header("webhook-signature")[0].split(' ').count(), 1);
    assert!(request.header("theauthapi-signature").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_admin_can_ask_for_values_that_a_webhook_omitted() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let mut receiver = Receiver::start(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let user = fixture.caller("a", None, Role::User).await;
    let project = admin.create_project().await;
    let hook = receiver.subscribe(&admin, json!({"omitSecrets": true, "topics": ["api-key.created"]})).await;
    let path = format!("/webhooks/{}", text(&hook, "id"));
    let key = admin.create_key(&project, json!({})).await;
    assert_eq!(receiver.next_body()["data"]["key"], key["maskedKey"]);

    assert_eq!(admin.patch(&path, json!({"omitSecrets": false})).await.0, 200);
    let key = admin.create_key(&project, json!({})).await;
    assert_eq!(receiver.next_body()["data"]["key"], key["key"]);

    assert_eq!(user.patch(&path, json!({"omitSecrets": true})).await.0, 200);
    let key = admin.create_key(&project, json!({})).await;
    assert_eq!(receiver.next_body()["data"]["key"], key["maskedKey"]);

    assert_eq!(user.patch(&path, json!({"omitSecrets": false})).await.0, 200);
    let key = admin.create_key(&project, json!({})).await;
    assert_eq!(receiver.next_body()["data"]["key"], key["id"], "a user chose that values are sent");
}
