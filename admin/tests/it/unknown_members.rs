//! Members of request bodies that the API does not know: refused and named, or ignored and named.

use gatepost_domain::record::Role;
use reqwest::{Method, Response};
use serde_json::{Map, Value, json};

use crate::fixture::{Caller, Fixture, code, text};

const UNKNOWN: &str = "surelyUnknown";

/// One resource of each kind, to fill the paths of the document.
struct TestResources {
    account: String,
    project: String,
    key: String,
    access_key: String,
    webhook: String,
    event: String,
}

impl TestResources {
    async fn new(fixture: &Fixture, admin: &Caller<'_>) -> Self {
        let (_, accounts) = admin.get("/accounts").await;
        let project = admin.create_project().await;
        let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
        let (_, webhook) = admin.post("/webhooks", hook).await;
        let (_, access_key) = admin.post("/access-keys", json!({"name": "a"})).await;
        Self {
            account: text(&accounts[0], "id"),
            key: text(&admin.create_key(&project, json!({})).await, "key"),
            event: fixture.dropped_delivery(&text(&webhook, "id")).await,
            webhook: text(&webhook, "id"),
            access_key: text(&access_key, "id"),
            project,
        }
    }

    fn path(&self, path: &str) -> String {
        let subject = match path.split('/').nth(1) {
            Some("accounts") => &self.account,
            Some("projects") => &self.project,
            Some("webhooks") => &self.webhook,
            Some("access-keys") => &self.access_key,
            _ => &self.key,
        };
        path.replace("{id}", subject).replace("{key}", subject).replace("{eventId}", &self.event)
    }
}

/// Every POST and PATCH of the document with the schema of its body.
fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (name, method) in [("post", Method::POST), ("patch", Method::PATCH)] {
            let Some(operation) = operations.get(name) else { continue };
            let schema = operation["requestBody"]["content"]["application/json"]["schema"].clone();
            found.push((method, path.clone(), resolve(document, &schema)));
        }
    }
    found
}

/// A schema without references, for members that may be null as well.
fn resolve(document: &Value, schema: &Value) -> Value {
    let schema = match schema["oneOf"].as_array() {
        Some(choices) => choices.iter().find(|choice| choice.get("$ref").is_some()).unwrap(),
        None => schema,
    };
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap().clone(),
        None => schema.clone(),
    }
}

/// Bodies that hold one unknown member each, at every depth of a schema, with the path of that member.
fn bodies(document: &Value, schema: &Value) -> Vec<(String, Value)> {
    let mut bodies = vec![(UNKNOWN.to_owned(), json!({UNKNOWN: 1}))];
    for (name, member) in schema["properties"].as_object().unwrap_or(&Map::new()) {
        let member = resolve(document, member);
        if member.get("properties").is_some() {
            let nested = bodies_of_member(document, name, &member);
            bodies.extend(nested);
        }
    }
    bodies
}

fn bodies_of_member(document: &Value, name: &str, member: &Value) -> Vec<(String, Value)> {
    let inner = bodies(document, member).into_iter();
    inner.map(|(path, body)| (format!("{name}.{path}"), json!({name: body}))).collect()
}

async fn send(caller: &Caller<'_>, method: &Method, path: &str, prefer: Option<&str>, body: &Value) -> Response {
    let request = caller.request(method.clone(), path).body(body.to_string());
    match prefer {
        Some(prefer) => request.header("prefer", prefer).send().await.unwrap(),
        None => request.send().await.unwrap(),
    }
}

fn ignored_members(response: &Response) -> Option<&str> {
    response.headers().get("gatepost-ignored").map(|names| names.to_str().unwrap())
}

#[tokio::test]
async fn every_post_and_patch_refuses_or_lists_unknown_members() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let document: Value = serde_json::from_str(&gatepost_admin::openapi_json()).unwrap();
    let resources = TestResources::new(&fixture, &admin).await;
    let operations = operations(&document);
    assert!(operations.len() >= 17, "{}", operations.len());
    let mut nested = 0;
    for (method, path, schema) in &operations {
        for (member, body) in bodies(&document, schema) {
            nested += usize::from(member != UNKNOWN);
            let before = fixture.store.single_cell().last_position().await.unwrap();
            let refused = send(&admin, method, &resources.path(path), None, &body).await;
            let (status, problem): (u16, Value) = (refused.status().as_u16(), refused.json().await.unwrap());
            let found = (status, code(&problem), text(&problem, "detail").contains(&format!("{member}: ")));
            assert_eq!(found, (400, "validation", true), "{method} {path} {body}: {problem}");
            assert_eq!(
                fixture.store.single_cell().last_position().await.unwrap(),
                before,
                "{method} {path} changed something"
            );
            // Each in a world of its own, as it may be done now.
            let resources = TestResources::new(&fixture, &admin).await;
            let lenient = send(&admin, method, &resources.path(path), Some("handling=lenient"), &body).await;
            assert_eq!(ignored_members(&lenient), Some(member.as_str()), "{method} {path} {body}: {lenient:?}");
        }
    }
    assert!(nested >= 5, "rate limit and quota of a key to be made and changed, credentials: {nested}");
}

