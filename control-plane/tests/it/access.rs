//! Who may do what.

mod table;

use std::net::Ipv4Addr;
use std::time::Duration;

use gatepost_control_plane::ControlPlane;
use gatepost_deliverer::PrivateNetworks;
use gatepost_domain::record::Role;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, answer, code, text};
use table::{KINDS, Kind, ROWS, Row};

/// What the table's requests are about: an account with all that can be in it.
struct World {
    name: String,
    account: String,
    project: String,
    other_project: String,
    key: Value,
    webhook: String,
    /// An access key of the project.
    access_key: String,
}

impl World {
    async fn new(fixture: &Fixture, name: String) -> Self {
        let admin = fixture.caller(&name, None, Role::Admin).await;
        let (_, accounts) = admin.get("/accounts").await;
        let (project, other_project) = (admin.project().await, admin.project().await);
        let hook =
            json!({"name": "w", "url": "http://127.0.0.1:9/", "topics": ["api-key.created"], "projectId": project});
        let (_, webhook) = admin.post("/webhooks", hook).await;
        let (_, access_key) = admin.post("/access-keys", json!({"name": "a", "projectId": project})).await;
        Self {
            account: text(&accounts[0], "id"),
            key: admin.key(&project, json!({})).await,
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
        self.filled(&row.path.replace("{id}", subject).replace("{key}", subject))
    }

    fn filled(&self, text: &str) -> String {
        let key = self.key["key"].as_str().unwrap();
        text.replace("ACCOUNT", &self.account).replace("PROJECT", &self.project).replace("KEY", key)
    }

    async fn caller<'a>(&self, fixture: &'a Fixture, kind: Kind) -> Option<Caller<'a>> {
        let (account, project, role) = match kind {
            Kind::Nobody => return None,
            Kind::Revoked | Kind::Admin => (self.name.as_str(), None, Role::Admin),
            Kind::User => (self.name.as_str(), None, Role::User),
            Kind::Viewer => (self.name.as_str(), None, Role::Viewer),
            Kind::ProjectAdmin => (self.name.as_str(), Some(&self.project), Role::Admin),
            Kind::ProjectUser => (self.name.as_str(), Some(&self.project), Role::User),
            Kind::ProjectViewer => (self.name.as_str(), Some(&self.project), Role::Viewer),
            Kind::Neighbour => (self.name.as_str(), Some(&self.other_project), Role::Admin),
            Kind::Stranger => ("stranger", None, Role::Admin),
            Kind::Operator => ("operator", None, Role::Admin),
        };
        let caller = fixture.caller(account, project.map(String::as_str), role).await;
        if kind == Kind::Revoked {
            let (status, _) = caller.delete(&format!("/access-keys/{}", caller.access_key)).await;
            assert_eq!(status, 200);
        }
        Some(caller)
    }

    /// What outsiders must not learn.
    fn secrets(&self) -> [&str; 4] {
        [&self.project, &self.webhook, &self.access_key, self.key["id"].as_str().unwrap()]
    }
}

/// The request of a cell.
fn request(fixture: &Fixture, row: &Row, world: &World, caller: Option<&Caller<'_>>, from: Ipv4Addr) -> RequestBuilder {
    let method = Method::from_bytes(row.method.as_bytes()).unwrap();
    let path = world.path(row);
    let request = match from {
        Ipv4Addr::LOCALHOST => fixture.request(method, &path),
        from => fixture.request_from(from, method, &path),
    };
    let request = request.body(world.filled(row.body));
    match caller {
        Some(caller) => request.header("x-api-key", &caller.access_key),
        None => request,
    }
}

