//! Accounts and projects through the API.

use gatepost_control_plane::NewAccessKey;
use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, execute, text};

async fn own_account(caller: &Caller<'_>) -> Value {
    let (status, accounts) = caller.get("/accounts").await;
    assert_eq!(status, 200, "{accounts}");
    assert_eq!(accounts.as_array().unwrap().len(), 1);
    accounts[0].clone()
}

#[tokio::test]
async fn an_account_is_read_renamed_and_made_with_an_access_key() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("first", None, Role::Admin).await;
    let account = own_account(&admin).await;
    let path = format!("/accounts/{}", text(&account, "id"));
    assert_eq!(admin.get(&path).await, (200, account.clone()));
    assert_eq!((&account["name"], &account["isActive"]), (&json!("first"), &json!(true)));
    let (status, renamed) = admin.patch(&path, json!({"name": "new name"})).await;
    assert_eq!(
        (status, &renamed["name"], &renamed["lastChangedByType"]),
        (200, &json!("new name"), &json!("ACCESS_KEY"))
    );
    for body in [json!({}), json!({"name": ""}), json!({"name": 7})] {
        assert_eq!(admin.patch(&path, body).await.0, 400);
    }

    let (status, made) = admin.post("/accounts", json!({"name": "second"})).await;
    assert_eq!((status, &made["name"], &made["accessKey"]["role"]), (201, &json!("second"), &json!("admin")));
    let second = fixture.caller_with_key(&text(&made["accessKey"], "key"));
    assert_eq!(own_account(&second).await["id"], made["id"]);
    let (status, problem) = second.post("/accounts", json!({"name": "third"})).await;
    assert_eq!((status, code(&problem)), (403, "forbidden"), "only the first account makes others");
    assert_eq!(second.get(&path).await.0, 404);
}

#[tokio::test]
async fn a_deactivated_account_takes_projects_keys_and_access_keys_with_it() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let account = own_account(&admin).await;
    let (first, second) = (admin.create_project().await, admin.create_project().await);
    let key = admin.create_key(&first, json!({})).await;
    let viewer = fixture.caller("a", Some(&second), Role::Viewer).await;
    let other = fixture.caller("b", None, Role::Admin).await;
    let path = format!("/accounts/{}", text(&account, "id"));
    assert_eq!(admin.delete(&path).await, (200, json!(true)));
    for caller in [&admin, &viewer] {
        let (status, problem) = caller.get("/projects").await;
        assert_eq!((status, code(&problem)), (401, "invalid-access-key"));
    }
    let digest = fixture.store.envelope().digest(&text(&key, "key"));
    let found = fixture.store.single_cell().lookup(&digest).await.unwrap().found.unwrap();
    assert_eq!(found.facts.project_status, gatepost_domain::record::Status::Inactive);
    assert_eq!(other.get("/projects").await.0, 200);
    // The operator can begin again.
    let again = fixture.caller("a", None, Role::Admin).await;
    assert_ne!(own_account(&again).await["id"], account["id"]);
}

#[tokio::test]
async fn a_project_is_renamed_and_deleted_with_all_its_keys() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let path = format!("/projects/{project}");
    let (status, renamed) = admin.patch(&path, json!({"name": "renamed"})).await;
    assert_eq!((status, &renamed["name"], &renamed["env"]), (200, &json!("renamed"), &json!("live")));
    let (key, spared) = (admin.create_key(&project, json!({})).await, admin.create_key(&other, json!({})).await);
    let before = fixture.store.single_cell().last_position().await.unwrap();

    let delete = async || admin.request(Method::DELETE, &path).header("prefer", "wait=5").send().await.unwrap();
    let deleted = delete().await;
    assert_eq!(deleted.headers()["gatepost-propagated"], "0/0");
    assert_eq!((deleted.status().as_u16(), deleted.text().await.unwrap()), (200, "true".to_owned()));
    let feed = fixture.store.single_cell().audit_feed();
    let entries = feed.read(before, 10, std::time::Duration::ZERO).await.unwrap().entries;
    assert_eq!(entries.len(), 1, "one change, whatever the number of keys");
    assert_eq!(delete().await.status(), 200, "to repeat it is safe");
    assert_eq!(fixture.store.single_cell().last_position().await.unwrap(), entries[0].version);

    let use_of = async |key: &Value| {
        execute(admin.request(Method::POST, &format!("/api-keys/auth/{}", text(key, "key")))).await.0
    };
    assert_eq!((use_of(&key).await, use_of(&spared).await), (404, 200));
    let (_, list) = admin.get("/projects").await;
    assert_eq!(list.as_array().unwrap().len(), 1);
    let (status, read) = admin.get(&path).await;
    assert_eq!((status, &read["isActive"]), (200, &json!(false)));
    assert_eq!(admin.post("/api-keys", json!({"name": "k", "projectId": project})).await.0, 404);
}

#[tokio::test]
async fn a_name_taken_by_another_tenant_is_refused_as_ambiguous() {
    let fixture = Fixture::start().await;
    let (first, second) =
        (fixture.caller("first", None, Role::Admin).await, fixture.caller("second", None, Role::Admin).await);
    let (victim, impostor) = (own_account(&second).await, own_account(&first).await);
    first.patch(&format!("/accounts/{}", text(&impostor, "id")), json!({"name": "second"})).await;
    let new_access_key = |name: &str| NewAccessKey {
        account_name: Some(name.to_owned()),
        project: None,
        role: Role::Admin,
        name: "cli".to_owned(),
    };
    let refused = fixture.control_plane.create_access_key(new_access_key("second")).await.unwrap_err();
    assert!(refused.to_string().contains("several accounts of this name"), "{refused}");
    let made = fixture.control_plane.create_access_key(new_access_key(&text(&victim, "id"))).await.unwrap();
    assert_eq!(made.access_key.account.as_str(), text(&victim, "id"));
    assert!(fixture.control_plane.create_access_key(new_access_key("acc_00nobody")).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_many_request_by_name_at_the_same_time_is_made_once() {
    let fixture = Fixture::start().await;
    fixture.caller("first", None, Role::Admin).await;
    let new_caller = || fixture.caller("second", None, Role::Admin);
    let callers = futures::future::join_all((0..8).map(|_| new_caller())).await;
    let mut ids = Vec::new();
    for caller in &callers {
        ids.push(text(&own_account(caller).await, "id"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    // One that was renamed keeps its id, and the name can be used again.
    let path = format!("/accounts/{}", ids[0]);
    assert_eq!(callers[0].patch(&path, json!({"name": "third"})).await.0, 200);
    let again = fixture.caller("second", None, Role::Admin).await;
    assert_ne!(text(&own_account(&again).await, "id"), ids[0]);
}