#[tokio::test]
async fn a_typing_error_is_reported_with_a_similar_known_member() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = format!("/api-keys/{}", text(&admin.create_key(&project, json!({})).await, "id"));
    let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let webhook = format!("/webhooks/{}", text(&admin.post("/webhooks", hook).await.1, "id"));
    for (method, path, body, unknown, similar) in [
        (Method::POST, "/api-keys", json!({"expiresAt": "2030-01-01"}), "expiresAt", "expiry"),
        (Method::POST, "/api-keys", json!({"allowedIPs": ["10.0.0.1"]}), "allowedIPs", "allowedIps"),
        (Method::POST, "/api-keys", json!({"allowed_domains": ["a.example"]}), "allowed_domains", "allowedDomains"),
        (Method::POST, "/api-keys", json!({"Name": "n"}), "Name", "name"),
        (Method::PATCH, &key, json!({"isactive": false}), "isactive", "isActive"),
        (Method::PATCH, &key, json!({"quota": {"limits": 5}}), "quota.limits", "quota.limit"),
        (
            Method::PATCH,
            &key,
            json!({"rateLimitConfigs": {"rateLimitTTL": 5}}),
            "rateLimitConfigs.rateLimitTTL",
            "rateLimitConfigs.rateLimitTtl",
        ),
        (Method::PATCH, &webhook, json!({"topic": "api-key.created"}), "topic", "topics"),
        (Method::POST, "/access-keys", json!({"roles": "viewer"}), "roles", "role"),
        (Method::POST, "/api-keys", json!({"color": "red"}), "color", "unknown member"),
        (Method::POST, "/auth/authenticate", json!({"credentials": {"apiKey": "k"}}), "credentials.apiKey", "api_key"),
    ] {
        let (status, problem) = admin.send(method.clone(), path, Some(body.clone())).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{body}: {problem}");
        let detail = text(&problem, "detail");
        let is_reported = detail.starts_with(&format!("{unknown}: ")) && detail.ends_with(similar);
        assert!(is_reported, "{body}: {detail}");
    }
    let (_, problem) = admin.post("/api-keys", json!({"one": 1, "two": 2, "name": "n"})).await;
    let detail = text(&problem, "detail");
    assert!(detail.contains("one: ") && detail.contains("two: "), "all of them: {detail}");
}

#[tokio::test]
async fn names_are_listed_up_to_a_bound_and_as_a_header_can_hold_them() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let mut body = json!({"name": "p", "env": "live"});
    for number in 0..1000 {
        body[format!("unknown-{number}-{}", "x".repeat(40))] = json!(number);
    }
    let (status, problem) = admin.post("/projects", body.clone()).await;
    assert_eq!(status, 400);
    assert!(text(&problem, "detail").ends_with("and 980 more"), "{problem}");
    let lenient = send(&admin, &Method::POST, "/projects", Some("handling=lenient"), &body).await;
    assert_eq!((lenient.status().as_u16(), ignored_members(&lenient).unwrap().split(", ").count()), (201, 20));

    let body = json!({"name": "p", "env": "live", "a, b\r\nc\u{e9}": 1, "": 2, "y".repeat(5000): 3});
    let lenient = send(&admin, &Method::POST, "/projects", Some("handling=lenient"), &body).await;
    assert_eq!(lenient.status(), 201);
    let names: Vec<&str> = ignored_members(&lenient).unwrap().split(", ").collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&"a%2C%20b%0D%0Ac%C3%A9"), "{names:?}");
    assert!(names.iter().all(|name| name.len() < 100), "{names:?}");
}

