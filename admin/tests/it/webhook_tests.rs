//! `POST /webhooks/{id}/test`: a sample is sent as a delivery would be, and its outcome returned.

use std::time::Duration;

use gatepost_domain::change::Topic;
use gatepost_domain::record::Role;
use gatepost_test_support::{AfterReply, MockServer, RecordedRequest, Reply, free_port};
use gatepost_webhook_client::{PrivateNetworks, sign};
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

/// Creates a webhook for two topics, and returns it.
async fn create(caller: &Caller<'_>, url: &str, further: Value) -> Value {
    let mut body = json!({"name": "w", "url": url, "topics": ["api-key.firstUsed", "api-key.created"]});
    body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let (status, created) = caller.post("/webhooks", body).await;
    assert_eq!(status, 201, "{created}");
    created
}

fn path(webhook: &Value) -> String {
    format!("/webhooks/{}/test", text(webhook, "id"))
}

fn body(request: &RecordedRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// Verifies the signature of a request as a receiver does.
pub(crate) fn is_signed_with(secret: &str, request: &RecordedRequest) -> bool {
    let secret = sign::parse_secret(secret).unwrap();
    let at = gatepost_domain::time::Timestamp::from_ms(
        request.header("webhook-timestamp")[0].parse::<u64>().unwrap() * 1000,
    );
    let id = gatepost_domain::id::EventId::parse(request.header("webhook-id")[0]).unwrap();
    let expected = sign::signature(&secret, &id, at, &request.body);
    request.header("webhook-signature")[0].split(' ').any(|signature| signature == expected)
}

#[tokio::test]
async fn a_sample_has_all_that_a_delivery_has_and_a_mark() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let user = fixture.caller("a", None, Role::User).await;
    let receiver = MockServer::start();
    let project = user.create_project().await;
    let further = json!({
        "projectId": project, "httpMethod": "PUT", "customHeaders": {"X-Team": "billing"}, "status": "paused",
        "theauthapiToken": "a-token-of-our-own",
    });
    let webhook = create(&user, &format!("{}hook?token=t", receiver.url()), further).await;
    let (_, rotated) = user.post(&format!("/webhooks/{}/rotate-secret", text(&webhook, "id")), json!({})).await;
    for topic in Topic::ALL.iter().map(|topic| topic.as_str()) {
        let (status, result) = user.post(&path(&webhook), json!({"topic": topic})).await;
        assert_eq!(status, 200, "{result}");
        let sent = receiver.take_requests().pop().unwrap();
        let expected = json!({
            "id": sent.header("webhook-id")[0], "topic": topic, "outcome": "delivered", "status": 200, "error": null,
            "errorClass": null, "durationMs": result["durationMs"],
        });
        assert_eq!(result, expected);
        assert_eq!(sent.request_line(), "PUT /hook?token=t HTTP/1.1");
        assert_eq!(sent.header("x-team"), ["billing"]);
        assert_eq!(sent.header("theauthapi-signature"), ["a-token-of-our-own"]);
        for secret in [&webhook, &rotated] {
            assert!(is_signed_with(&text(secret, "secret"), &sent), "{topic}");
        }
        let body = body(&sent);
        assert_eq!((&body["type"], &body["test"], &body["id"]), (&json!(topic), &json!(true), &result["id"]));
        assert_eq!((&body["accountId"], &body["projectId"]), (&webhook["accountId"], &json!(project)));
        assert!(body["data"]["name"].as_str().unwrap().starts_with("Sample "), "{body}");
        let key = &body["data"]["key"];
        assert!(key.is_null() || key == &body["data"]["id"], "a user's webhook sees no value: {body}");
    }
    let (_, events) = user.get("/events?type=api-key.created").await;
    assert_eq!(events["events"], json!([]), "a test changes nothing");
}

