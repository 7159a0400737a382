//! Who may do what.

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

#[tokio::test]
async fn a_role_may_do_what_it_may() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.project().await;
    let key = text(&admin.key(&project, json!({})).await, "id");
    for (role, writes) in [(Role::Admin, 201), (Role::User, 201), (Role::Viewer, 403)] {
        let caller = fixture.caller("a", None, role).await;
        let status = |answer: (u16, Value)| answer.0;
        assert_eq!(status(caller.get("/projects").await), 200, "{role:?}");
        assert_eq!(status(caller.get(&format!("/api-keys/{key}")).await), 200, "{role:?}");
        assert_eq!(status(caller.post("/projects", json!({"name": "p", "env": "test"})).await), writes, "{role:?}");
        let new = json!({"name": "k", "projectId": project});
        assert_eq!(status(caller.post("/api-keys", new).await), writes, "{role:?}");
        let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
        assert_eq!(status(caller.post("/webhooks", hook).await), writes, "{role:?}");
        let deletes = if writes == 201 { 200 } else { 403 };
        assert_eq!(status(caller.delete(&format!("/api-keys/{key}")).await), deletes, "{role:?}");
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
