//! Changing keys through the API.

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

async fn patch(caller: &Caller<'_>, key: &str, body: Value) -> (u16, Value) {
    caller.send(Method::PATCH, &format!("/api-keys/{key}"), Some(body)).await
}

async fn check_status(caller: &Caller<'_>, value: &str) -> u16 {
    caller.send(Method::POST, &format!("/api-keys/auth/{value}"), None).await.0
}

#[tokio::test]
async fn null_clears_and_what_is_absent_stays() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let all = json!({
        "customMetaData": {"a": 1}, "customAccountId": "c", "customUserId": "u", "expiry": "2099-01-01",
        "permissions": ["write", "read", "read"],
    });
    let made = caller.create_key(&caller.create_project().await, all).await;
    assert_eq!(made["permissions"], json!(["read", "write"]));
    let id = text(&made, "id");
    let (status, renamed) = patch(&caller, &id, json!({"name": "other"})).await;
    assert_eq!(status, 200, "{renamed}");
    for member in ["customMetaData", "customAccountId", "customUserId", "expiry", "permissions", "createdAt"] {
        assert_eq!(renamed[member], made[member], "{member}");
    }
    assert_eq!((&renamed["name"], &renamed["key"]), (&json!("other"), &made["id"]));
    let nothing = json!({
        "customMetaData": null, "customAccountId": null, "customUserId": null, "expiry": null, "permissions": null,
    });
    let (status, cleared) = patch(&caller, &id, nothing).await;
    assert_eq!(status, 200, "{cleared}");
    for (member, value) in [
        ("customMetaData", json!({})),
        ("customAccountId", json!(null)),
        ("customUserId", json!(null)),
        ("expiry", json!(null)),
        ("expiresAt", json!(null)),
        ("permissions", json!([])),
        ("name", json!("other")),
    ] {
        assert_eq!(cleared[member], value, "{member}");
    }
    assert_eq!(caller.get(&format!("/api-keys/{id}")).await, (200, cleared));
}

#[tokio::test]
async fn invalid_changes_are_refused_with_a_reason() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let project = caller.create_project().await;
    let id = text(&caller.create_key(&project, json!({})).await, "id");
    caller.create_key(&project, json!({"key": "taken-value"})).await;
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    for (body, status, detail) in [
        (json!({"name": null}), 400, "name: must not be empty"),
        (json!({"name": ""}), 400, "name: must not be empty"),
        (json!({"key": null}), 400, "key: a key is never without a value"),
        (json!({"key": "short"}), 400, "key: a key has 8 to 512"),
        (json!({"key": "key_00another"}), 400, "key: a key does not start with key_"),
        (json!({"key": "taken-value"}), 409, "key: another key has or had this value"),
        (json!({"expiry": "tomorrow"}), 400, "expiry: not a time"),
        (json!({"permissions": ["a", " "]}), 400, "permissions: must not hold an empty one"),
        (json!({"permissions": many}), 400, "permissions: has more than 100"),
        (json!({"customMetaData": "x".repeat(17_000)}), 400, "customMetaData: has more than"),
    ] {
        let (found, problem) = patch(&caller, &id, body.clone()).await;
        assert_eq!(found, status, "{body}: {problem}");
        assert!(text(&problem, "detail").starts_with(detail), "{body}: {problem}");
    }
    assert_eq!(patch(&caller, "no-such-key", json!({})).await.0, 404);
    let viewer = fixture.caller("a", None, Role::Viewer).await;
    assert_eq!(patch(&viewer, &id, json!({"name": "x"})).await.0, 403);
}

/// Trap 28: a renamed key stays the same key.
#[tokio::test]
async fn a_renamed_key_keeps_its_first_use_and_its_old_value_is_refused() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let made = caller.create_key(&caller.create_project().await, json!({"key": "the-old-value"})).await;
    let (_, used) = caller.send(Method::POST, "/api-keys/auth/the-old-value", None).await;
    let (status, renamed) = patch(&caller, "the-old-value", json!({"name": "k", "key": "the-new-value"})).await;
    assert_eq!((status, &renamed["key"]), (200, &json!("the-new-value")), "{renamed}");
    assert_eq!((&renamed["id"], &renamed["firstUsedAt"]), (&made["id"], &used["firstUsedAt"]));
    assert_eq!(check_status(&caller, "the-old-value").await, 404);
    assert_eq!(patch(&caller, "the-old-value", json!({})).await.0, 404);
    let (status, again) = caller.send(Method::POST, "/api-keys/auth/the-new-value", None).await;
    assert_eq!((status, &again["firstUsedAt"]), (200, &used["firstUsedAt"]));
    // The old value is free again.
    caller.create_key(&text(&made, "projectId"), json!({"key": "the-old-value"})).await;
}

/// Trap 6: a `key` from a list can be sent back.
#[tokio::test]
async fn a_key_that_is_sent_back_as_it_was_listed_keeps_its_value() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let project = caller.create_project().await;
    let value = text(&caller.create_key(&project, json!({})).await, "key");
    let (_, listed) = caller.get(&format!("/api-keys?projectId={project}")).await;
    let mut body = listed[0].clone();
    body["name"] = json!("edited");
    let (status, edited) = patch(&caller, listed[0]["key"].as_str().unwrap(), body).await;
    assert_eq!((status, &edited["name"]), (200, &json!("edited")), "{edited}");
    assert_eq!(check_status(&caller, &value).await, 200);
    let (status, same) = patch(&caller, &value, json!({"key": value})).await;
    assert_eq!((status, &same["key"]), (200, &json!(value)));
}

#[tokio::test]
async fn a_revoked_key_can_be_reactivated() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let made = caller.create_key(&caller.create_project().await, json!({})).await;
    let (id, value) = (text(&made, "id"), text(&made, "key"));
    let (_, used) = caller.send(Method::POST, &format!("/api-keys/auth/{value}"), None).await;
    assert_eq!(caller.delete(&format!("/api-keys/{value}")).await.0, 200);
    assert_eq!(check_status(&caller, &value).await, 404);
    for _ in 0..2 {
        // As the clients send it: no body, and a content type of forms (trap 1).
        let request = fixture.request(Method::PATCH, &format!("/api-keys/{id}/reactivate"));
        let request = request.header("x-api-key", &caller.access_key).header("prefer", "wait=1");
        let response = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
        assert_eq!(response.headers()["gatepost-propagated"], "0/0");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!((&body["isActive"], &body["firstUsedAt"]), (&json!(true), &used["firstUsedAt"]));
    }
    assert_eq!(check_status(&caller, &value).await, 200);
    let (status, problem) = caller.send(Method::PATCH, "/api-keys/no-such-key/reactivate", None).await;
    assert_eq!((status, code(&problem)), (404, "invalid-client-key"));
}
