//! Access keys through the API.

use std::time::Duration;

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Fixture, code, text};

#[tokio::test]
async fn an_access_key_is_shown_once_and_listed_by_its_id() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    // The flat rate limit is what some clients send.
    let new = json!({"name": "mine", "projectId": project, "role": "viewer", "rateLimit": 5, "rateLimitTtl": 60});
    let (status, made) = admin.post("/access-keys", new).await;
    assert_eq!((status, &made["role"], &made["projectId"]), (201, &json!("viewer"), &json!(project)));
    let value = text(&made, "key");
    assert!(value.starts_with("live_access_") && value.len() == 76, "{value}");
    assert_eq!(fixture.caller_with_key(&value).get("/projects").await.0, 200);

    let (_, list) = admin.get(&format!("/access-keys?projectId={project}")).await;
    let mut listed = made.clone();
    listed["key"] = made["id"].clone();
    assert_eq!(list, json!([listed]));
    assert!(!list.to_string().contains(&value[20..]), "the value is revealed again");
    let (_, all) = admin.get("/access-keys").await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    let (_, off) = admin.get("/access-keys?isActive=False").await;
    assert_eq!(off, json!([]));
    let seen = fixture.caller_with_key(&value).get("/access-keys").await.1;
    assert_eq!(seen, json!([listed]), "one of a project sees those of the project");
}

#[tokio::test]
async fn an_access_key_is_renamed_deactivated_and_reactivated_by_value_and_by_id() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (_, made) = admin.post("/access-keys", json!({"name": "mine"})).await;
    assert_eq!(made["role"], "user", "unless something else is asked for");
    let of_made = fixture.caller_with_key(&text(&made, "key"));
    for shown in [text(&made, "key"), text(&made, "id")] {
        let path = format!("/access-keys/{shown}");
        let (status, renamed) = admin.patch(&path, json!({"name": format!("by {shown}")})).await;
        assert_eq!((status, text(&renamed, "key")), (200, shown));
        for _ in 0..2 {
            assert_eq!(admin.delete(&path).await, (200, json!(true)));
        }
        assert_eq!(of_made.get("/projects").await.0, 401);
        let (status, active) = admin.send(Method::PATCH, &format!("{path}/reactivate"), None).await;
        assert_eq!((status, &active["isActive"]), (200, &json!(true)));
        assert_eq!(of_made.get("/projects").await.0, 200);
    }
}

#[tokio::test]
async fn invalid_access_keys_are_refused_with_a_reason() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let check = async |body: Value, expected: (u16, &str)| {
        let (status, problem) = admin.post("/access-keys", body.clone()).await;
        assert_eq!((status, code(&problem)), expected, "{body}");
    };
    check(json!({}), (400, "validation")).await;
    check(json!({"name": "a", "role": "owner"}), (400, "validation")).await;
    check(json!({"name": "a", "projectId": "prj_00none"}), (404, "not-found")).await;
    check(json!({"name": "a", "projectId": "none"}), (400, "validation")).await;
    check(json!({"name": "a", "accountId": "acc_00other"}), (403, "forbidden")).await;
    for name in ["ak_00none", "live_access_none", "x"] {
        let (status, problem) = admin.delete(&format!("/access-keys/{name}")).await;
        assert_eq!((status, code(&problem)), (404, "not-found"), "{name}");
    }
    // The value of an API key names no access key.
    let project = admin.create_project().await;
    let key = admin.create_key(&project, json!({})).await;
    assert_eq!(admin.delete(&format!("/access-keys/{}", text(&key, "key"))).await.0, 404);
}

#[tokio::test]
async fn an_access_key_expires_by_itself_and_its_streams_end() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let expires_at = fixture.now().plus(Duration::from_secs(60)).to_string();
    let (status, made) = admin.post("/access-keys", json!({"name": "n", "role": "viewer", "expiry": expires_at})).await;
    assert_eq!((status, &made["expiresAt"]), (201, &json!(expires_at)), "{made}");
    let brief = fixture.caller_with_key(made["key"].as_str().unwrap());
    assert_eq!(brief.get("/projects").await.0, 200);
    let mut stream = fixture.request(Method::GET, "/events/stream").header("x-api-key", &brief.access_key);
    stream = stream.timeout(Duration::from_secs(20));
    let stream = stream.send().await.unwrap();
    assert_eq!(stream.status(), 200);

    let path = format!("/access-keys/{}", made["id"].as_str().unwrap());
    let copy =
        admin.get("/access-keys").await.1.as_array().unwrap().iter().find(|key| key["id"] == made["id"]).cloned();
    let mut copy = copy.unwrap();
    assert_eq!(admin.patch(&path, copy.clone()).await.0, 200, "a copy");
    copy["expiresAt"] = json!("2099-01-01");
    let (status, refused) = admin.patch(&path, copy.clone()).await;
    assert_eq!(status, 400, "{refused}");
    assert!(refused["detail"].as_str().unwrap().starts_with("expiresAt: cannot be changed"), "{refused}");
    copy["expiresAt"] = Value::Null;
    assert_eq!(admin.patch(&path, copy).await.0, 400);

    fixture.advance(Duration::from_secs(61));
    assert_eq!(brief.get("/projects").await.0, 401);
    stream.bytes().await.unwrap();

    let (_, lasting) = admin.post("/access-keys", json!({"name": "n", "expiry": "9999-12-31"})).await;
    assert_eq!(fixture.caller_with_key(lasting["key"].as_str().unwrap()).get("/projects").await.0, 200);
    for wrong in ["2020-01-01", "soon", ""] {
        let (status, refused) = admin.post("/access-keys", json!({"name": "n", "expiry": wrong})).await;
        assert_eq!(status, 400, "{refused}");
        assert!(refused["detail"].as_str().unwrap().starts_with("expiry: "), "{refused}");
    }
}
