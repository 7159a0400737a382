//! Recoveries of webhooks: how one is started, what it reports, and how it ends.

use std::time::Duration;

use gatepost_domain::record::Role;
use gatepost_test_support::MockServer;
use gatepost_webhook_client::PrivateNetworks;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, execute, text};
use crate::webhook_payloads::start_deliverer;

/// How long a recovery may take here, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);
const LONG_AGO: &str = "2026-01-01T00:00:00.000Z";

async fn create_webhook(caller: &Caller<'_>, url: &str, further: Value) -> String {
    let mut hook = json!({"name": "w", "url": url, "topics": ["api-key.created", "api-key.deleted"]});
    hook.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let (status, created) = caller.post("/webhooks", hook).await;
    assert_eq!(status, 201, "{created}");
    format!("/webhooks/{}", text(&created, "id"))
}

/// Waits until a webhook has as many deliveries of a status.
async fn await_deliveries(caller: &Caller<'_>, webhook: &str, status: &str, count: usize) {
    let path = format!("{webhook}/deliveries?status={status}");
    let waiting = async {
        while caller.get(&path).await.1["deliveries"].as_array().unwrap().len() != count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap();
}

/// Waits until a recovery has ended, and returns it.
async fn await_end(caller: &Caller<'_>, path: &str) -> Value {
    let waiting = async {
        loop {
            let (status, recovery) = caller.get(path).await;
            assert_eq!(status, 200, "{recovery}");
            if recovery["status"] != "running" {
                return recovery;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_deliveries_are_recovered_once_their_webhook_is_live() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::start();
    let webhook = create_webhook(&admin, &receiver.url(), json!({"status": "paused", "whenPaused": "drop"})).await;
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(admin.create_key(&project, json!({})).await["id"].clone());
    }
    await_deliveries(&admin, &webhook, "dropped", 3).await;

    let recover = format!("{webhook}/recover");
    let filter = json!({"since": LONG_AGO, "topics": ["api-key.created"], "status": "all"});
    let (status, problem) = admin.post(&recover, filter.clone()).await;
    assert_eq!((status, code(&problem)), (409, "conflict"), "{problem}");
    assert!(text(&problem, "detail").contains("set its status to live first"), "{problem}");
    assert_eq!(admin.patch(&webhook, json!({"whenPaused": "keep"})).await.0, 200);
    let request = || {
        let request = admin.request(Method::POST, &recover).header("idempotency-key", "once");
        request.body(filter.to_string())
    };
    let response = request().send().await.unwrap();
    assert_eq!(response.status(), 202);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let started: Value = response.json().await.unwrap();
    assert_eq!(started, json!({"recoveryId": started["recoveryId"], "total": 3}));
    assert_eq!(location, format!("{webhook}/recoveries/{}", text(&started, "recoveryId")));
    assert_eq!(execute(request()).await, (202, started.clone()), "a repeated request starts no other one");

    let (_, waiting) = admin.get(&location).await;
    let expected = json!({
        "recoveryId": started["recoveryId"], "status": "running", "total": 3, "recovered": 0, "skipped": 0,
        "createdAt": waiting["createdAt"], "finishedAt": null,
        "filter": {"status": "all", "since": LONG_AGO, "until": null, "topics": ["api-key.created"]},
    });
    assert_eq!(waiting, expected, "it waits for the webhook");
    assert_eq!(admin.patch(&webhook, json!({"status": "live"})).await.0, 200);
    let finished = await_end(&admin, &location).await;
    assert_eq!(
        (&finished["status"], &finished["recovered"], &finished["skipped"]),
        (&json!("finished"), &json!(3), &json!(0))
    );
    assert!(finished["finishedAt"].as_str() >= finished["createdAt"].as_str());
    assert_eq!(receiver.await_count(3, DEADLINE), 3);
    let sent: Vec<Value> = receiver
        .take_requests()
        .iter()
        .map(|request| serde_json::from_slice::<Value>(&request.body).unwrap()["data"]["id"].clone())
        .collect();
    assert!(events.iter().all(|id| sent.contains(id)), "{sent:?}");
    await_deliveries(&admin, &webhook, "delivered", 3).await;
    let listed = json!({"recoveries": [finished], "next": null, "hasMore": false});
    assert_eq!(admin.get(&format!("{webhook}/recoveries")).await, (200, listed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_recovered_with_the_values_that_they_carry() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::with_statuses(|number| (if number < 4 { 503 } else { 204 }, Duration::ZERO));
    let webhook = create_webhook(&admin, &receiver.url(), json!({"retrySchedule": [1]})).await;
    let keys = [admin.create_key(&project, json!({})).await, admin.create_key(&project, json!({})).await];
    await_deliveries(&admin, &webhook, "dead", 2).await;
    receiver.take_requests();

    let filter = json!({"since": LONG_AGO, "status": "dead"});
    let (status, started) = admin.post(&format!("{webhook}/recover"), filter).await;
    assert_eq!((status, &started["total"]), (202, &json!(2)));
    let finished = await_end(&admin, &format!("{webhook}/recoveries/{}", text(&started, "recoveryId"))).await;
    assert_eq!((&finished["status"], &finished["recovered"]), (&json!("finished"), &json!(2)));
    await_deliveries(&admin, &webhook, "delivered", 2).await;
    await_deliveries(&admin, &webhook, "dead", 0).await;
    let sent = receiver.take_requests();
    for key in &keys {
        let value = text(key, "key");
        assert!(sent.iter().any(|request| String::from_utf8_lossy(&request.body).contains(&value)));
    }
}

#[tokio::test]
async fn one_recovery_of_a_webhook_runs_until_it_is_cancelled() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let webhook = create_webhook(&admin, "https://93.184.215.14/", json!({})).await;
    let other = create_webhook(&admin, "https://93.184.215.14/", json!({})).await;
    let recover = format!("{webhook}/recover");
    let filter = json!({"since": LONG_AGO, "status": "dropped"});
    let (status, started) = admin.post(&recover, filter.clone()).await;
    assert_eq!((status, &started["total"]), (202, &json!(0)));
    let id = text(&started, "recoveryId");
    let (status, problem) = admin.post(&recover, filter.clone()).await;
    assert_eq!((status, code(&problem)), (409, "conflict"));
    assert!(text(&problem, "detail").contains(&id), "{problem}");
    assert_eq!(admin.post(&format!("{other}/recover"), filter.clone()).await.0, 202, "another webhook has its own");

    let path = format!("{webhook}/recoveries/{id}");
    assert_eq!(admin.get(&format!("{other}/recoveries/{id}")).await.0, 404);
    assert_eq!(admin.delete(&format!("{other}/recoveries/{id}")).await.0, 404);
    let (status, cancelled) = admin.delete(&path).await;
    assert_eq!((status, &cancelled["status"]), (200, &json!("cancelled")));
    assert_eq!(admin.delete(&path).await, (200, cancelled.clone()), "cancelling it again changes nothing");
    assert_eq!(admin.get(&path).await, (200, cancelled));
    assert_eq!(admin.post(&recover, filter).await.0, 202);
    for missing in ["rec_00unknown", "rec", "evt_00unknown"] {
        assert_eq!(admin.get(&format!("{webhook}/recoveries/{missing}")).await.0, 404);
        assert_eq!(admin.delete(&format!("{webhook}/recoveries/{missing}")).await.0, 404);
    }
    assert_eq!(admin.delete(&webhook).await.0, 200);
    assert_eq!(admin.get(&path).await.0, 404);
}

#[tokio::test]
async fn a_recovery_without_a_clear_filter_is_refused() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let webhook = create_webhook(&admin, "https://93.184.215.14/", json!({})).await;
    let refused = [
        (json!({"status": "all"}), "since: is missing"),
        (json!({"since": LONG_AGO}), "status: is missing"),
        (json!({"since": null, "status": "all"}), "since: is missing"),
        (json!({"since": "yesterday", "status": "all"}), "since: "),
        (json!({"since": "2099-01-01T00:00:00Z", "status": "all"}), "since: is in the future"),
        (json!({"since": LONG_AGO, "until": "soon", "status": "all"}), "until: "),
        (json!({"since": LONG_AGO, "until": LONG_AGO, "status": "all"}), "until: must be after since"),
        (json!({"since": LONG_AGO, "until": "2025-01-01T00:00:00Z", "status": "all"}), "until: must be after since"),
        (
            json!({"since": LONG_AGO, "status": "pending"}),
            "status: \"pending\" is not one of dead, dropped, all, failed",
        ),
        (json!({"since": LONG_AGO, "status": "all", "topics": []}), "topics: at least one is needed"),
        (json!({"since": LONG_AGO, "status": "all", "topics": ["key"]}), "topics: \"key\" is not known"),
    ];
    for (body, detail) in refused {
        let (status, problem) = admin.post(&format!("{webhook}/recover"), body.clone()).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{body}: {problem}");
        assert!(text(&problem, "detail").starts_with(detail), "{body}: {problem}");
    }
    for body in
        [json!({"since": 1, "status": "all"}), json!({"since": LONG_AGO, "status": "all", "type": "x"}), json!([])]
    {
        let (status, problem) = admin.post(&format!("{webhook}/recover"), body.clone()).await;
        assert_eq!(status, 400, "{body}: {problem}");
    }
    let listed = admin.get(&format!("{webhook}/recoveries")).await;
    assert_eq!(listed, (200, json!({"recoveries": [], "next": null, "hasMore": false})));
}
