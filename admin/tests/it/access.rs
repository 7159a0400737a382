//! Who may do what.

mod table;

use std::net::Ipv4Addr;
use std::time::Duration;

use gatepost_control_plane::ControlPlane;
use gatepost_domain::record::Role;
use gatepost_webhook_client::PrivateNetworks;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, execute, text};
use table::{CALLER_KINDS, CallerKind, ROWS, Row};

/// What the table's requests are about: an account with all that can be in it.
struct TestAccount {
    name: String,
    account: String,
    project: String,
    other_project: String,
    key: Value,
    webhook: String,
    /// An access key of the project.
    access_key: String,
    /// The event of a delivery of the webhook.
    event: String,
    /// The cursor of the change that created the key.
    cursor: String,
    /// A recovery of the webhook, which was cancelled.
    recovery: String,
}

impl TestAccount {
    async fn new(fixture: &Fixture, name: String) -> Self {
        let admin = fixture.caller(&name, None, Role::Admin).await;
        let (_, accounts) = admin.get("/accounts").await;
        let (project, other_project) = (admin.create_project().await, admin.create_project().await);
        let hook =
            json!({"name": "w", "url": "http://127.0.0.1:9/", "topics": ["api-key.created"], "projectId": project});
        let (_, webhook) = admin.post("/webhooks", hook).await;
        let (_, access_key) = admin.post("/access-keys", json!({"name": "a", "projectId": project})).await;
        let recoveries = format!("/webhooks/{}/recover", text(&webhook, "id"));
        let filter = json!({"since": "2026-01-01T00:00:00Z", "status": "all"});
        let recovery = text(&admin.post(&recoveries, filter).await.1, "recoveryId");
        admin.delete(&format!("/webhooks/{}/recoveries/{recovery}", text(&webhook, "id"))).await;
        let key = admin.create_key(&project, json!({})).await;
        let (_, of_key) = admin.get(&format!("/events?order=desc&subject={}", text(&key, "id"))).await;
        Self {
            recovery,
            account: text(&accounts[0], "id"),
            cursor: text(&of_key["events"][0], "cursor"),
            key,
            event: fixture.dropped_delivery(&text(&webhook, "id")).await,
            webhook: text(&webhook, "id"),
            access_key: text(&access_key, "id"),
            project,
            other_project,
            name,
        }
    }

    fn path(&self, row: &Row) -> String {
        let key = text(&self.key, "key");
        let subject = match row.path.split('/').nth(1) {
            Some("accounts") => &self.account,
            Some("projects") => &self.project,
            Some("webhooks") => &self.webhook,
            Some("access-keys") => &self.access_key,
            _ => &key,
        };
        let path = self.fill_placeholders(row.path).replace("{id}", subject).replace("{key}", subject);
        let path = path.replace("{eventId}", &self.event).replace("{recoveryId}", &self.recovery);
        path.replace("{cursor}", &self.cursor)
    }

    /// Replaces the shortest name first: a random id or value may contain it.
    fn fill_placeholders(&self, text: &str) -> String {
        let key = self.key["key"].as_str().unwrap();
        text.replace("KEY", key).replace("ACCOUNT", &self.account).replace("PROJECT", &self.project)
    }

    async fn caller<'a>(&self, fixture: &'a Fixture, kind: CallerKind) -> Option<Caller<'a>> {
        let (account, project, role) = match kind {
            CallerKind::Anonymous => return None,
            CallerKind::Revoked | CallerKind::Admin => (self.name.as_str(), None, Role::Admin),
            CallerKind::User => (self.name.as_str(), None, Role::User),
            CallerKind::Viewer => (self.name.as_str(), None, Role::Viewer),
            CallerKind::ProjectAdmin => (self.name.as_str(), Some(&self.project), Role::Admin),
            CallerKind::ProjectUser => (self.name.as_str(), Some(&self.project), Role::User),
            CallerKind::ProjectViewer => (self.name.as_str(), Some(&self.project), Role::Viewer),
            CallerKind::OtherProjectAdmin => (self.name.as_str(), Some(&self.other_project), Role::Admin),
            CallerKind::OtherAccountAdmin => ("stranger", None, Role::Admin),
            CallerKind::Operator => ("operator", None, Role::Admin),
        };
        let caller = fixture.caller(account, project.map(String::as_str), role).await;
        if kind == CallerKind::Revoked {
            let (status, _) = caller.delete(&format!("/access-keys/{}", caller.access_key)).await;
            assert_eq!(status, 200);
        }
        Some(caller)
    }

    /// What outsiders must not learn.
    fn hidden_ids(&self) -> [&str; 4] {
        [&self.project, &self.webhook, &self.access_key, self.key["id"].as_str().unwrap()]
    }
}

