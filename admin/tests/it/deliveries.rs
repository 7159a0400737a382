//! Deliveries of a webhook: what lists and details show, and sending one again.

use std::time::Duration;

use gatepost_domain::record::Role;
use gatepost_domain::time::Timestamp;
use gatepost_test_support::{MockServer, Reply};
use gatepost_webhook_client::PrivateNetworks;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};
use crate::webhook_payloads::start_deliverer;

/// How long an event may take here, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until a webhook has a delivery of a status, and returns it.
async fn delivery_of_status(caller: &Caller<'_>, webhook: &str, status: &str) -> Value {
    let path = format!("/webhooks/{webhook}/deliveries?status={status}");
    let waiting = async {
        loop {
            let (_, page) = caller.get(&path).await;
            if let Some(found) = page["deliveries"].as_array().and_then(|list| list.first()) {
                return found.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap()
}

async fn subscribe(caller: &Caller<'_>, url: &str, further: Value) -> String {
    let mut hook = json!({"name": "w", "url": url, "topics": ["api-key.created", "api-key.deleted"]});
    hook.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let (status, created) = caller.post("/webhooks", hook).await;
    assert_eq!(status, 201, "{created}");
    text(&created, "id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_seen_from_its_failure_to_its_resending() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::with_statuses(|number| (if number == 0 { 503 } else { 204 }, Duration::ZERO));
    let webhook = subscribe(&admin, &receiver.url(), json!({"customHeaders": {"x-team": "billing-team"}})).await;
    let key = admin.create_key(&project, json!({})).await;

    let failed = delivery_of_status(&admin, &webhook, "failed").await;
    assert_eq!(
        (&failed["type"], &failed["attempts"], &failed["lastStatus"]),
        (&json!("api-key.created"), &json!(1), &json!(503))
    );
    assert_eq!(failed["lastError"], "the receiver responded with 503");
    assert!(failed["nextAttemptAt"].as_str() > failed["lastAttemptAt"].as_str());
    let path = format!("/webhooks/{webhook}/deliveries/{}", text(&failed, "eventId"));
    let (status, details) = admin.get(&path).await;
    assert_eq!(status, 200);
    assert_eq!((&details["status"], &details["history"][0]["errorClass"]), (&json!("failed"), &json!("status")));
    assert_eq!(details["upcoming"].as_array().unwrap().len(), 9, "{details}");
    assert_eq!(details["upcoming"][0], failed["nextAttemptAt"]);
    let request = &details["request"];
    assert_eq!((&request["method"], &request["headers"]["x-team"]), (&json!("POST"), &json!("…")));
    assert_eq!(request["headers"]["webhook-id"], failed["eventId"]);
    assert_eq!(request["body"]["data"]["id"], key["id"]);
    assert_eq!((&request["body"]["data"]["key"], request["body"].get("keyMasked")), (&key["maskedKey"], None));
    for secret in [text(&key, "key"), "billing-team".to_owned()] {
        assert!(!details.to_string().contains(&secret), "{details}");
    }
    let (_, stats) = admin.get(&format!("/webhooks/{webhook}/stats")).await;
    assert_eq!((&stats["pending"], &stats["failed24h"], &stats["delivered24h"]), (&json!(1), &json!(1), &json!(0)));

    let (status, sent) = admin.post(&format!("{path}/resend"), json!({})).await;
    assert_eq!((status, &sent["eventId"]), (202, &failed["eventId"]));
    let delivered = delivery_of_status(&admin, &webhook, "delivered").await;
    assert_eq!((&delivered["eventId"], &delivered["attempts"]), (&failed["eventId"], &json!(2)));
    let (_, details) = admin.get(&path).await;
    let outcomes = details["history"].as_array().unwrap().iter().map(|attempt| &attempt["outcome"]);
    assert_eq!(outcomes.collect::<Vec<_>>(), ["failed", "delivered"]);
    assert_eq!(details["upcoming"], json!([]));
    let sent = receiver.take_requests();
    assert!(String::from_utf8_lossy(&sent[1].body).contains(&text(&key, "key")), "an admin's webhook sees the value");

    assert_eq!(admin.post(&format!("{path}/resend"), json!({})).await.0, 202);
    assert_eq!(receiver.await_count(3, DEADLINE), 3);
    let again = receiver.take_requests().pop().unwrap();
    assert_eq!(again.header("webhook-id"), [text(&failed, "eventId")]);
    let body: Value = serde_json::from_slice(&again.body).unwrap();
    assert_eq!((&body["data"]["key"], &body["keyMasked"]), (&key["maskedKey"], &json!(true)), "the value is gone");
}

#[tokio::test]
async fn deliveries_of_a_change_are_those_of_webhooks_that_the_caller_sees() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let of_project = fixture.caller("a", Some(&project), Role::Viewer).await;
    let url = "https://93.184.215.14/";
    subscribe(&admin, url, json!({"projectId": project})).await;
    let of_account = subscribe(&admin, url, json!({})).await;
    admin.create_key(&project, json!({})).await;
    let (_, changes) = admin.get("/events?order=desc&limit=1").await;
    let path = format!("/events/{}/deliveries", text(&changes["events"][0], "cursor"));
    assert_eq!(admin.get(&path).await.1, json!({"deliveries": []}), "it is not fanned out yet");
    let event = fixture.dropped_delivery(&of_account).await;
    let (_, found) = admin.get(&path).await;
    let found = found["deliveries"].as_array().unwrap();
    assert_eq!(found.len(), 1);
    let delivery = &found[0];
    assert_eq!((&delivery["webhookId"], &delivery["eventId"]), (&json!(of_account), &json!(event)));
    assert_eq!((&delivery["status"], &delivery["type"]), (&json!("dropped"), &json!("api-key.created")));
    assert_eq!(of_project.get(&path).await.1, json!({"deliveries": []}));
    assert_eq!(admin.get("/events/1/deliveries").await.0, 404);
}

/// The times are minimum times, so they differ by exactly the delays of the schedule.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upcoming_attempts_follow_the_schedule_of_the_webhook() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::with_statuses(|_| (500, Duration::ZERO));
    let webhook = subscribe(&admin, &receiver.url(), json!({"retrySchedule": [3600, 60, 30]})).await;
    admin.create_key(&project, json!({})).await;
    let failed = delivery_of_status(&admin, &webhook, "failed").await;
    let (_, details) = admin.get(&format!("/webhooks/{webhook}/deliveries/{}", text(&failed, "eventId"))).await;
    let parse = |time: &Value| Timestamp::parse(time.as_str().unwrap()).unwrap().as_ms();
    let next = parse(&failed["nextAttemptAt"]);
    let upcoming: Vec<u64> = details["upcoming"].as_array().unwrap().iter().map(parse).collect();
    assert_eq!(upcoming, [next, next + 60_000, next + 90_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_deliveries_are_listed_and_can_be_sent() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::start();
    let webhook = subscribe(&admin, &receiver.url(), json!({"status": "paused"})).await;
    admin.create_key(&project, json!({})).await;
    let dropped = delivery_of_status(&admin, &webhook, "dropped").await;
    assert_eq!((&dropped["attempts"], &dropped["nextAttemptAt"]), (&json!(0), &json!(null)));
    let change = json!({"status": "live"});
    assert_eq!(admin.patch(&format!("/webhooks/{webhook}"), change).await.0, 200);
    let path = format!("/webhooks/{webhook}/deliveries/{}/resend", text(&dropped, "eventId"));
    assert_eq!(admin.post(&path, json!({})).await.0, 202);
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    assert_eq!(delivery_of_status(&admin, &webhook, "delivered").await["eventId"], dropped["eventId"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_deliveries_have_filters_and_cursors() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::start();
    let webhook = subscribe(&admin, &receiver.url(), json!({})).await;
    let key = admin.create_key(&project, json!({})).await;
    for _ in 0..3 {
        admin.create_key(&project, json!({})).await;
    }
    admin.delete(&format!("/api-keys/{}", text(&key, "id"))).await;
    assert_eq!(receiver.await_count(5, DEADLINE), 5);
    let path = format!("/webhooks/{webhook}/deliveries");
    let list = async |query: &str| admin.get(&format!("{path}?{query}")).await;
    let all_are_delivered = async {
        while list("status=delivered").await.1["deliveries"].as_array().unwrap().len() < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, all_are_delivered).await.unwrap();

    let (_, whole) = list("").await;
    let ids = |page: &Value| -> Vec<Value> {
        page["deliveries"].as_array().unwrap().iter().map(|one| one["eventId"].clone()).collect()
    };
    assert_eq!((ids(&whole).len(), &whole["hasMore"]), (5, &json!(false)));
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let (_, page) = list(&format!("limit=2&after={after}")).await;
        paged.extend(ids(&page));
        if page["hasMore"] == json!(false) {
            assert_eq!(page["next"], Value::Null);
            break;
        }
        after = text(&page, "next");
    }
    assert_eq!(paged, ids(&whole));
    assert_eq!(ids(&list("type=api-key.deleted").await.1).len(), 1);
    assert_eq!(ids(&list("since=2099-01-01T00:00:00Z").await.1).len(), 0);
    assert_eq!(ids(&list("until=2099-01-01T00:00:00Z&since=2020-01-01T00:00:00Z").await.1).len(), 5);
    for query in ["status=lost", "type=key", "since=yesterday", "after=x", "limit=1001", "limit=0", "sttaus=dead"] {
        let (status, problem) = list(query).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{query}: {problem}");
    }
}

/// Returns a receiver that has these statuses in turn, and the last one for all further requests.
fn responding(statuses: &'static [u16]) -> MockServer {
    MockServer::with_statuses(|number| (statuses[number.min(statuses.len() - 1)], Duration::ZERO))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_resent_or_recovered_while_a_webhook_is_disabled() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = responding(&[410, 204]);
    let webhook = subscribe(&admin, &receiver.url(), json!({"whenPaused": "keep"})).await;
    admin.create_key(&project, json!({})).await;
    let dead = delivery_of_status(&admin, &webhook, "dead").await;
    let path = format!("/webhooks/{webhook}");
    let disabled = async {
        while admin.get(&path).await.1["state"] != "disabled" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, disabled).await.unwrap();
    let delivery = format!("{path}/deliveries/{}", text(&dead, "eventId"));
    let before = admin.get(&delivery).await.1;
    for (request, body) in [
        (format!("{delivery}/resend"), json!({})),
        (format!("{path}/recover"), json!({"since": "2026-01-01T00:00:00Z", "status": "all"})),
    ] {
        let (status, problem) = admin.post(&request, body).await;
        assert_eq!((status, code(&problem)), (409, "conflict"), "{request}: {problem}");
        let detail =
            "the webhook is disabled and nothing is sent to it: set its status to live first, and then try again";
        assert_eq!(problem["detail"], detail);
    }
    assert_eq!(admin.get(&delivery).await.1, before, "nothing is changed");
    assert_eq!((&before["attempts"], &before["lastStatus"]), (&json!(1), &json!(410)));
    assert_eq!(admin.get(&format!("{path}/recoveries")).await.1["recoveries"], json!([]));

    assert_eq!(admin.patch(&path, json!({"status": "live"})).await.0, 200);
    assert_eq!(admin.post(&format!("{delivery}/resend"), json!({})).await.0, 202);
    let delivered = delivery_of_status(&admin, &webhook, "delivered").await;
    assert_eq!(delivered["createdAt"], before["createdAt"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_webhook_is_sent_nothing_again_or_keeps_it() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::start();
    let webhook = subscribe(&admin, &receiver.url(), json!({"status": "paused"})).await;
    admin.create_key(&project, json!({})).await;
    let dropped = delivery_of_status(&admin, &webhook, "dropped").await;
    let path = format!("/webhooks/{webhook}");
    let (_, stats) = admin.get(&format!("{path}/stats")).await;
    assert_eq!((&stats["dropped"], &stats["pending"], &stats["pausedUntil"]), (&json!(1), &json!(0), &json!(null)));
    let delivery = format!("{path}/deliveries/{}", text(&dropped, "eventId"));
    let (status, problem) = admin.post(&format!("{delivery}/resend"), json!({})).await;
    assert_eq!((status, code(&problem)), (409, "conflict"), "{problem}");
    assert!(text(&problem, "detail").starts_with("the webhook is paused and nothing is sent to it: set"), "{problem}");
    assert_eq!(delivery_of_status(&admin, &webhook, "dropped").await, dropped, "nothing is changed");

    assert_eq!(admin.patch(&path, json!({"whenPaused": "keep"})).await.0, 200);
    let (status, waiting) = admin.post(&format!("{delivery}/resend"), json!({})).await;
    assert_eq!((status, &waiting["status"], &waiting["nextAttemptAt"]), (202, &json!("paused"), &json!(null)));
    assert_eq!(waiting["createdAt"], dropped["createdAt"]);
    let (_, details) = admin.get(&delivery).await;
    assert_eq!((&details["status"], &details["upcoming"]), (&json!("paused"), &json!([])));
    let (_, stats) = admin.get(&format!("{path}/stats")).await;
    assert_eq!((&stats["dropped"], &stats["pending"], &stats["pausedUntil"]), (&json!(0), &json!(1), &json!(null)));
    assert_eq!(admin.patch(&path, json!({"status": "live"})).await.0, 200);
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_the_receiver_asks_for_is_shown_and_ended() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::with_script(|request| match request {
        0 => Reply { status: 503, headers: vec![("retry-after", "99999999".to_owned())], ..Reply::default() },
        _ => Reply { status: 204, ..Reply::default() },
    });
    let webhook = subscribe(&admin, &receiver.url(), json!({"retrySchedule": [1, 60]})).await;
    let path = format!("/webhooks/{webhook}");
    assert_eq!(admin.get(&path).await.1.get("pausedUntil"), None);
    admin.create_key(&project, json!({})).await;
    let refused = delivery_of_status(&admin, &webhook, "failed").await;
    admin.create_key(&project, json!({})).await;
    let pending = delivery_of_status(&admin, &webhook, "pending").await;

    let (_, shown) = admin.get(&path).await;
    let until = text(&shown, "pausedUntil");
    let parse = |time: &str| Timestamp::parse(time).unwrap();
    let lasts = parse(&until).since(parse(&text(&refused, "lastAttemptAt")));
    assert!((86_400..86_520).contains(&lasts.as_secs()), "{lasts:?}: a day at most");
    assert_eq!(
        (&shown["pauseReason"], &shown["state"]),
        (&json!("the receiver responded with 429 or 503 and Retry-After"), &json!("live"))
    );
    let (_, stats) = admin.get(&format!("{path}/stats")).await;
    assert_eq!((&stats["pausedUntil"], &stats["pauseReason"]), (&json!(until), &shown["pauseReason"]));
    for waiting in [&refused, &pending] {
        let (_, details) = admin.get(&format!("{path}/deliveries/{}", text(waiting, "eventId"))).await;
        assert_eq!((&details["nextAttemptAt"], &details["upcoming"][0]), (&json!(until), &json!(until)));
    }

    let mut copy = shown.clone();
    copy["name"] = json!("renamed");
    let (status, renamed) = admin.patch(&path, copy).await;
    assert_eq!((status, &renamed["pausedUntil"]), (200, &json!(until)), "a copy leaves it as it is");
    let (status, renamed) = admin.patch(&path, json!({"name": "again"})).await;
    assert_eq!((status, &renamed["pausedUntil"]), (200, &json!(until)));
    let (status, live) = admin.patch(&path, json!({"status": "live"})).await;
    assert_eq!((status, live.get("pausedUntil"), live.get("pauseReason")), (200, None, None));
    assert_eq!(receiver.await_count(3, DEADLINE), 3, "the refused one is sent as well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_goes_on_when_a_delivery_is_sent_again() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = responding(&[500, 500, 500, 204]);
    let webhook = subscribe(&admin, &receiver.url(), json!({"retrySchedule": [1]})).await;
    admin.create_key(&project, json!({})).await;
    let dead = delivery_of_status(&admin, &webhook, "dead").await;
    let path = format!("/webhooks/{webhook}/deliveries/{}", text(&dead, "eventId"));
    assert_eq!(admin.post(&format!("{path}/resend"), json!({})).await.0, 202);
    let delivered = delivery_of_status(&admin, &webhook, "delivered").await;
    assert_eq!((&delivered["attempts"], &delivered["createdAt"]), (&json!(2), &dead["createdAt"]));
    let (_, details) = admin.get(&path).await;
    let numbers = details["history"].as_array().unwrap().iter().map(|attempt| attempt["number"].as_u64().unwrap());
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3, 4]);
}
