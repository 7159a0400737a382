//! States of webhooks: what callers see of them, and how a disabled one becomes live again.

use std::time::Duration;

use gatepost_domain::record::Role;
use gatepost_test_support::MockServer;
use gatepost_webhook_client::PrivateNetworks;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};
use crate::webhook_payloads::start_deliverer;

/// How long a change may take here, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

async fn create_webhook(caller: &Caller<'_>, url: &str, further: Value) -> Value {
    let mut hook = json!({"name": "w", "url": url, "topics": ["api-key.created"]});
    hook.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let (status, created) = caller.post("/webhooks", hook).await;
    assert_eq!(status, 201, "{created}");
    created
}

/// Waits until a page has what `found` finds in it, and returns it.
async fn wait_for<T>(caller: &Caller<'_>, path: &str, found: impl Fn(&Value) -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = found(&caller.get(path).await.1) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("{path} never has it"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_webhook_is_made_live_again_and_says_what_can_be_recovered() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::with_statuses(|number| (if number == 0 { 410 } else { 204 }, Duration::ZERO));
    let webhook = create_webhook(&admin, &receiver.url(), json!({})).await;
    assert_eq!((&webhook["state"], &webhook["stateReason"]), (&json!("live"), &Value::Null));
    assert_eq!(webhook["stateSince"], webhook["createdAt"]);
    admin.create_key(&project, json!({})).await;

    let path = format!("/webhooks/{}", text(&webhook, "id"));
    let disabled = wait_for(&admin, &path, |webhook| (webhook["state"] == "disabled").then(|| webhook.clone())).await;
    assert_eq!(
        (&disabled["status"], &disabled["stateReason"]),
        (&json!("paused"), &json!("the receiver responded with 410"))
    );
    assert!(disabled["stateSince"].as_str() > webhook["createdAt"].as_str());
    assert_eq!(disabled["lastChangedBy"], webhook["lastChangedBy"], "no person changed it");

    tokio::time::sleep(Duration::from_millis(5)).await;
    admin.create_key(&project, json!({})).await;
    let deliveries = format!("{path}/deliveries");
    let has = |status: &'static str| {
        move |page: &Value| {
            page["deliveries"].as_array().unwrap().iter().any(|one| one["status"] == status).then_some(())
        }
    };
    wait_for(&admin, &deliveries, has("dropped")).await;
    wait_for(&admin, &deliveries, has("dead")).await;

    let (status, live) = admin.patch(&path, json!({"status": "live"})).await;
    assert_eq!((status, &live["state"], &live["recoverable"]), (200, &json!("live"), &json!(2)));
    assert_eq!((&live["stateReason"], admin.get(&path).await.1.get("recoverable")), (&Value::Null, None));
    let (_, again) = admin.patch(&path, json!({"status": "live"})).await;
    assert_eq!(again.get("recoverable"), None);
    admin.create_key(&project, json!({})).await;
    assert_eq!(receiver.await_count(2, DEADLINE), 2);

    let (_, events) = admin.get("/events?limit=100").await;
    let events = events["events"].as_array().unwrap();
    let change = events.iter().find(|event| event["type"] == "webhook.disabled").unwrap();
    assert_eq!(change["actor"], json!({"type": "DELIVERER", "id": null, "address": null}));
    assert_eq!((&change["previous"]["state"], &change["data"]["state"]), (&json!("live"), &json!("disabled")));
}

#[tokio::test]
async fn events_of_a_paused_webhook_are_dropped_or_kept() {
    let fixture = Fixture::start().await;
    let user = fixture.caller("a", None, Role::User).await;
    let url = "https://93.184.215.14/hook";
    let webhook = create_webhook(&user, url, json!({"whenPaused": "keep", "status": "paused"})).await;
    assert_eq!((&webhook["whenPaused"], &webhook["state"]), (&json!("keep"), &json!("paused")));
    assert_eq!(create_webhook(&user, url, json!({})).await["whenPaused"], "drop");
    let path = format!("/webhooks/{}", text(&webhook, "id"));
    let (status, changed) = user.patch(&path, json!({"whenPaused": "drop"})).await;
    assert_eq!((status, &changed["whenPaused"]), (200, &json!("drop")));
    for wrong in [json!("later"), json!("")] {
        let (status, problem) = user.patch(&path, json!({"whenPaused": wrong})).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{wrong}");
    }
}
