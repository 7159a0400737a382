//! Traps about keys and who may use them.

use std::time::Duration;

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::json;

use crate::fixture::{Caller, Fixture, code, text};

async fn check(caller: &Caller<'_>, key: &str) -> (u16, serde_json::Value) {
    caller.send(Method::POST, &format!("/api-keys/auth/{key}"), None).await
}

#[tokio::test]
async fn trap_04_an_invalid_key_is_404_and_only_the_access_key_is_401() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let expired = text(&admin.create_key(&project, json!({"expiry": "2020-01-01"})).await, "key");
    let revoked = text(&admin.create_key(&project, json!({})).await, "key");
    admin.delete(&format!("/api-keys/{revoked}")).await;
    for key in [expired.as_str(), &revoked, "nope", "live_unknownunknown", &"x".repeat(600)] {
        let (status, problem) = check(&admin, key).await;
        let found = (status, &problem["statusCode"], &problem["message"], &problem["error"]);
        assert_eq!(found, (404, &json!(404), &json!("Invalid client key"), &json!("Not Found")), "{key}");
    }
    let (status, problem) = check(&fixture.caller_with_key("live_access_wrong"), &expired).await;
    assert_eq!((status, code(&problem)), (401, "invalid-access-key"));
}

#[tokio::test]
async fn trap_05_the_response_to_a_check_has_the_key() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = text(&admin.create_key(&project, json!({})).await, "key");
    assert_eq!(text(&check(&admin, &key).await.1, "key"), key);
}

#[tokio::test]
async fn trap_06_the_listed_key_names_the_key_in_paths() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let made = admin.create_key(&project, json!({})).await;
    let (_, list) = admin.get("/api-keys").await;
    let listed = text(&list[0], "key");
    let (status, updated) = admin.patch(&format!("/api-keys/{listed}"), json!({"name": "by listed key"})).await;
    assert_eq!((status, &updated["id"]), (200, &made["id"]));
    assert_eq!(check(&admin, &text(&made, "key")).await.1["name"], "by listed key");
    assert_eq!(check(&admin, &listed).await.0, 404, "the name is no credential");
    assert_eq!(admin.delete(&format!("/api-keys/{listed}")).await, (200, json!(true)));
    assert_eq!(check(&admin, &text(&made, "key")).await.0, 404);
}

#[tokio::test]
async fn trap_14_an_access_key_of_an_account_must_name_a_project_and_one_of_a_project_need_not() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (status, problem) = admin.post("/api-keys", json!({"name": "k"})).await;
    assert_eq!((status, code(&problem)), (400, "validation"));
    let project = admin.create_project().await;
    let of_project = fixture.caller("a", Some(&project), Role::User).await;
    let (status, made) = of_project.post("/api-keys", json!({"name": "k"})).await;
    assert_eq!((status, &made["projectId"]), (201, &json!(project)));
}

#[tokio::test]
async fn trap_15_a_rotation_that_is_repeated_after_a_lost_response_gets_the_same_one() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = text(&admin.create_key(&project, json!({})).await, "key");
    let path = format!("/api-keys/{key}/rotate");
    let (status, first) = admin.send(Method::POST, &path, None).await;
    assert_eq!(status, 201, "{first}");
    for _ in 0..3 {
        assert_eq!(admin.send(Method::POST, &path, None).await, (status, first.clone()));
    }
    let (_, list) = admin.get("/api-keys").await;
    assert_eq!(list.as_array().unwrap().len(), 1, "it is the same key");
}

#[tokio::test]
async fn trap_15_refused_requests_are_neither_counted_nor_a_first_use() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let limit = json!({"rateLimitConfigs": {"rateLimit": 1, "rateLimitTtl": 60}});
    let key = text(&admin.create_key(&project, limit).await, "key");
    assert_eq!(check(&admin, &key).await.0, 200);
    fixture.advance(Duration::from_secs(40));
    // A client repeats a refused request three times at once.
    for _ in 0..4 {
        assert_eq!(check(&admin, &key).await.0, 429);
    }
    fixture.advance(Duration::from_secs(20));
    assert_eq!(check(&admin, &key).await.0, 200, "the window has not moved");
}

#[tokio::test]
async fn trap_16_limits_are_sent_in_the_four_headers_and_in_the_standard_one() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let limit = json!({"rateLimitConfigs": {"rateLimit": 1, "rateLimitTtl": 60}});
    let key = text(&admin.create_key(&project, limit).await, "key");
    let old_way = json!({"credentials": {"api_key": key}}).to_string();
    for (request, expected, remaining) in [
        (admin.request(Method::POST, "/auth/authenticate").body(old_way.clone()), 201, "0"),
        (admin.request(Method::POST, &format!("/api-keys/auth/{key}")), 429, "0"),
        (admin.request(Method::POST, "/auth/authenticate").body(old_way), 429, "0"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), expected);
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!((header("ratelimit-limit"), header("ratelimit-remaining")), (Some("1"), Some(remaining)));
        assert_eq!(header("ratelimit-consumed"), Some("1"));
        let reset_s: u64 = header("ratelimit-reset").unwrap().parse().unwrap();
        assert!(reset_s > 1_700_000_000, "seconds of the epoch, not a date: {reset_s}");
        assert_eq!(header("retry-after").is_some(), expected == 429);
    }
}

#[tokio::test]
async fn trap_23_the_old_way_to_check_a_key_returns_what_the_old_client_reads() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = text(&admin.create_key(&project, json!({"customMetaData": {"a": 1}, "customUserId": "u"})).await, "key");
    let credentials = |key: &str| json!({"credentials": {"api_key": key}, "timestamp": 1, "sentAt": 2});
    let expected =
        json!({"authenticated": true, "customMetaData": {"a": 1}, "customAccountId": null, "customUserId": "u"});
    assert_eq!(admin.post("/auth/authenticate", credentials(&key)).await, (201, expected));
    assert!(admin.get(&format!("/api-keys/{key}")).await.1["firstUsedAt"].is_string(), "it counts as a use");
    assert_eq!(
        admin.post("/auth/authenticate", credentials("nope")).await.0,
        404,
        "an error, on which the client resolves"
    );
    assert_eq!(admin.post("/auth/authenticate", json!({})).await.0, 400);
}

#[tokio::test]
async fn trap_24_projects_are_listed_without_an_account_and_with_exactly_200() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let (status, list) = admin.get("/projects").await;
    assert_eq!((status, &list[0]["id"]), (200, &json!(project)));
}

#[tokio::test]
async fn trap_28_first_use_follows_a_key_that_gets_another_value() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let made = admin.create_key(&project, json!({"key": "first-value"})).await;
    let first_used_at = check(&admin, "first-value").await.1["firstUsedAt"].clone();
    let (status, renamed) = admin.patch("/api-keys/first-value", json!({"name": "k", "key": "second-value"})).await;
    assert_eq!((status, &renamed["id"], text(&renamed, "key")), (200, &made["id"], "second-value".to_owned()));
    assert_eq!(check(&admin, "first-value").await.0, 404);
    let (status, checked) = check(&admin, "second-value").await;
    assert_eq!((status, &checked["firstUsedAt"]), (200, &first_used_at));
}
