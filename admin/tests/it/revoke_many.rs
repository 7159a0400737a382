//! Revoking all keys of a customer.

use gatepost_domain::id::GatewayId;
use gatepost_domain::record::Role;
use gatepost_store::os_rng;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};
use crate::gateways::send_heartbeat;

const PATH: &str = "/api-keys/revoke";

async fn revoke(caller: &Caller<'_>, body: Value) -> Value {
    let (status, revoked) = caller.post(PATH, body.clone()).await;
    assert_eq!(status, 200, "{body}: {revoked}");
    revoked
}

fn counts(response: &Value) -> (&Value, &Value, &Value) {
    (&response["dryRun"], &response["count"], &response["hasMore"])
}

/// Creates keys of a customer, and returns their ids.
async fn create_keys(caller: &Caller<'_>, project: &str, customer: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(text(&caller.create_key(project, json!({"customAccountId": customer})).await, "id"));
    }
    ids
}

async fn active_keys(caller: &Caller<'_>, project: &str) -> Vec<String> {
    let (_, keys) = caller.get(&format!("/api-keys?projectId={project}&isActive=true")).await;
    keys.as_array().unwrap().iter().map(|key| text(key, "id")).collect()
}

#[tokio::test]
async fn keys_of_the_customer_in_the_project_are_revoked_and_no_others() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let meant = create_keys(&admin, &project, "acme", 3).await;
    admin.delete(&format!("/api-keys/{}", meant[0])).await;
    let mut kept = create_keys(&admin, &project, "ACME", 1).await;
    kept.extend(create_keys(&admin, &project, "acme-2", 1).await);
    kept.push(text(&admin.create_key(&project, json!({"customUserId": "acme"})).await, "id"));
    let elsewhere = create_keys(&admin, &other, "acme", 1).await;

    let body = json!({"projectId": project, "customAccountId": "acme", "dryRun": true});
    let before = fixture.store.single_cell().last_position().await.unwrap();
    assert_eq!(counts(&revoke(&admin, body).await), (&json!(true), &json!(2), &json!(false)));
    assert_eq!(fixture.store.single_cell().last_position().await.unwrap(), before, "a dry run writes nothing");

    let body = json!({"projectId": project, "customAccountId": "acme"});
    assert_eq!(counts(&revoke(&admin, body.clone()).await), (&json!(false), &json!(2), &json!(false)));
    assert_eq!(active_keys(&admin, &project).await, kept);
    assert_eq!(active_keys(&admin, &other).await, elsewhere);
    assert_eq!(counts(&revoke(&admin, body).await), (&json!(false), &json!(0), &json!(false)), "nothing is left");
}

#[tokio::test]
async fn each_key_is_a_change_of_its_own_like_one_that_is_revoked_alone() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let meant = create_keys(&admin, &project, "acme", 2).await;
    let alone = create_keys(&admin, &project, "alone", 1).await;
    admin.delete(&format!("/api-keys/{}", alone[0])).await;
    revoke(&admin, json!({"projectId": project, "customAccountId": "acme"})).await;
    let (_, found) = admin.get("/events?type=api-key.deleted").await;
    let events = found["events"].as_array().unwrap();
    let subjects: Vec<String> = events.iter().map(|event| text(event, "subject")).collect();
    assert_eq!(subjects, [&alone[..], &meant[..]].concat());
    for event in &events[1..] {
        for member in ["type", "actor", "projectId", "address"] {
            assert_eq!(event[member], events[0][member], "{member}");
        }
        assert_eq!((&event["previous"]["isActive"], &event["data"]["isActive"]), (&json!(true), &json!(false)));
    }
}

