//! How much an account may have, and how fast it may make it.

use std::time::Duration;

use gatepost_control_plane::{PurgeReport, RunMode, Tally};
use gatepost_domain::record::Role;
use gatepost_store::AccountLimits;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture};

const SMALL_BOUNDS: AccountLimits = AccountLimits { api_keys: 1, projects: 2, access_keys: 2, bytes: 0 };

async fn refusal(caller: &Caller<'_>, path: &str, body: Value) -> (u16, String, String) {
    let (status, problem) = caller.post(path, body).await;
    let text = |member: &str| problem[member].as_str().unwrap().to_owned();
    (status, text("code"), text("detail"))
}

#[tokio::test]
async fn a_full_account_is_refused_with_the_name_of_its_bound() {
    let fixture = Fixture::with_account_bounds(SMALL_BOUNDS).await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    admin.create_project().await;
    let key = admin.create_key(&project, json!({})).await;
    assert_eq!(admin.post("/access-keys", json!({"name": "n"})).await.0, 201);
    for (path, body, bound) in [
        ("/api-keys", json!({"name": "n", "projectId": project}), "accounts.max_keys"),
        ("/projects", json!({"name": "n", "env": "live"}), "accounts.max_projects"),
        ("/access-keys", json!({"name": "n"}), "accounts.max_access_keys"),
    ] {
        let (status, code, detail) = refusal(&admin, path, body).await;
        assert_eq!((status, code.as_str()), (409, "account-full"), "{path}");
        assert!(detail.starts_with(&format!("{bound}: the account may have no more than ")), "{detail}");
    }
    let path = format!("/api-keys/{}", key["id"].as_str().unwrap());
    assert_eq!(admin.patch(&path, json!({"name": "another"})).await.0, 200);
    assert_eq!(admin.post(&format!("{path}/rotate"), json!({})).await.0, 201);
    assert_eq!(admin.delete(&path).await.0, 200);
}

#[tokio::test]
async fn an_account_makes_a_thousand_resources_at_once_and_then_one_each_millisecond() {
    let fixture = Fixture::start().await;
    let user = fixture.caller("a", None, Role::User).await;
    let (project, other) = (user.create_project().await, fixture.caller("b", None, Role::User).await);
    let others_project = other.create_project().await;
    let new = |project: &str| json!({"name": "n", "projectId": project});
    let make = async || user.post("/api-keys", new(&project)).await;
    fixture.freeze_uptime();
    fixture.advance(Duration::from_secs(1));
    let mut last = Value::Null;
    for _ in 0..1000 {
        let (status, key) = make().await;
        assert_eq!(status, 201);
        last = key;
    }
    assert_eq!(make().await.0, 429);
    assert_eq!(make().await.0, 429);
    assert_eq!(other.post("/api-keys", new(&others_project)).await.0, 201, "others have their own");
    let path = format!("/api-keys/{}", last["id"].as_str().unwrap());
    assert_eq!(user.delete(&path).await.0, 200, "what is there is changed at any pace");
    fixture.advance(Duration::from_millis(2));
    assert_eq!([make().await.0, make().await.0, make().await.0], [201, 201, 429]);
}

#[tokio::test]
async fn a_purge_frees_the_bounds_of_what_was_revoked_alone_or_with_its_project() {
    let fixture = Fixture::with_account_bounds(SMALL_BOUNDS).await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    admin.create_key(&project, json!({})).await;
    let (_, access_key) = admin.post("/access-keys", json!({"name": "n"})).await;
    let revoked = format!("/access-keys/{}", access_key["id"].as_str().unwrap());
    assert_eq!(admin.delete(&revoked).await.0, 200);
    assert_eq!(admin.delete(&format!("/projects/{project}")).await.0, 200);
    let project = admin.create_project().await;
    let new = json!({"name": "n", "projectId": project});
    assert_eq!(admin.post("/api-keys", new.clone()).await.0, 409);

    let purge = async |inactive_for, mode| fixture.control_plane.purge(inactive_for, mode).await.unwrap();
    let tally = |seen, removed| Tally { seen, removed };
    fixture.advance(Duration::from_secs(10));
    let none = purge(Duration::from_secs(3600), RunMode::Apply).await;
    assert_eq!(none, PurgeReport { api_keys: tally(1, 0), access_keys: tally(2, 0) });
    let both = PurgeReport { api_keys: tally(1, 1), access_keys: tally(2, 1) };
    assert_eq!(purge(Duration::ZERO, RunMode::DryRun).await, both);
    assert_eq!(purge(Duration::ZERO, RunMode::Apply).await, both);
    assert_eq!(admin.get("/access-keys").await.1.as_array().unwrap().len(), 1);
    assert_eq!(admin.post("/api-keys", new).await.0, 201);
    assert_eq!(
        purge(Duration::ZERO, RunMode::Apply).await,
        PurgeReport { api_keys: tally(1, 0), access_keys: tally(1, 0) }
    );
}