/// The request of a cell.
fn request(
    fixture: &Fixture,
    row: &Row,
    account: &TestAccount,
    caller: Option<&Caller<'_>>,
    from: Ipv4Addr,
) -> RequestBuilder {
    let method = Method::from_bytes(row.method.as_bytes()).unwrap();
    let path = account.path(row);
    let request = match from {
        Ipv4Addr::LOCALHOST => fixture.request(method, &path),
        from => fixture.request_from(from, method, &path),
    };
    let request = request.body(account.fill_placeholders(row.body));
    match caller {
        Some(caller) => request.header("x-api-key", &caller.access_key),
        None => request,
    }
}

#[tokio::test]
async fn every_endpoint_responds_to_every_kind_of_caller_as_the_table_says() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    fixture.caller("operator", None, Role::Admin).await;
    let mut mismatches = Vec::new();
    let mut cells = 0;
    let mut account = TestAccount::new(&fixture, "world".to_owned()).await;
    for (number, row) in (1..).zip(ROWS) {
        for (kind, expected) in CALLER_KINDS.into_iter().zip(row.statuses) {
            cells += 1;
            let caller = account.caller(&fixture, kind).await;
            // Wrong access keys come from many addresses, or they would be slowed.
            let from = if kind == CallerKind::Revoked { Ipv4Addr::new(127, 7, 0, number) } else { Ipv4Addr::LOCALHOST };
            let (status, body) = execute(request(&fixture, row, &account, caller.as_ref(), from)).await;
            let cell = format!("{} {} by {kind:?}", row.method, row.path);
            if status != expected {
                mismatches.push(format!("{cell}: {status}, not {expected}: {body}"));
            }
            let is_outside = matches!(
                kind,
                CallerKind::Anonymous
                    | CallerKind::OtherProjectAdmin
                    | CallerKind::OtherAccountAdmin
                    | CallerKind::Operator
            );
            if is_outside && account.hidden_ids().iter().any(|secret| body.to_string().contains(secret)) {
                mismatches.push(format!("{cell}: shows what the caller may not see: {body}"));
            }
            if row.method != "GET" && status < 300 {
                // Something was changed or ended in this one.
                account = TestAccount::new(&fixture, format!("world {cells}")).await;
            }
        }
    }
    assert!(mismatches.is_empty(), "{} of {cells} cells:\n{}", mismatches.len(), mismatches.join("\n"));
}

#[test]
fn the_table_has_every_operation_of_the_document() {
    let document: Value = serde_json::from_str(&gatepost_admin::openapi_json()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let is_row = |row: &&Row| {
                let row_path = row.path.split('?').next().unwrap();
                row.method.eq_ignore_ascii_case(method) && row_path == path
            };
            assert!(ROWS.iter().any(|row| is_row(&row)), "no line of tests/it/access/table.rs is {method} {path}");
        }
    }
}