#[tokio::test]
async fn handling_is_set_beside_other_preferences_and_counted_by_route() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let path = format!("/api-keys/{}", text(&admin.create_key(&project, json!({})).await, "id"));
    let body = json!({"name": "n", "more": 1, "most": 2});
    for prefer in ["handling=lenient, wait=1", "wait=1; x=\"a,handling=strict\", Handling = \"lenient\""] {
        let response = send(&admin, &Method::PATCH, &path, Some(prefer), &body).await;
        assert_eq!((response.status().as_u16(), ignored_members(&response)), (200, Some("more, most")), "{prefer}");
        let applied: Vec<&str> =
            response.headers().get_all("preference-applied").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(applied, ["wait=1", "handling=lenient"], "{prefer}");
        assert_eq!(response.headers()["gatepost-propagated"], "0/0", "{prefer}");
    }
    for prefer in ["handling=strict", "handling=strict, handling=lenient", "handling=soft", "lenient", "wait=1"] {
        let response = send(&admin, &Method::PATCH, &path, Some(prefer), &body).await;
        assert_eq!((response.status().as_u16(), ignored_members(&response)), (400, None), "{prefer}");
    }
    let response = send(&admin, &Method::PATCH, &path, Some("handling=lenient"), &json!({"name": "n"})).await;
    assert_eq!((response.status().as_u16(), ignored_members(&response)), (200, None), "nothing was ignored");
    let counted = fixture.registry.gather();
    let counted = counted.iter().find(|family| family.name() == "gatepost_admin_ignored_members_total").unwrap();
    let counts: Vec<_> = counted.get_metric().iter().collect();
    assert_eq!(counts.len(), 1, "{counts:?}");
    let labels: Vec<&str> = counts[0].get_label().iter().map(|label| label.value()).collect();
    assert_eq!(labels, ["PATCH", "/api-keys/{key}"]);
    assert!((counts[0].get_counter().get_value() - 4.0).abs() < f64::EPSILON, "{counts:?}");
}

#[tokio::test]
async fn a_repeated_post_names_again_what_was_ignored() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    for replayed in [false, true] {
        let request = admin.request(Method::POST, "/projects").header("idempotency-key", "k");
        let body = json!({"name": "p", "env": "live", "color": "red"}).to_string();
        let response = request.header("prefer", "handling=lenient").body(body).send().await.unwrap();
        assert_eq!((response.status().as_u16(), ignored_members(&response)), (201, Some("color")));
        assert_eq!(response.headers().contains_key("idempotency-replayed"), replayed);
    }
}

/// What clients of the hosted product are known to send although it never had an effect.
#[tokio::test]
async fn members_that_are_accepted_without_effect_are_not_named() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let limit = json!({"rateLimit": 3, "rateLimitTtl": 60, "rateLimitedEntity": "ApiKey"});
    let new = json!({"name": "k", "projectId": project, "rateLimitConfigs": limit});
    let key = admin.create_key(&project, json!({"rateLimitConfigs": limit})).await;
    let (value, id) = (text(&key, "key"), text(&key, "id"));
    let (_, access_key) = admin.post("/access-keys", json!({"name": "a"})).await;
    let access_key = format!("/access-keys/{}", text(&access_key, "id"));
    let flat = json!({"name": "a", "rateLimit": 5, "rateLimitTtl": 60});
    let checked = json!({"credentials": {"api_key": value}, "timestamp": 1_700_000_000_000_u64, "sentAt": "now"});
    for (method, path, body, status) in [
        (Method::POST, "/api-keys".to_owned(), new, 201),
        (Method::PATCH, format!("/api-keys/{id}"), json!({"rateLimitConfigs": limit}), 200),
        (Method::POST, "/auth/authenticate".to_owned(), checked, 201),
        (Method::POST, "/access-keys".to_owned(), flat.clone(), 201),
        (Method::PATCH, access_key, flat, 200),
    ] {
        for prefer in [None, Some("handling=lenient")] {
            let response = send(&admin, &method, &path, prefer, &body).await;
            assert_eq!((response.status().as_u16(), ignored_members(&response)), (status, None), "{method} {path}");
            let body: Value = response.json().await.unwrap();
            assert!(body.get("rateLimit").is_none(), "{body}");
        }
    }
    // Query names stay tolerant.
    assert_eq!(admin.get("/api-keys?surelyUnknown=1").await.0, 200);
}

#[tokio::test]
async fn free_form_json_is_not_checked() {
    let fixture = Fixture::with_private_networks(gatepost_webhook_client::PrivateNetworks::Allowed).await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let receiver = gatepost_test_support::MockServer::start();
    let project = admin.create_project().await;
    let metadata = json!({"name": 1, "any": {"thing": [{"at": "all"}]}});
    for free in [metadata, json!([1, {"a": 2}]), json!("text"), json!(7), json!(true)] {
        let made = admin.create_key(&project, json!({"customMetaData": free})).await;
        assert_eq!(made["customMetaData"], free);
        let path = format!("/api-keys/{}", text(&made, "id"));
        assert_eq!(admin.patch(&path, json!({"customMetaData": free})).await.0, 200, "{free}");
        let (status, pinged) = admin.post("/webhooks/ping", json!({"url": receiver.url(), "body": free})).await;
        assert_eq!(status, 200, "{pinged}");
        assert_eq!(serde_json::from_slice::<Value>(&receiver.take_requests().pop().unwrap().body).unwrap(), free);
    }
    let headers = json!({"X-Any": "1", "surelyUnknown": "2"});
    let hook = json!({"name": "w", "url": receiver.url(), "topics": ["api-key.created"], "customHeaders": headers});
    let (status, made) = admin.post("/webhooks", hook).await;
    assert_eq!((status, &made["customHeaders"]), (201, &headers));
}

