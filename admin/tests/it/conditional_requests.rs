//! What every endpoint does: versions, ids of requests, no copies in caches, sizes.

use gatepost_domain::record::Role;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).unwrap_or_else(|| panic!("{name} is missing")).to_str().unwrap()
}

async fn etag(caller: &Caller<'_>, path: &str) -> String {
    let response = caller.request(Method::GET, path).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    header(&response, "etag").to_owned()
}

/// One resource of each kind that can be changed or removed, with a body that changes it.
async fn resources(caller: &Caller<'_>, account: &str) -> Vec<(String, Value)> {
    let project = caller.create_project().await;
    let key = caller.create_key(&project, json!({})).await;
    let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let (_, webhook) = caller.post("/webhooks", hook).await;
    vec![
        (format!("/api-keys/{}", text(&key, "key")), json!({"name": "new"})),
        (format!("/projects/{project}"), json!({"name": "new"})),
        (format!("/webhooks/{}", text(&webhook, "id")), json!({"name": "new"})),
        (format!("/accounts/{account}"), json!({"name": "new"})),
    ]
}

#[tokio::test]
async fn a_stale_version_changes_nothing() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let (_, accounts) = caller.get("/accounts").await;
    let resources = resources(&caller, &text(&accounts[0], "id")).await;
    for (path, body) in &resources {
        let old = etag(&caller, path).await;
        let changed = async |method: Method, tag: &str| {
            let request = caller.request(method, path).header("if-match", tag).body(body.to_string());
            let response = request.send().await.unwrap();
            let (status, tag) = (response.status().as_u16(), response.headers().get("etag").cloned());
            let problem: Value = response.json().await.unwrap();
            assert_eq!(code(&problem) == "precondition-failed", status == 412, "{path}: {problem}");
            (status, tag.map(|tag| tag.to_str().unwrap().to_owned()))
        };
        let (status, new) = changed(Method::PATCH, &format!("\"7\", {old}")).await;
        let new = new.unwrap();
        assert_eq!((status, &new), (200, &etag(&caller, path).await), "{path}");
        assert_ne!(old, new, "{path}");
        for tag in [old.as_str(), "W/\"1\"", "nonsense"] {
            assert_eq!(changed(Method::PATCH, tag).await.0, 412, "{path} {tag}");
            assert_eq!(changed(Method::DELETE, tag).await.0, 412, "{path} {tag}");
        }
        assert_eq!(etag(&caller, path).await, new, "{path}");
        assert_eq!(changed(Method::PATCH, "*").await.0, 200, "{path}");
    }
    for (path, _) in &resources {
        let tag = etag(&caller, path).await;
        let request = caller.request(Method::DELETE, path).header("if-match", &tag);
        assert_eq!(request.send().await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test]
async fn actions_on_a_resource_at_another_version_do_nothing() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let project = caller.create_project().await;
    let key = text(&caller.create_key(&project, json!({})).await, "id");
    let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let webhook = text(&caller.post("/webhooks", hook).await.1, "id");
    let post = async |path: &str, tag: &str| {
        let request = caller.request(Method::POST, path).header("if-match", tag).body("{}");
        request.send().await.unwrap().status().as_u16()
    };
    for (resource, action, success) in
        [(format!("/api-keys/{key}"), "rotate", 201), (format!("/webhooks/{webhook}"), "rotate-secret", 200)]
    {
        let old = etag(&caller, &resource).await;
        assert_eq!(caller.patch(&resource, json!({"name": "changed"})).await.0, 200);
        let path = format!("{resource}/{action}");
        let current = etag(&caller, &resource).await;
        assert_eq!(post(&path, &old).await, 412, "{path}");
        assert_eq!(etag(&caller, &resource).await, current, "{path}");
        assert_eq!(post(&path, &current).await, success, "{path}");
        assert_eq!(post(&path, &current).await, 412, "{path}");
    }
    assert_eq!(post(&format!("/webhooks/{webhook}/test"), "\"7\"").await, 412);
}

#[tokio::test]
async fn an_access_key_at_another_version_is_unchanged() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let made = caller.request(Method::POST, "/access-keys").body(json!({"name": "one"}).to_string());
    let made = made.send().await.unwrap();
    let tag = header(&made, "etag").to_owned();
    let id = text(&made.json().await.unwrap(), "id");
    let rename = async |tag: &str| {
        let request = caller.request(Method::PATCH, &format!("/access-keys/{id}")).header("if-match", tag);
        request.body(json!({"name": "two"}).to_string()).send().await.unwrap().status().as_u16()
    };
    assert_eq!([rename(&tag).await, rename(&tag).await], [200, 412]);
}

#[tokio::test]
async fn requests_have_ids_and_no_response_is_cached() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let long = "x".repeat(129);
    for (given, is_taken) in [("my-id_1.2:3", true), ("with space", false), ("a\"b", false), (long.as_str(), false)] {
        for path in ["/projects", "/nowhere"] {
            let response = caller.request(Method::GET, path).header("x-request-id", given).send().await.unwrap();
            let id = header(&response, "x-request-id").to_owned();
            assert_eq!(id == given, is_taken, "{given}");
            assert!(is_taken || id.starts_with("req_"), "{given}");
            assert_eq!(header(&response, "cache-control"), "no-store");
            if path == "/nowhere" {
                assert_eq!(text(&response.json().await.unwrap(), "requestId"), id);
            }
        }
    }
}

#[tokio::test]
async fn too_large_input_is_refused() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let project = caller.create_project().await;
    let body = |bytes: usize| json!({"name": "k", "projectId": project, "customMetaData": "x".repeat(bytes)});
    assert_eq!(caller.post("/api-keys", body(16 * 1024 - 2)).await.0, 201);
    let (status, problem) = caller.post("/api-keys", body(16 * 1024 - 1)).await;
    assert_eq!((status, code(&problem)), (400, "validation"));
    for idempotency_key in [None, Some("k1")] {
        let mut request = caller.request(Method::POST, "/api-keys").body(body(64 * 1024).to_string());
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(code(&response.json().await.unwrap()), "body-too-large");
    }
    for path in ["/api-keys?limit=", "/events?limit="] {
        assert_eq!(caller.get(&format!("{path}1000")).await.0, 200, "{path}");
        assert_eq!(caller.get(&format!("{path}1001")).await.0, 400, "{path}");
    }
}
