//! Requests that are repeated with the same key.

use std::time::Duration;

use gatepost_domain::id::GatewayId;
use gatepost_domain::record::Role;
use gatepost_store::os_rng;
use gatepost_store::{FeedCursor, GatewayLabel, Heartbeat};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

/// Posts with a key, and returns the status, whether the response is a stored one, and the body.
async fn post(caller: &Caller<'_>, path: &str, key: &str, body: &Value) -> (u16, bool, Value) {
    let request = caller.request(Method::POST, path).header("idempotency-key", key).body(body.to_string());
    let response = request.send().await.unwrap();
    let replayed = response.headers().contains_key("idempotency-replayed");
    (response.status().as_u16(), replayed, response.json().await.unwrap())
}

#[tokio::test]
async fn every_repeated_post_gets_the_same_response_and_runs_once() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let project = caller.create_project().await;
    let made = caller.create_key(&project, json!({})).await;
    let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let (_, webhook) = caller.post("/webhooks", hook.clone()).await;
    let posts = [
        ("/accounts".to_owned(), json!({"name": "second"})),
        ("/access-keys".to_owned(), json!({"name": "k"})),
        ("/projects".to_owned(), json!({"name": "p", "env": "test"})),
        ("/api-keys".to_owned(), json!({"name": "k", "projectId": project})),
        ("/webhooks".to_owned(), hook),
        (format!("/webhooks/{}/rotate-secret", text(&webhook, "id")), json!({})),
        ("/api-keys/revoke".to_owned(), json!({"projectId": project, "customAccountId": "c"})),
        (format!("/api-keys/{}/rotate", text(&made, "id")), json!({})),
        (format!("/api-keys/auth/{}", text(&caller.create_key(&project, json!({})).await, "key")), json!(null)),
    ];
    for (number, (path, body)) in posts.iter().enumerate() {
        let key = format!("key-{number}");
        let (status, replayed, first) = post(&caller, path, &key, body).await;
        assert!((status == 200 || status == 201) && !replayed, "{path}: {status} {first}");
        let before = fixture.store.single_cell().last_position().await.unwrap();
        assert_eq!(post(&caller, path, &key, body).await, (status, true, first), "{path}");
        assert_eq!(fixture.store.single_cell().last_position().await.unwrap(), before, "{path} was done twice");
        let (status, _, problem) = post(&caller, path, &key, &json!({"name": "another body"})).await;
        assert_eq!((status, code(&problem)), (409, "idempotency-mismatch"), "{path}");
    }
}