/// A list in the place of an object would be read by the order of its members.
#[tokio::test]
async fn a_list_is_no_object() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let document: Value = serde_json::from_str(&gatepost_admin::openapi_json()).unwrap();
    let resources = TestResources::new(&fixture, &admin).await;
    let project = &resources.project;
    for (method, path, _) in operations(&document).iter().filter(|(_, _, schema)| schema.get("properties").is_some()) {
        for body in [json!([]), json!(["n"]), json!([{"name": "n"}])] {
            let (status, problem) = admin.send(method.clone(), &resources.path(path), Some(body.clone())).await;
            assert_eq!((status, code(&problem)), (400, "validation"), "{method} {path} {body}: {problem}");
        }
    }
    for body in [
        json!({"name": "k", "projectId": project, "rateLimitConfigs": [10, 60]}),
        json!({"name": "k", "projectId": project, "quota": [10, "day"]}),
    ] {
        let response = send(&admin, &Method::POST, "/api-keys", Some("handling=lenient"), &body).await;
        let (status, problem): (u16, Value) = (response.status().as_u16(), response.json().await.unwrap());
        assert_eq!((status, code(&problem)), (400, "validation"), "{body}: {problem}");
    }
}

#[tokio::test]
async fn requests_that_take_no_body_may_have_an_empty_one() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let resources = TestResources::new(&fixture, &admin).await;
    for (method, path, expected) in [
        (Method::POST, "/api-keys/auth/{key}", 200),
        (Method::PATCH, "/api-keys/{key}/reactivate", 200),
        (Method::PATCH, "/access-keys/{key}/reactivate", 200),
        (Method::POST, "/webhooks/{id}/rotate-secret", 200),
    ] {
        for body in ["", " \r\n", "{}", "null"] {
            let request = admin.request(method.clone(), &resources.path(path)).body(body);
            let (status, response) = crate::fixture::execute(request).await;
            assert_eq!(status, expected, "{path} {body:?}: {response}");
        }
    }
}

#[tokio::test]
async fn a_flat_rate_limit_is_the_limit_when_a_key_is_made_and_when_it_is_changed() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let limit = |limit: u64, window_s: f64| json!({"rateLimit": limit, "rateLimitTtl": window_s});
    let made = admin.create_key(&project, limit(10, 60.0)).await;
    assert_eq!(made["rateLimitConfigs"], limit(10, 60.0));
    let path = format!("/api-keys/{}", text(&made, "id"));
    for (body, expected) in [
        (limit(20, 30.0), limit(20, 30.0)),
        (json!({"rateLimit": 5}), limit(5, 30.0)),
        (json!({"rateLimitTtl": 1.5}), limit(5, 1.5)),
        // A copy of the key in which either place was edited: what differs from the record counts.
        (json!({"rateLimitConfigs": limit(5, 1.5), "rateLimit": 7, "rateLimitTtl": 60}), limit(7, 60.0)),
        (json!({"rateLimitConfigs": limit(8, 60.0), "rateLimit": 7, "rateLimitTtl": 60}), limit(8, 60.0)),
        (json!({"rateLimitConfigs": limit(9, 60.0), "rateLimit": 9}), limit(9, 60.0)),
        (json!({"rateLimit": null, "rateLimitTtl": null}), Value::Null),
        (json!({"rateLimitConfigs": null, "rateLimit": 3, "rateLimitTtl": 4}), limit(3, 4.0)),
        (json!({"rateLimitConfigs": null}), Value::Null),
    ] {
        let (status, changed) = admin.patch(&path, body.clone()).await;
        assert_eq!((status, &changed["rateLimitConfigs"]), (200, &expected), "{body}: {changed}");
    }
    for body in [
        json!({"rateLimit": 5}),
        json!({"rateLimitTtl": 5}),
        json!({"rateLimit": null, "rateLimitTtl": 5}),
        json!({"rateLimit": 0, "rateLimitTtl": 5}),
        json!({"rateLimitConfigs": limit(1, 2.0), "rateLimit": 3, "rateLimitTtl": 2}),
    ] {
        let (status, problem) = admin.patch(&path, body.clone()).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{body}: {problem}");
        let mut new = body.clone();
        new["name"] = json!("k");
        new["projectId"] = json!(project);
        assert_eq!(admin.post("/api-keys", new).await.0, 400, "{body}");
    }
}
