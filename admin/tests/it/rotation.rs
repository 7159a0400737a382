//! Rotation through the API.

use std::time::Duration;

use gatepost_domain::record::Role;
use gatepost_domain::time::Timestamp;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

async fn rotate(caller: &Caller<'_>, key: &str, body: Option<Value>) -> (u16, Value) {
    caller.send(Method::POST, &format!("/api-keys/{key}/rotate"), body).await
}

async fn check(fixture: &Fixture, caller: &Caller<'_>, value: &str) -> Response {
    let request = fixture.request(Method::POST, &format!("/api-keys/auth/{value}"));
    request.header("x-api-key", &caller.access_key).send().await.unwrap()
}

#[tokio::test]
async fn a_rotated_key_is_the_same_key_and_its_old_value_is_refused_at_once() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let made = caller.create_key(&caller.create_project().await, json!({"customMetaData": {"a": 1}})).await;
    let old = text(&made, "key");
    let (_, used) = caller.send(Method::POST, &format!("/api-keys/auth/{old}"), None).await;
    let (status, rotated) = rotate(&caller, &old, None).await;
    assert_eq!(status, 201, "{rotated}");
    let new = text(&rotated, "key");
    assert!(new.starts_with("live_") && new != old);
    for member in ["id", "firstUsedAt", "customMetaData", "name", "createdAt"] {
        assert_eq!(rotated[member], used[member], "{member}");
    }
    assert_ne!(rotated["maskedKey"], made["maskedKey"]);
    assert_eq!(check(&fixture, &caller, &old).await.status(), 404);
    let response = check(&fixture, &caller, &new).await;
    assert_eq!((response.status().as_u16(), response.headers().get("sunset")), (200, None));
}

/// Trap 15: clients repeat a request whose answer they have not got.
#[tokio::test]
async fn a_repeated_rotation_gets_the_same_response_for_ten_minutes() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let old = text(&caller.create_key(&caller.create_project().await, json!({})).await, "key");
    let first = rotate(&caller, &old, None).await;
    assert_eq!(first.0, 201);
    // As the clients send it: no body, and a content type of forms (trap 1).
    let request = fixture.request(Method::POST, &format!("/api-keys/{old}/rotate"));
    let request = request.header("x-api-key", &caller.access_key).header("prefer", "wait=1");
    let response = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["gatepost-propagated"]),
        (201, &"0/0".parse().unwrap())
    );
    assert_eq!(serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap(), first.1);
    for (account, role, expected) in [("a", Role::Viewer, 403), ("b", Role::Admin, 404)] {
        assert_eq!(rotate(&fixture.caller(account, None, role).await, &old, None).await.0, expected);
    }
    fixture.advance(Duration::from_secs(601));
    assert_eq!(rotate(&caller, &old, None).await.0, 404);
    assert_eq!(check(&fixture, &caller, &text(&first.1, "key")).await.status(), 200);
}

#[tokio::test]
async fn an_outdated_response_is_not_replayed() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let made = caller.create_key(&caller.create_project().await, json!({})).await;
    let (_, first) = rotate(&caller, &text(&made, "key"), None).await;
    let (_, second) = rotate(&caller, &text(&first, "key"), None).await;
    assert_eq!(rotate(&caller, &text(&made, "key"), None).await.0, 404);
    assert_eq!(rotate(&caller, &text(&first, "key"), None).await, (201, second.clone()));
    let (status, third) = rotate(&caller, &text(&made, "id"), None).await;
    assert_eq!((status, &third["id"]), (201, &made["id"]));
    assert_ne!(third["key"], second["key"], "a request that names the key by its id is a new rotation");
}

#[tokio::test]
async fn both_values_work_until_the_overlap_ends() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let made = caller.create_key(&caller.create_project().await, json!({})).await;
    let old = text(&made, "key");
    let (status, rotated) = rotate(&caller, &old, Some(json!({"overlapSeconds": 3600}))).await;
    assert_eq!(status, 201, "{rotated}");
    let new = text(&rotated, "key");
    assert_eq!(check(&fixture, &caller, &new).await.headers().get("deprecation"), None);
    let response = check(&fixture, &caller, &old).await;
    assert_eq!(response.status(), 200);
    let replaced_at = Timestamp::parse(&text(&rotated, "updatedAt")).unwrap();
    let sunset = replaced_at.plus(Duration::from_secs(3600)).to_http_date();
    assert_eq!(response.headers()["deprecation"], format!("@{}", replaced_at.as_seconds()));
    assert_eq!(response.headers()["sunset"], sunset);
    assert_eq!(rotate(&caller, &old, None).await.1["key"], rotated["key"]);
    fixture.advance(Duration::from_secs(700));
    let (status, problem) = rotate(&caller, &old, None).await;
    assert_eq!((status, code(&problem)), (409, "conflict"), "{problem}");
    assert_eq!(check(&fixture, &caller, &old).await.status(), 200);
    fixture.advance(Duration::from_secs(2901));
    for (method, path) in [
        (Method::POST, format!("/api-keys/auth/{old}")),
        (Method::GET, format!("/api-keys/{old}")),
        (Method::DELETE, format!("/api-keys/{old}")),
        (Method::POST, format!("/api-keys/{old}/rotate")),
    ] {
        assert_eq!(caller.send(method.clone(), &path, None).await.0, 404, "{method} {path}");
    }
    assert_eq!(check(&fixture, &caller, &new).await.status(), 200);
}

#[tokio::test]
async fn of_many_old_values_the_oldest_ends_at_once() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let made = caller.create_key(&caller.create_project().await, json!({})).await;
    let mut values = vec![text(&made, "key")];
    for _ in 0..5 {
        let (_, rotated) = rotate(&caller, &text(&made, "id"), Some(json!({"overlapSeconds": 3600}))).await;
        values.push(text(&rotated, "key"));
    }
    for (index, value) in values.iter().enumerate() {
        let expected = if index == 0 { 404 } else { 200 };
        assert_eq!(check(&fixture, &caller, value).await.status(), expected, "{index}");
    }
    rotate(&caller, &text(&made, "id"), None).await;
    for value in &values {
        assert_eq!(check(&fixture, &caller, value).await.status(), 404);
    }
}

#[tokio::test]
async fn invalid_rotations_are_refused_with_a_reason() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let id = text(&caller.create_key(&caller.create_project().await, json!({})).await, "id");
    for (body, detail) in [
        (json!({"overlapSeconds": 7_776_001}), "overlapSeconds: must be a number from 0 to 7776000"),
        (json!({"overlapSeconds": -1}), "overlapSeconds: must be a whole number from 0 to 7776000, or null"),
        (json!({"overlapSeconds": "soon"}), "overlapSeconds: must be a whole number from 0 to 7776000, or null"),
    ] {
        let (status, problem) = rotate(&caller, &id, Some(body)).await;
        assert_eq!((status, code(&problem)), (400, "validation"));
        assert!(text(&problem, "detail").starts_with(detail), "{problem}");
    }
    caller.delete(&format!("/api-keys/{id}")).await;
    assert_eq!(rotate(&caller, &id, None).await.0, 409);
    assert_eq!(rotate(&caller, "no-such-key", None).await.0, 404);
}