#[tokio::test]
async fn every_endpoint_answers_every_kind_of_caller_as_the_table_says() {
    let fixture = Fixture::with(PrivateNetworks::Allowed).await;
    fixture.caller("operator", None, Role::Admin).await;
    let mut faults = Vec::new();
    let mut cells = 0;
    let mut world = World::new(&fixture, "world".to_owned()).await;
    for (number, row) in (1..).zip(ROWS) {
        for (kind, expected) in KINDS.into_iter().zip(row.statuses) {
            cells += 1;
            let caller = world.caller(&fixture, kind).await;
            // Wrong access keys come from many addresses, or they would be slowed.
            let from = if kind == Kind::Revoked { Ipv4Addr::new(127, 7, 0, number) } else { Ipv4Addr::LOCALHOST };
            let (status, body) = answer(request(&fixture, row, &world, caller.as_ref(), from)).await;
            let cell = format!("{} {} by {kind:?}", row.method, row.path);
            if status != expected {
                faults.push(format!("{cell}: {status}, not {expected}: {body}"));
            }
            let is_outside = matches!(kind, Kind::Nobody | Kind::Neighbour | Kind::Stranger | Kind::Operator);
            if is_outside && world.secrets().iter().any(|secret| body.to_string().contains(secret)) {
                faults.push(format!("{cell}: tells what is out of sight: {body}"));
            }
            if row.method != "GET" && status < 300 {
                // Something was changed or ended in this one.
                world = World::new(&fixture, format!("world {cells}")).await;
            }
        }
    }
    assert!(faults.is_empty(), "{} of {cells} cells:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_table_has_every_operation_of_the_document() {
    let document: Value = serde_json::from_str(&gatepost_control_plane::openapi_json()).unwrap();
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
async fn what_is_out_of_sight_is_answered_as_if_it_were_not_there() {
    let fixture = Fixture::start().await;
    let owner = fixture.caller("a", None, Role::Admin).await;
    let (project, other_project) = (owner.project().await, owner.project().await);
    let key = owner.key(&project, json!({})).await;
    let hook =
        json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"], "projectId": project});
    let (_, webhook) = owner.post("/webhooks", hook).await;
    let stranger = fixture.caller("b", None, Role::Admin).await;
    let neighbour = fixture.caller("a", Some(&other_project), Role::Admin).await;
    for caller in [&stranger, &neighbour] {
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
    assert_eq!(stranger.get("/projects").await, (200, json!([])));
    let (_, seen) = neighbour.get("/projects").await;
    assert_eq!(seen.as_array().unwrap().len(), 1);
    let (status, _) = neighbour.post("/projects", json!({"name": "p", "env": "live"})).await;
    assert_eq!(status, 403, "an access key of a project makes no projects");
    let (status, made) = neighbour.post("/api-keys", json!({"name": "k"})).await;
    assert_eq!((status, text(&made, "projectId")), (201, other_project.clone()));
    let (status, _) = owner.post("/projects", json!({"name": "p", "env": "live", "accountId": "acc_00other"})).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn every_header_of_the_known_clients_carries_the_access_key() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Viewer).await;
    let asked = async |headers: &[(&str, &str)]| {
        let mut request = fixture.request(Method::GET, "/projects");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let key = caller.access_key.as_str();
    for name in ["x-api-key", "api-key", "api_key", "access_key"] {
        assert_eq!(asked(&[(name, key)]).await, 200, "{name}");
        assert_eq!(asked(&[(name, key), ("authorization", "anything")]).await, 200, "{name}");
    }
    assert_eq!(asked(&[("authorization", &format!("Bearer {key}"))]).await, 200);
    assert_eq!(asked(&[("authorization", key)]).await, 200);
    assert_eq!(asked(&[]).await, 401);
    assert_eq!(asked(&[("x-api-key", "live_access_wrong")]).await, 401);
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
async fn guessing_access_keys_is_slowed_for_an_address() {
    let configure = |control_plane: ControlPlane| control_plane.with_wrong_access_keys_a_minute(2);
    let fixture = Fixture::configured(PrivateNetworks::Refused, configure).await;
    let known = fixture.caller("a", None, Role::Viewer).await;
    let (here, elsewhere) = (Ipv4Addr::new(127, 9, 0, 1), Ipv4Addr::new(127, 9, 0, 2));
    let asked = async |from: Ipv4Addr, key: &str| {
        fixture.request_from(from, Method::GET, "/projects").header("x-api-key", key).send().await.unwrap()
    };
    assert_eq!(asked(here, &known.access_key).await.status(), 200);
    for expected in [401, 401, 429, 429] {
        assert_eq!(asked(here, "live_access_wrong").await.status(), expected);
    }
    let refused = asked(here, "live_access_wrong").await;
    let wait_s: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait_s), "{wait_s}");
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!((code(&problem), &problem["message"]), ("rate-limited", &json!("Too many requests")));
    assert_eq!(asked(elsewhere, "live_access_wrong").await.status(), 401);
    assert_eq!(asked(here, &known.access_key).await.status(), 200, "a key that was right before goes on");
    let unknown = fixture.caller("a", None, Role::Viewer).await;
    assert_eq!(asked(here, &unknown.access_key).await.status(), 429, "a right guess is not told");
    assert_eq!(asked(elsewhere, &unknown.access_key).await.status(), 200);
    fixture.pass(Duration::from_secs(wait_s));
    for expected in [401, 429] {
        assert_eq!(asked(here, "live_access_wrong").await.status(), expected, "one more, when it was said");
    }
    let no_key = fixture.request_from(here, Method::GET, "/").send().await.unwrap();
    assert_eq!(no_key.status(), 200);
}