#[tokio::test]
async fn resources_outside_the_scope_return_404() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (project, other_project) = (admin.create_project().await, admin.create_project().await);
    let key = admin.create_key(&project, json!({})).await;
    let hook =
        json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"], "projectId": project});
    let (_, webhook) = admin.post("/webhooks", hook).await;
    let other_account_admin = fixture.caller("b", None, Role::Admin).await;
    let other_project_admin = fixture.caller("a", Some(&other_project), Role::Admin).await;
    for caller in [&other_account_admin, &other_project_admin] {
        for (method, path) in [
            (Method::GET, format!("/projects/{project}")),
            (Method::GET, format!("/api-keys/{}", text(&key, "id"))),
            (Method::GET, format!("/api-keys/{}", text(&key, "key"))),
            (Method::POST, format!("/api-keys/auth/{}", text(&key, "key"))),
            (Method::DELETE, format!("/api-keys/{}", text(&key, "key"))),
            (Method::GET, format!("/webhooks/{}", text(&webhook, "id"))),
            (Method::DELETE, format!("/webhooks/{}", text(&webhook, "id"))),
            (Method::GET, format!("/api-keys?projectId={project}")),
        ] {
            let (status, problem) = caller.send(method.clone(), &path, None).await;
            assert_eq!(status, 404, "{method} {path}: {problem}");
        }
        assert_eq!(caller.get("/api-keys").await, (200, json!([])));
        assert_eq!(caller.get("/webhooks").await, (200, json!([])));
    }
    assert_eq!(other_account_admin.get("/projects").await, (200, json!([])));
    let (_, seen) = other_project_admin.get("/projects").await;
    assert_eq!(seen.as_array().unwrap().len(), 1);
    let (status, _) = other_project_admin.post("/projects", json!({"name": "p", "env": "live"})).await;
    assert_eq!(status, 403, "an access key of a project makes no projects");
    let (status, made) = other_project_admin.post("/api-keys", json!({"name": "k"})).await;
    assert_eq!((status, text(&made, "projectId")), (201, other_project.clone()));
    let (status, _) = admin.post("/projects", json!({"name": "p", "env": "live", "accountId": "acc_00other"})).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn every_header_of_the_known_clients_carries_the_access_key() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Viewer).await;
    let status_with = async |headers: &[(&str, &str)]| {
        let mut request = fixture.request(Method::GET, "/projects");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let key = caller.access_key.as_str();
    for name in ["x-api-key", "api-key", "api_key", "access_key"] {
        assert_eq!(status_with(&[(name, key)]).await, 200, "{name}");
        assert_eq!(status_with(&[(name, key), ("authorization", "anything")]).await, 200, "{name}");
    }
    assert_eq!(status_with(&[("authorization", &format!("Bearer {key}"))]).await, 200);
    assert_eq!(status_with(&[("authorization", key)]).await, 200);
    assert_eq!(status_with(&[]).await, 401);
    assert_eq!(status_with(&[("x-api-key", "live_access_wrong")]).await, 401);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let fixture = Fixture::start().await;
    let caller: Caller<'_> = fixture.caller("a", None, Role::Admin).await;
    let (status, problem) = caller.get("/nowhere").await;
    assert_eq!((status, code(&problem)), (404, "not-found"));
    assert!(text(&problem, "requestId").starts_with("req_"));
    let (status, problem) = caller.send(Method::PUT, "/projects", None).await;
    assert_eq!((status, code(&problem)), (405, "method-not-allowed"));
}

#[tokio::test]
async fn guessing_access_keys_is_rate_limited_by_address() {
    let configure = |control_plane: ControlPlane| control_plane.with_auth_failures_per_minute(2);
    let fixture = Fixture::with_control_plane(PrivateNetworks::Refused, configure).await;
    let known_caller = fixture.caller("a", None, Role::Viewer).await;
    let (here, elsewhere) = (Ipv4Addr::new(127, 9, 0, 1), Ipv4Addr::new(127, 9, 0, 2));
    let get_projects = async |from: Ipv4Addr, key: &str| {
        fixture.request_from(from, Method::GET, "/projects").header("x-api-key", key).send().await.unwrap()
    };
    assert_eq!(get_projects(here, &known_caller.access_key).await.status(), 200);
    for expected in [401, 401, 429, 429] {
        assert_eq!(get_projects(here, "live_access_wrong").await.status(), expected);
    }
    let refused = get_projects(here, "live_access_wrong").await;
    let wait_s: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait_s), "{wait_s}");
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!((code(&problem), &problem["message"]), ("rate-limited", &json!("Too many requests")));
    assert_eq!(get_projects(elsewhere, "live_access_wrong").await.status(), 401);
    assert_eq!(get_projects(here, &known_caller.access_key).await.status(), 200, "a key that was right before goes on");
    let unknown_caller = fixture.caller("a", None, Role::Viewer).await;
    assert_eq!(get_projects(here, &unknown_caller.access_key).await.status(), 429, "a correct guess is not revealed");
    assert_eq!(get_projects(elsewhere, &unknown_caller.access_key).await.status(), 200);
    fixture.advance(Duration::from_secs(wait_s));
    for expected in [401, 429] {
        assert_eq!(get_projects(here, "live_access_wrong").await.status(), expected, "one more, when it was said");
    }
    let no_key = fixture.request_from(here, Method::GET, "/").send().await.unwrap();
    assert_eq!(no_key.status(), 200);
}
