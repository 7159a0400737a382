//! Settings of a webhook's deliveries, and the key pair of its `v1a` signatures.

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, execute, text};

fn hook(further: &Value) -> Value {
    let mut body = json!({"name": "w", "url": "https://93.184.215.14/hook", "topics": ["api-key.created"]});
    body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    body
}

fn settings(webhook: &Value) -> Value {
    let names = ["retrySchedule", "maxInFlight", "ratePerSecond", "omitSecrets", "signatures"];
    names.into_iter().map(|name| (name.to_owned(), webhook[name].clone())).collect()
}

fn defaults() -> Value {
    json!({
        "retrySchedule": null, "maxInFlight": null, "ratePerSecond": null, "omitSecrets": false, "signatures": ["v1"],
    })
}

fn all() -> Value {
    json!({
        "retrySchedule": [1, 60, 604_739], "maxInFlight": 1, "ratePerSecond": 1000, "omitSecrets": true,
        "signatures": ["v1", "v1a"],
    })
}

async fn create(caller: &Caller<'_>, further: &Value) -> (String, Value) {
    let (status, made) = caller.post("/webhooks", hook(further)).await;
    assert_eq!(status, 201, "{made}");
    (format!("/webhooks/{}", text(&made, "id")), made)
}

#[tokio::test]
async fn settings_are_returned_as_they_were_set_and_null_resets_them() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    for absent in [json!({}), json!({"retrySchedule": null, "maxInFlight": null, "ratePerSecond": null})] {
        let (_, made) = create(&admin, &absent).await;
        assert_eq!((settings(&made), &made["publicKey"]), (defaults(), &Value::Null));
    }
    let (path, made) = create(&admin, &all()).await;
    assert_eq!(settings(&made), all());
    let (_, read) = admin.get(&path).await;
    assert_eq!((settings(&read), &read["publicKey"]), (all(), &made["publicKey"]));
    let (_, list) = admin.get("/webhooks").await;
    assert_eq!(settings(list.as_array().unwrap().last().unwrap()), all());

    let reset = defaults();
    let (status, changed) = admin.patch(&path, reset.clone()).await;
    assert_eq!((status, settings(&changed), &changed["publicKey"]), (200, reset, &Value::Null), "{changed}");
    let (_, read) = admin.get(&path).await;
    assert_eq!(settings(&read), defaults());
}

#[tokio::test]
async fn each_setting_can_be_changed_alone() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (path, _) = create(&admin, &json!({})).await;
    let mut expected = defaults();
    for (member, value) in all().as_object().unwrap() {
        let (status, changed) = admin.patch(&path, json!({member: value})).await;
        expected[member] = value.clone();
        assert_eq!((status, settings(&changed)), (200, expected.clone()), "{changed}");
    }
    let (status, renamed) = admin.patch(&path, json!({"name": "renamed"})).await;
    assert_eq!((status, settings(&renamed)), (200, expected));
}

#[tokio::test]
async fn a_setting_that_is_not_valid_is_refused_by_its_name() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (path, _) = create(&admin, &json!({})).await;
    for (member, value) in [
        ("retrySchedule", json!([])),
        ("retrySchedule", json!([5, 0])),
        ("retrySchedule", json!(vec![1; 20])),
        ("retrySchedule", json!([604_800, 1])),
        ("retrySchedule", json!([u64::MAX, u64::MAX])),
        ("maxInFlight", json!(0)),
        ("maxInFlight", json!(17)),
        ("maxInFlight", json!(u64::MAX)),
        ("ratePerSecond", json!(0)),
        ("ratePerSecond", json!(1001)),
        ("signatures", json!([])),
        ("signatures", json!(["v1a"])),
        ("signatures", json!(["v1", "v1"])),
        ("signatures", json!(["v1", "v2"])),
        ("signatures", json!(["v1", "v1a", "v1a"])),
    ] {
        let body = json!({member: value});
        for (status, problem) in [admin.post("/webhooks", hook(&body)).await, admin.patch(&path, body.clone()).await] {
            assert_eq!((status, code(&problem)), (400, "validation"), "{body}");
            assert!(text(&problem, "detail").starts_with(&format!("{member}: ")), "{problem}");
        }
    }
    for body in [
        json!({"retrySchedule": [1.5]}),
        json!({"retrySchedule": 5}),
        json!({"maxInFlight": "4"}),
        json!({"ratePerSecond": -1}),
        json!({"omitSecrets": "yes"}),
        json!({"signatures": "v1"}),
    ] {
        for (status, problem) in [admin.post("/webhooks", hook(&body)).await, admin.patch(&path, body.clone()).await] {
            assert_eq!((status, code(&problem)), (400, "validation"), "{body}");
        }
    }
    assert_eq!(settings(&admin.get(&path).await.1), defaults());
}