#[tokio::test]
async fn the_sample_of_a_new_key_has_what_the_webhook_sees_of_real_ones() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let receiver = MockServer::start();
    for (omits_secrets, start, is_masked) in [(false, "live_00SaSample", None), (true, "live_00S…", Some(true))] {
        let webhook = create(&admin, &receiver.url(), json!({"omitSecrets": omits_secrets})).await;
        assert_eq!(admin.post(&path(&webhook), json!({"topic": "api-key.created"})).await.0, 200);
        let body = body(&receiver.take_requests().pop().unwrap());
        assert!(body["data"]["key"].as_str().unwrap().starts_with(start), "{body}");
        assert_eq!(body.get("keyMasked").and_then(Value::as_bool), is_masked);
    }
}

#[tokio::test]
async fn a_sample_is_of_the_first_topic_unless_another_is_named() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let user = fixture.caller("a", None, Role::User).await;
    let receiver = MockServer::start();
    let webhook = create(&user, &receiver.url(), json!({})).await;
    for request in [json!({}), Value::Null] {
        let (status, result) = user.post(&path(&webhook), request).await;
        assert_eq!((status, &result["topic"]), (200, &json!("api-key.firstUsed")));
        let body = body(&receiver.take_requests().pop().unwrap());
        assert_eq!(body["data"]["firstUsedAt"], body["timestamp"]);
    }
    let (status, problem) = user.post(&path(&webhook), json!({"topic": "api-key.lost"})).await;
    assert_eq!((status, code(&problem)), (400, "validation"));
    assert!(text(&problem, "detail").starts_with("topic: \"api-key.lost\" is not known; known are"), "{problem}");
}

#[tokio::test]
async fn a_failure_has_its_class() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let user = fixture.caller("a", None, Role::User).await;
    let ill = MockServer::with_statuses(|_| (500, Duration::ZERO));
    let gone = MockServer::with_statuses(|_| (410, Duration::ZERO));
    let closing = MockServer::with_script(|_| Reply::raw("", AfterReply::Close));
    let garbage = MockServer::with_script(|_| Reply::raw("not HTTP\r\n\r\n", AfterReply::Close));
    let cases = [
        (ill.url(), "failed", json!(500), "status"),
        (gone.url(), "gone", json!(410), "status"),
        (format!("http://127.0.0.1:{}/", free_port()), "failed", Value::Null, "refused"),
        (closing.url(), "failed", Value::Null, "reset"),
        (garbage.url(), "failed", Value::Null, "protocol"),
    ];
    for (url, outcome, status, class) in cases {
        let webhook = create(&user, &url, json!({})).await;
        let (_, result) = user.post(&path(&webhook), json!({})).await;
        assert_eq!(
            (&result["outcome"], &result["status"], &result["errorClass"]),
            (&json!(outcome), &status, &json!(class)),
            "{url}: {result}"
        );
        assert!(result["error"].is_string(), "{result}");
    }
}

#[tokio::test]
async fn an_address_that_is_refused_by_now_is_not_connected_to() {
    let allowing = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let receiver = MockServer::start();
    let admin = allowing.caller("a", None, Role::Admin).await;
    let webhook = create(&admin, &receiver.url(), json!({})).await;
    let refusing = allowing.start_second_process(PrivateNetworks::Refused).await;
    let (status, result) = refusing.caller_with_key(&admin.access_key).post(&path(&webhook), json!({})).await;
    assert_eq!((status, &result["errorClass"], &result["status"]), (200, &json!("blocked"), &Value::Null));
    assert_eq!(receiver.request_count(), 0);
}

#[tokio::test]
async fn tests_and_pings_share_the_pace_of_an_account() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    fixture.freeze_uptime();
    let admin = fixture.caller("a", None, Role::Admin).await;
    let receiver = MockServer::start();
    let webhook = create(&admin, &receiver.url(), json!({})).await;
    let mut statuses = Vec::new();
    for number in 0..11 {
        statuses.push(match number % 2 {
            0 => admin.post(&path(&webhook), json!({})).await.0,
            _ => admin.post("/webhooks/ping", json!({"url": receiver.url()})).await.0,
        });
    }
    assert_eq!(statuses, [vec![200; 10], vec![429]].concat());
    assert_eq!(receiver.request_count(), 10);
    let other = fixture.caller("b", None, Role::Admin).await;
    assert_eq!(other.post(&path(&webhook), json!({})).await.0, 404);
}
