//! `POST /api-keys/explain`.

use std::time::Duration;

use gatepost_domain::record::Role;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

async fn explain(caller: &Caller<'_>, body: Value) -> Value {
    let (status, explanation) = caller.post("/api-keys/explain", body).await;
    assert_eq!(status, 200, "{explanation}");
    let steps = explanation["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 14, "{explanation}");
    assert!(steps.iter().all(|step| text(step, "sentence").ends_with('.')), "{explanation}");
    explanation
}

/// The outcome in short: status, code, reason, and the check that refused.
fn outcome(explanation: &Value) -> String {
    let refused = explanation["steps"].as_array().unwrap().iter().filter(|step| step["outcome"] == "refused");
    let names: Vec<String> = refused.map(|step| text(step, "name")).collect();
    let parts = [&explanation["status"], &explanation["code"], &explanation["reason"]];
    let parts: Vec<String> = parts.into_iter().map(|part| part.to_string().replace('"', "")).collect();
    format!("{} {}", parts.join(" "), names.join(" ")).trim().to_owned()
}

#[tokio::test]
async fn every_refusal_has_its_reason() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let viewer = fixture.caller("a", None, Role::Viewer).await;
    let (project, deleted) = (admin.create_project().await, admin.create_project().await);
    let value = async |project: &str, further: Value| text(&admin.create_key(project, further).await, "key");
    let plain = value(&project, json!({})).await;
    let of_deleted = value(&deleted, json!({})).await;
    let revoked = value(&project, json!({})).await;
    let rotated = value(&project, json!({})).await;
    let overlapping = value(&project, json!({})).await;
    let expiring = value(&project, json!({"expiry": fixture.now().plus(Duration::from_secs(60)).to_string()})).await;
    let networks = value(&project, json!({"allowedIps": ["192.0.2.0/24"]})).await;
    let domains = value(&project, json!({"allowedDomains": ["example.com"]})).await;
    let limited = value(&project, json!({"rateLimitConfigs": {"rateLimit": 1, "rateLimitTtl": 60}})).await;
    admin.delete(&format!("/projects/{deleted}")).await;
    admin.delete(&format!("/api-keys/{revoked}")).await;
    admin.post(&format!("/api-keys/{rotated}/rotate"), json!({})).await;
    admin.post(&format!("/api-keys/{overlapping}/rotate"), json!({"overlapSeconds": 3600})).await;
    let ended = value(&project, json!({})).await;
    admin.post(&format!("/api-keys/{ended}/rotate"), json!({"overlapSeconds": 30})).await;
    fixture.advance(Duration::from_secs(61));
    let other_end = if plain.ends_with('0') { '1' } else { '0' };
    let wrong_checksum = format!("{}{other_end}", &plain[..plain.len() - 1]);
    for (request, expected) in [
        (json!({"key": plain}), "null null null"),
        (json!({"key": plain, "projectId": project}), "null null null"),
        (json!({"key": limited}), "null null null"),
        (json!({"key": overlapping}), "null null null"),
        (json!({"key": rotated}), "401 invalid-key unknown key"),
        (json!({}), "401 missing-key missing credential"),
        (json!({"key": ""}), "401 invalid-key malformed credential"),
        (json!({"key": "a b c d e f g h"}), "401 invalid-key malformed credential"),
        (json!({"key": "nobody-has-this-value"}), "401 invalid-key unknown key"),
        (json!({"key": wrong_checksum}), "401 invalid-key unknown key"),
        (json!({"key": revoked}), "401 invalid-key inactive revocation"),
        (json!({"key": ended}), "401 invalid-key inactive revocation"),
        (json!({"key": expiring}), "401 invalid-key expired expiry"),
        (json!({"key": of_deleted}), "401 invalid-key project-inactive project"),
        (json!({"key": of_deleted, "projectId": project}), "401 invalid-key project-inactive project"),
        (json!({"key": plain, "projectId": deleted}), "403 forbidden foreign-project routeProjects"),
        (json!({"key": networks}), "403 address-not-allowed address-not-allowed address"),
        (json!({"key": networks, "ip": "198.51.100.1"}), "403 address-not-allowed address-not-allowed address"),
        (json!({"key": networks, "ip": "::ffff:192.0.2.7"}), "null null null"),
        (json!({"key": domains, "origin": "https://evil.example"}), "403 origin-not-allowed origin-not-allowed origin"),
        (json!({"key": domains, "origin": "https://example.com/page"}), "null null null"),
        (json!({"key": plain, "path": "/a%00"}), "400 bad-path bad-path request"),
        (json!({"key": plain, "path": "/a", "host": "a b"}), "400 bad-host bad-host request"),
        (json!({"key": plain, "method": "TRACE"}), "405 method-not-allowed method-not-allowed request"),
        (json!({"method": "OPTIONS", "path": "*"}), "200 null null"),
    ] {
        let explanation = explain(&viewer, request.clone()).await;
        assert_eq!(outcome(&explanation), expected, "{request}: {explanation}");
        assert_eq!(explanation["forwarded"] == json!(true), expected == "null null null", "{request}");
    }
}

#[tokio::test]
async fn an_explanation_is_no_use_and_changes_nothing() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let limits = json!({"rateLimitConfigs": {"rateLimit": 1, "rateLimitTtl": 3600}});
    let key = admin.create_key(&project, limits).await;
    let (value, id) = (text(&key, "key"), text(&key, "id"));
    let before = admin.get("/events").await;
    for _ in 0..3 {
        let explanation = explain(&admin, json!({"key": value, "path": "/v1/%69tems?x=1"})).await;
        insta::assert_snapshot!(
            "explanation",
            serde_json::to_string_pretty(&explanation).unwrap().replace(&id, "KEY").replace(&project, "PROJECT")
        );
    }
    assert_eq!(admin.get("/events").await, before);
    let (_, read) = admin.get(&format!("/api-keys/{id}")).await;
    assert_eq!((&read["firstUsedAt"], &read["lastUsedAt"]), (&json!(null), &json!(null)));
    assert_eq!(admin.post(&format!("/api-keys/auth/{value}"), json!({})).await.0, 200, "the limit is not used up");
    let after = explain(&admin, json!({"key": value})).await;
    assert!(text(&after["steps"][13], "sentence").starts_with("The key was first used at "), "{after}");
}

#[tokio::test]
async fn a_key_out_of_sight_is_explained_like_one_that_does_not_exist() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let value = text(&admin.create_key(&project, json!({})).await, "key");
    let stranger = fixture.caller("b", None, Role::Admin).await;
    let neighbour = fixture.caller("a", Some(&other), Role::Admin).await;
    let unknown = text(&stranger.create_key(&stranger.create_project().await, json!({})).await, "key");
    for caller in [&stranger, &neighbour] {
        let hidden = explain(caller, json!({"key": value})).await;
        let absent = explain(&admin, json!({"key": unknown})).await;
        assert_eq!((hidden, outcome(&absent)), (absent.clone(), "401 invalid-key unknown key".to_owned()));
        let (status, problem) = caller.post("/api-keys/explain", json!({"key": value, "projectId": project})).await;
        assert_eq!((status, code(&problem)), (404, "not-found"));
    }
    let (status, problem) = admin.post("/api-keys/explain", json!({"key": value, "ip": "somewhere"})).await;
    assert_eq!((status, code(&problem)), (400, "validation"));
}