#[tokio::test]
async fn a_body_is_the_same_however_its_json_is_written() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let post = |body: &'static str| {
        let request = caller.request(Method::POST, "/projects").header("idempotency-key", "k").body(body);
        async move { request.send().await.unwrap() }
    };
    let first = post(r#"{"name": "p", "env": "test"}"#).await.text().await.unwrap();
    for body in [r#"{"env":"test","name":"p"}"#, "\u{feff}{\n\t\"name\": \"\\u0070\", \"env\": \"test\"}\n"] {
        let replayed = post(body).await;
        assert!(replayed.headers().contains_key("idempotency-replayed"), "{body}");
        assert_eq!(replayed.text().await.unwrap(), first, "{body}");
    }
    assert_eq!(post(r#"{"name": "P", "env": "test"}"#).await.status(), 409);
}

#[tokio::test]
async fn of_concurrent_requests_one_runs() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let body = json!({"name": "p", "env": "test"});
    let racing = (0..20).map(|_| post(&caller, "/projects", "same", &body));
    let mut ids = Vec::new();
    for (status, _, response) in futures::future::join_all(racing).await {
        match status {
            201 => ids.push(text(&response, "id")),
            _ => assert_eq!((status, code(&response)), (409, "idempotency-in-flight")),
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(caller.get("/projects").await.1.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_is_its_access_keys_own_and_free_again_after_a_refusal_or_a_day() {
    let fixture = Fixture::start().await;
    let (one, other) = (fixture.caller("a", None, Role::Admin).await, fixture.caller("a", None, Role::User).await);
    let body = json!({"name": "p", "env": "test"});
    let (status, _, refused) = post(&one, "/projects", "k", &json!({"name": "p"})).await;
    assert_eq!((status, code(&refused)), (400, "validation"));
    let (_, _, first) = post(&one, "/projects", "k", &body).await;
    let (_, replayed, second) = post(&other, "/projects", "k", &body).await;
    assert!(!replayed && first["id"] != second["id"]);
    for key in ["", "with space", &"x".repeat(256)] {
        assert_eq!(post(&one, "/projects", key, &body).await.0, 400, "{key:?}");
    }
    fixture.advance(Duration::from_secs(24 * 3600 - 60));
    assert!(post(&one, "/projects", "k", &body).await.1);
    fixture.advance(Duration::from_secs(120));
    let (status, replayed, third) = post(&one, "/projects", "k", &body).await;
    assert!(status == 201 && !replayed && third["id"] != first["id"]);
}

#[tokio::test]
async fn a_repeat_of_a_request_that_was_committed_but_not_answered_gets_its_result() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let project = caller.create_project().await;
    let id = text(&caller.create_key(&project, json!({})).await, "id");
    // A gateway that never applies anything, so that the request waits for it after its change was written.
    let gateway = Heartbeat {
        gateway: GatewayId::generate(&mut os_rng()),
        cursor: FeedCursor::default(),
        valid_for: Duration::from_secs(600),
        label: GatewayLabel::default(),
    };
    fixture.store.single_cell().heartbeat(gateway).await.unwrap();
    let path = format!("/api-keys/{id}/rotate");
    let before = fixture.store.single_cell().last_position().await.unwrap();
    let waiting = caller.request(Method::POST, &path).header("idempotency-key", "k").header("prefer", "wait=30");
    let written = async {
        while fixture.store.single_cell().last_position().await.unwrap() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = waiting.body("{}").send() => panic!("it was answered"),
        () = written => {}
    }
    let (status, replayed, response) = post(&caller, &path, "k", &json!({})).await;
    assert_eq!((status, replayed, text(&response, "id")), (201, true, id));
    let used = caller.get(&format!("/api-keys/auth/{}", text(&response, "key"))).await;
    assert_eq!(used.0, 200, "the revealed value is not the key's");
}

#[tokio::test]
async fn stored_responses_of_an_account_are_limited_in_total_size() {
    let fixture = Fixture::start().await;
    let [one, same] = [fixture.caller("a", None, Role::User).await, fixture.caller("a", None, Role::User).await];
    let other = fixture.caller("b", None, Role::User).await;
    let long = json!({"customMetaData": {"text": "x".repeat(16_000)}});
    let key = one.create_key(&one.create_project().await, long).await;
    let path = format!("/api-keys/auth/{}", text(&key, "key"));
    let others_key = other.create_key(&other.create_project().await, json!({})).await;
    fixture.freeze_uptime();
    let mut stored = 0;
    while post([&one, &same][stored % 2], &path, &format!("key-{stored}"), &json!(null)).await.0 == 200 {
        stored += 1;
    }
    // 10,000 of 2 KiB at once, and these have between 8 and 9 times as much.
    assert!((10_000 / 9..=10_000 / 8).contains(&stored), "{stored}");
    assert_eq!(post(&same, &path, "another", &json!(null)).await.0, 429);
    assert_eq!(post(&one, &path, "key-0", &json!(null)).await.0, 200, "the stored response is returned");
    let path = format!("/api-keys/auth/{}", text(&others_key, "key"));
    assert_eq!(post(&other, &path, "key-0", &json!(null)).await.0, 200, "others have their own");
    fixture.advance(Duration::from_secs(1));
    let path = format!("/api-keys/auth/{}", text(&key, "key"));
    assert_eq!(post(&one, &path, "later", &json!(null)).await.0, 200);
}
