//! API keys through the API.

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Fixture, code, text};

#[tokio::test]
async fn a_key_is_shown_once_and_found_by_value_and_by_id() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let project = caller.create_project().await;
    let further = json!({
        "customAccountId": "c", "customUserId": "u", "customMetaData": {"a": [1, null]}, "expiry": "2099-01-01 12:00:00",
        "clientIP": "192.0.2.1",
    });
    let made = caller.create_key(&project, further).await;
    let (id, value) = (text(&made, "id"), text(&made, "key"));
    assert!(value.starts_with("live_") && value.len() == 69, "{value}");
    let expected = json!({
        "id": id, "key": value, "name": "k", "projectId": project, "env": "live", "isActive": true,
        "customMetaData": {"a": [1, null]}, "customAccountId": "c", "customUserId": "u",
        "expiresAt": "2099-01-01T12:00:00.000Z", "expiry": "2099-01-01T12:00:00.000Z", "rateLimitConfigs": null,
        "permissions": [], "creationContext": {"clientIp": "192.0.2.1"}, "firstUsedAt": null,
        "createdByType": "ACCESS_KEY",
    });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&made[member], value, "{member}");
    }
    let (status, by_value) = caller.get(&format!("/api-keys/{value}")).await;
    assert_eq!((status, &by_value), (200, &made));
    let (status, by_id) = caller.get(&format!("/api-keys/{id}")).await;
    assert_eq!((status, text(&by_id, "key")), (200, id.clone()));
    assert_eq!(caller.get("/api-keys/no-such-key").await.0, 404);
    assert_eq!(by_id["maskedKey"], made["maskedKey"]);
    assert!(!by_id.to_string().contains(&value[20..]), "the value is revealed again");
}

#[tokio::test]
async fn authenticating_is_a_use_and_every_refusal_is_the_same_404() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Viewer).await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let made = admin.create_key(&project, json!({})).await;
    let value = text(&made, "key");
    let (status, first) = caller.send(Method::POST, &format!("/api-keys/auth/{value}"), None).await;
    assert_eq!((status, text(&first, "key")), (200, value.clone()));
    let first_used_at = text(&first, "firstUsedAt");
    let (status, second) = caller.get(&format!("/api-keys/auth/{value}")).await;
    assert_eq!((status, text(&second, "firstUsedAt")), (200, first_used_at));
    let expired = admin.create_key(&project, json!({"expiry": "2020-01-01"})).await;
    let revoked = admin.create_key(&project, json!({})).await;
    for _ in 0..2 {
        assert_eq!(admin.delete(&format!("/api-keys/{}", text(&revoked, "key"))).await, (200, json!(true)));
    }
    for value in [text(&expired, "key"), text(&revoked, "key"), "nope".to_owned(), text(&made, "id")] {
        let (status, problem) = caller.send(Method::POST, &format!("/api-keys/auth/{value}"), None).await;
        assert_eq!((status, code(&problem)), (404, "invalid-client-key"), "{value}");
        assert_eq!(problem["message"], "Invalid client key");
        assert_eq!(problem["error"], "Not Found");
        assert_eq!(problem["statusCode"], 404);
    }
}

#[tokio::test]
async fn a_chosen_value_is_accepted_if_it_is_valid_and_free() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let project = caller.create_project().await;
    let made = caller.create_key(&project, json!({"key": "my-own-key!"})).await;
    assert_eq!(made["key"], "my-own-key!");
    assert_eq!(made["maskedKey"].as_str().unwrap().matches("own").count(), 0);
    for (value, status, expected) in [
        ("my-own-key!", 409, "conflict"),
        ("short", 400, "validation"),
        ("with/slash", 400, "validation"),
        ("key_00looks-like-an-id", 400, "validation"),
        ("live_access_something", 400, "validation"),
        ("unicode-ключ", 400, "validation"),
    ] {
        let body = json!({"name": "k", "projectId": project, "key": value});
        let (found, problem) = caller.post("/api-keys", body).await;
        assert_eq!((found, code(&problem)), (status, expected), "{value}");
    }
}

#[tokio::test]
async fn invalid_keys_are_refused_with_a_reason() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let project = caller.create_project().await;
    for (further, detail) in [
        (json!({"name": null}), "name: is missing"),
        (json!({"name": " "}), "name: must not be empty"),
        (json!({"name": "a\u{0}b"}), "name: has control characters"),
        (json!({"expiry": "tomorrow"}), "expiry: not a time"),
        (json!({"customMetaData": "x".repeat(17_000)}), "customMetaData: has more than"),
        (json!({"customAccountId": "x".repeat(300)}), "customAccountId: has more than 256"),
    ] {
        let mut body = json!({"name": "k", "projectId": project});
        body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        let (status, problem) = caller.post("/api-keys", body).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{further}");
        assert!(text(&problem, "detail").contains(detail), "{detail}: {problem}");
    }
    let long_path = format!("/api-keys/{}", "k".repeat(513));
    assert_eq!(caller.get(&long_path).await.0, 404);
}

#[tokio::test]
async fn lists_are_bare_arrays_that_filter_and_page() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let (first, second) = (caller.create_project().await, caller.create_project().await);
    for number in 0..5 {
        let user = if number % 2 == 0 { json!("even") } else { Value::Null };
        caller.create_key(&first, json!({"name": format!("Key {number}"), "customUserId": user})).await;
    }
    let off = caller.create_key(&second, json!({"name": "off"})).await;
    caller.delete(&format!("/api-keys/{}", text(&off, "id"))).await;
    let names = async |query: &str| -> Vec<String> {
        let (status, list) = caller.get(&format!("/api-keys{query}")).await;
        assert_eq!(status, 200, "{query}: {list}");
        list.as_array().unwrap().iter().map(|key| text(key, "name")).collect()
    };
    let all = ["Key 0", "Key 1", "Key 2", "Key 3", "Key 4", "off"];
    assert_eq!(names("").await, all);
    assert_eq!(names("/").await, all);
    assert_eq!(names("/?").await, all);
    assert_eq!(names("/?0=P&1=R").await, all);
    assert_eq!(names(&format!("?projectId={second}")).await, ["off"]);
    assert_eq!(names("?name=key%203").await, ["Key 3"]);
    assert_eq!(names("?customUserId=even").await, ["Key 0", "Key 2", "Key 4"]);
    assert_eq!(names("?customUserId=null").await, ["Key 1", "Key 3", "off"]);
    assert_eq!(names("?customUserId=undefined").await, all);
    assert_eq!(names("?isActive=False").await, ["off"]);
    assert_eq!(names("?limit=2&offset=1").await, ["Key 1", "Key 2"]);
    assert_eq!(names("?limit=0").await, Vec::<String>::new());
    assert_eq!(caller.get("/api-keys?limit=1001").await.0, 400);
    assert_eq!(caller.get("/api-keys?isActive=maybe").await.0, 400);
    assert_eq!(caller.get("/api-keys?projectId=prj_00none").await.0, 404);
}

#[tokio::test]
async fn a_long_user_agent_is_cut_and_refuses_no_key() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("first", None, Role::Admin).await;
    let (_, project) = admin.post("/projects", json!({"name": "p", "env": "live"})).await;
    let new = json!({"name": "k", "projectId": project["id"], "clientUserAgent": "u".repeat(2000)});
    let (status, key) = admin.post("/api-keys", new).await;
    assert_eq!(status, 201, "{key}");
    assert_eq!(key["creationContext"]["clientUserAgent"], "u".repeat(1024));
}