#[tokio::test]
async fn call_that_leaves_some_is_continued_by_its_cursor() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    create_keys(&admin, &project, "acme", 7).await;
    let mut body = json!({"projectId": project, "customAccountId": "acme", "limit": 3});
    let first = revoke(&admin, body.clone()).await;
    assert_eq!(counts(&first), (&json!(false), &json!(3), &json!(true)));
    create_keys(&admin, &project, "acme", 1).await;
    body["after"] = first["next"].clone();
    let second = revoke(&admin, body.clone()).await;
    assert_eq!(counts(&second), (&json!(false), &json!(3), &json!(true)));
    body["after"] = second["next"].clone();
    assert_eq!(counts(&revoke(&admin, body.clone()).await), (&json!(false), &json!(2), &json!(false)));
    assert_eq!(active_keys(&admin, &project).await, Vec::<String>::new());

    create_keys(&admin, &project, "acme", 2).await;
    body["limit"] = json!(1);
    body["dryRun"] = json!(true);
    body.as_object_mut().unwrap().remove("after");
    let counted = revoke(&admin, body.clone()).await;
    assert_eq!(counts(&counted), (&json!(true), &json!(2), &json!(false)), "a dry run counts all");
    let cursor = counted["next"].clone();
    for (customer, dry_run) in [("acme", false), ("other", true)] {
        let body = json!({"projectId": project, "customAccountId": customer, "dryRun": dry_run, "after": cursor});
        let (status, problem) = admin.post(PATH, body).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "the cursor of another request: {problem}");
    }
}

#[tokio::test]
async fn wrong_members_are_named() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    for (body, member) in [
        (json!({"projectId": project}), "customAccountId"),
        (json!({"projectId": project, "customAccountId": ""}), "customAccountId"),
        (json!({"customAccountId": "c"}), "projectId"),
        (json!({"projectId": project, "customAccountId": "c", "limit": 0}), "limit"),
        (json!({"projectId": project, "customAccountId": "c", "limit": 1001}), "limit"),
        (json!({"projectId": project, "customAccountId": "c", "after": "x"}), "after"),
    ] {
        let (status, problem) = admin.post(PATH, body.clone()).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{body}: {problem}");
        assert!(text(&problem, "detail").starts_with(&format!("{member}: ")), "{body}: {problem}");
    }
    let of_project = fixture.caller("a", Some(&project), Role::User).await;
    assert_eq!(counts(&revoke(&of_project, json!({"customAccountId": "c"})).await).1, &json!(0));
}

#[tokio::test]
async fn repeated_request_gets_the_same_response_and_revokes_nothing_new() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    create_keys(&admin, &project, "acme", 2).await;
    let body = json!({"projectId": project, "customAccountId": "acme"}).to_string();
    let send = async || {
        let request = admin.request(Method::POST, PATH).header("idempotency-key", "k").body(body.clone());
        let response = request.send().await.unwrap();
        let is_replayed = response.headers().contains_key("idempotency-replayed");
        (is_replayed, response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (is_replayed, status, first) = send().await;
    assert_eq!((is_replayed, status, &first["count"]), (false, 200, &json!(2)));
    let kept = create_keys(&admin, &project, "acme", 1).await;
    assert_eq!(send().await, (true, 200, first));
    assert_eq!(active_keys(&admin, &project).await, kept);
}

#[tokio::test]
async fn response_waits_until_gateways_refuse_all_of_the_keys() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    create_keys(&admin, &project, "acme", 2).await;
    let gateway = GatewayId::generate(&mut os_rng());
    let start = fixture.store.single_cell().last_position().await.unwrap();
    send_heartbeat(&fixture, &gateway, "edge-1:8080", start).await;
    let propagated = async |wait: &str| {
        let body = json!({"projectId": project, "customAccountId": "acme"}).to_string();
        let response = admin.request(Method::POST, PATH).header("prefer", wait).body(body).send().await.unwrap();
        response.headers().get("gatepost-propagated").map(|text| text.to_str().unwrap().to_owned())
    };
    assert_eq!(propagated("wait=0").await.as_deref(), Some("0/1"));
    assert_eq!(propagated("wait=0").await.as_deref(), Some("0/1"), "nothing is left, but not yet applied");
    create_keys(&admin, &project, "acme", 2).await;
    let (reached, ()) = tokio::join!(propagated("wait=30"), async {
        while !active_keys(&admin, &project).await.is_empty() {}
        let last = fixture.store.single_cell().last_position().await.unwrap();
        send_heartbeat(&fixture, &gateway, "edge-1:8080", last).await;
    });
    assert_eq!(reached.as_deref(), Some("1/1"));
}
