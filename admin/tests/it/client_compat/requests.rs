//! Traps in how requests are sent.

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, execute, text};

/// A form's content type, which clients send with JSON and with nothing.
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn send_as_form(caller: &Caller<'_>, method: Method, path: &str, body: &str) -> (u16, Value) {
    execute(caller.request(method, path).header(FORM.0, FORM.1).body(body.to_owned())).await
}

#[tokio::test]
async fn trap_01_requests_without_a_body_have_the_content_type_of_a_form() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = text(&admin.create_key(&project, json!({})).await, "key");
    let (_, access_key) = admin.post("/access-keys", json!({"name": "n"})).await;
    let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let (_, webhook) = admin.post("/webhooks", hook).await;
    for (method, path, expected) in [
        (Method::POST, format!("/api-keys/auth/{key}"), 200),
        (Method::PATCH, format!("/api-keys/{key}/reactivate"), 200),
        (Method::POST, format!("/api-keys/{key}/rotate"), 201),
        (Method::PATCH, format!("/access-keys/{}/reactivate", text(&access_key, "id")), 200),
        (Method::POST, format!("/webhooks/{}/rotate-secret", text(&webhook, "id")), 200),
    ] {
        let (status, body) = send_as_form(&admin, method, &path, "").await;
        assert_eq!(status, expected, "{path}: {body}");
    }
}

#[tokio::test]
async fn trap_02_json_is_read_whatever_its_content_type() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]}).to_string();
    assert_eq!(send_as_form(&admin, Method::POST, "/webhooks", &hook).await.0, 201);
    let key = json!({"name": "k", "projectId": project}).to_string();
    for content_type in ["text/plain", "application/json; charset=utf-8", "application/octet-stream"] {
        let request = admin.request(Method::POST, "/api-keys").header("content-type", content_type);
        assert_eq!(execute(request.body(key.clone())).await.0, 201, "{content_type}");
    }
    assert_eq!(execute(admin.request(Method::POST, "/api-keys").body(key)).await.0, 201, "none at all");
    let (status, problem) = send_as_form(&admin, Method::POST, "/api-keys", "name=k").await;
    assert_eq!((status, code(&problem)), (400, "invalid-json"));
}

#[tokio::test]
async fn trap_03_trailing_slash() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let new = json!({"name": "k", "projectId": project});
    for path in ["/api-keys", "/api-keys/"] {
        let (status, made) = admin.post(path, new.clone()).await;
        assert_eq!(status, 201, "{path}: no redirect, which would lose the body");
        let key = text(&made, "key");
        assert_eq!(admin.get(&format!("/api-keys/{key}/")).await.0, 200);
        assert_eq!(admin.send(Method::POST, &format!("/api-keys/auth/{key}/"), None).await.0, 200);
    }
    for path in
        ["/api-keys/", "/api-keys/?", "/projects/", "/webhooks/?topic=api-key.created", "/access-keys/", "/accounts/"]
    {
        assert_eq!(admin.get(path).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn trap_17_any_user_agent_is_accepted() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Viewer).await;
    for agent in ["theauthapi-client-node/1.0.11", "curl/8", "something else", ""] {
        let request = caller.request(Method::GET, "/projects").header("user-agent", agent);
        assert_eq!(execute(request).await.0, 200, "{agent}");
    }
    assert_eq!(caller.get("/projects").await.0, 200, "none at all");
}

#[tokio::test]
async fn trap_18_what_the_document_of_the_hosted_product_wrongly_asks_for_may_be_left_out() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let hook =
        json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"], "httpMethod": "POST"});
    let (_, made) = admin.post("/webhooks", hook).await;
    let path = format!("/webhooks/{}", text(&made, "id"));
    assert_eq!(admin.patch(&path, json!({"status": "paused"})).await.0, 200);
    for query in ["", "?projectId=", "?topic=api-key.created", "?accountId=undefined&projectId=null"] {
        let (status, list) = admin.get(&format!("/webhooks{query}")).await;
        assert_eq!((status, list.as_array().map(Vec::len)), (200, Some(1)), "{query}");
    }
    assert_eq!(admin.get("/access-keys").await.0, 200, "without accountId");
    for headers in ["headers", "customHeaders"] {
        let ping = json!({"url": "https://127.0.0.1/", "httpMethod": "POST", headers: {"Host": "x"}});
        let (status, problem) = admin.post("/webhooks/ping", ping).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{headers} were read");
    }
}

#[tokio::test]
async fn trap_19_calls_as_in_a_wrong_readme_get_the_reason() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (status, problem) = admin.post("/api-keys", json!("MY_KEY")).await;
    assert_eq!((status, code(&problem)), (400, "validation"), "createKey(\"MY_KEY\")");
    let (status, list) = admin.get("/api-keys/?0=P&1=R&2=O&3=J").await;
    assert_eq!((status, list), (200, json!([])), "getKeys(\"PROJ\")");
}

#[tokio::test]
async fn trap_25_old_clients_send_a_flat_rate_limit_and_check_keys_by_get() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let made = admin.create_key(&project, json!({"rateLimit": 10, "rateLimitTtl": 60})).await;
    assert_eq!(made["rateLimitConfigs"], json!({"rateLimit": 10, "rateLimitTtl": 60.0}));
    let (status, checked) = admin.get(&format!("/api-keys/auth/{}", text(&made, "key"))).await;
    assert_eq!((status, &checked["key"]), (200, &made["key"]));
    assert!(checked["firstUsedAt"].is_string(), "it counts as a use");
}

#[tokio::test]
async fn trap_26_access_keys_come_in_headers_with_underscores_too() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Viewer).await;
    for name in ["api_key", "access_key", "api-key", "x-api-key"] {
        let request = fixture.request(Method::GET, "/projects").header(name, &caller.access_key);
        assert_eq!(execute(request.header("authorization", &caller.access_key)).await.0, 200, "{name}");
    }
}