/// The public key of a webhook: 32 bytes in base64.
fn public_key(webhook: &Value) -> String {
    let key = text(webhook, "publicKey");
    assert_eq!((key.strip_prefix("whpk_").map(str::len), key.ends_with('=')), (Some(44), true), "{key}");
    key
}

#[tokio::test]
async fn a_key_pair_lasts_until_it_is_rotated_or_not_asked_for_any_more() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let viewer = fixture.caller("a", None, Role::Viewer).await;
    let both = json!({"signatures": ["v1a", "v1"]});
    let (path, made) = create(&admin, &both).await;
    assert_eq!(made["signatures"], json!(["v1", "v1a"]));
    let mut seen = vec![public_key(&made)];

    // The same again changes nothing, and neither does a copy: the member is the server's.
    let copy = admin.get(&path).await.1;
    let mut forged = copy.clone();
    forged["publicKey"] = json!("whpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    for body in [both.clone(), copy, forged, json!({"signatures": null})] {
        let (status, unchanged) = admin.patch(&path, body).await;
        assert_eq!((status, &unchanged["publicKey"]), (200, &made["publicKey"]), "{unchanged}");
        assert_eq!(unchanged["updatedAt"], made["updatedAt"]);
    }
    assert_eq!(public_key(&viewer.get(&path).await.1), seen[0], "a public key is no secret");
    assert_eq!(viewer.patch(&path, json!({"signatures": ["v1"]})).await.0, 403);

    for overlap_s in [3600, 0] {
        let body = json!({"overlapSeconds": overlap_s});
        let (status, rotated) = admin.post(&format!("{path}/rotate-secret"), body).await;
        assert_eq!(status, 200, "{rotated}");
        seen.push(public_key(&rotated));
    }
    let (_, without) = admin.patch(&path, json!({"signatures": ["v1"]})).await;
    assert_eq!(without["publicKey"], Value::Null);
    seen.push(public_key(&admin.patch(&path, both).await.1));
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count, "each key pair is another one");
}

#[tokio::test]
async fn a_webhook_without_a_key_pair_gets_none_by_a_rotation() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (path, _) = create(&admin, &json!({})).await;
    let (status, rotated) = admin.post(&format!("{path}/rotate-secret"), json!({})).await;
    assert_eq!((status, &rotated["publicKey"], &rotated["signatures"]), (200, &Value::Null, &json!(["v1"])));
}

#[tokio::test]
async fn settings_change_only_at_the_version_that_if_match_names() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (path, _) = create(&admin, &json!({})).await;
    let tag = admin.request(Method::GET, &path).send().await.unwrap().headers()["etag"].clone();
    let patch = async |body: Value| {
        let request = admin.request(Method::PATCH, &path).header("if-match", &tag).body(body.to_string());
        execute(request).await.0
    };
    assert_eq!(patch(json!({"maxInFlight": 4})).await, 200);
    assert_eq!(patch(json!({"maxInFlight": 5})).await, 412);
    assert_eq!(admin.get(&path).await.1["maxInFlight"], 4);
}

#[tokio::test]
async fn a_repeated_request_with_the_same_idempotency_key_makes_one_key_pair() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let post = async |path: &str, body: &Value| {
        let request = admin.request(Method::POST, path).header("idempotency-key", path).body(body.to_string());
        execute(request).await.1
    };
    let first = post("/webhooks", &hook(&all())).await;
    assert_eq!(post("/webhooks", &hook(&all())).await, first);
    let rotate = format!("/webhooks/{}/rotate-secret", text(&first, "id"));
    let rotated = post(&rotate, &json!({})).await;
    assert_ne!(public_key(&rotated), public_key(&first));
    assert_eq!(post(&rotate, &json!({})).await, rotated);
}

#[tokio::test]
async fn events_show_settings_and_no_secret_key() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (path, made) = create(&admin, &all()).await;
    admin.patch(&path, json!({"maxInFlight": 2})).await;
    let (_, page) = admin.get("/events").await;
    let webhooks: Vec<&Value> =
        page["events"].as_array().unwrap().iter().filter(|event| event["subject"] == made["id"]).collect();
    assert_eq!((settings(&webhooks[0]["data"]), &webhooks[0]["data"]["publicKey"]), (all(), &made["publicKey"]));
    assert_eq!([&webhooks[1]["previous"], &webhooks[1]["data"]].map(|image| image["maxInFlight"].clone()), [1, 2]);
    assert!(!page.to_string().contains("signing"), "{page}");
}
