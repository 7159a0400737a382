//! Keys that are locked to domains and addresses.

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, text};

async fn check(fixture: &Fixture, caller: &Caller<'_>, value: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let request = fixture.request(Method::POST, &format!("/api-keys/auth/{value}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = request.header("x-api-key", &caller.access_key).send().await.unwrap();
    (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_key_restricted_to_domains_works_on_them() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let domains = json!({"allowedDomains": ["https://Example.com/", "*.example.org", "example.com"]});
    let made = caller.create_key(&caller.create_project().await, domains).await;
    assert_eq!(made["allowedDomains"], json!(["*.example.org", "example.com"]));
    let value = text(&made, "key");
    for (origin, expected) in [
        (None, 403),
        (Some("https://example.com"), 200),
        (Some("https://a.example.org/page"), 200),
        (Some("https://example.org"), 403),
        (Some("https://evil.example"), 403),
    ] {
        let header = origin.map(|origin| ("x-origin-domain", origin));
        let (status, body) = check(&fixture, &caller, &value, header.as_slice()).await;
        assert_eq!(status, expected, "{origin:?}");
        if status == 403 {
            assert_eq!(code(&body), "origin-not-allowed");
            assert_eq!(body["message"], "Origin domain is not allowed for this API key");
        }
    }
    let cleared = json!({"allowedDomains": null});
    let (_, free) = caller.send(Method::PATCH, &format!("/api-keys/{}", text(&made, "id")), Some(cleared)).await;
    assert_eq!(free["allowedDomains"], json!([]));
    assert_eq!(check(&fixture, &caller, &value, &[]).await.0, 200);
}

#[tokio::test]
async fn a_key_restricted_to_networks_works_from_them() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let networks = json!({"allowedIps": ["192.0.2.7/24", "2001:db8::1"]});
    let made = caller.create_key(&caller.create_project().await, networks).await;
    assert_eq!(made["allowedIps"], json!(["192.0.2.0/24", "2001:db8::1/128"]));
    let value = text(&made, "key");
    for (address, expected) in [
        (None, 403),
        (Some("192.0.2.200"), 200),
        (Some("::ffff:192.0.2.1"), 200),
        (Some("2001:db8::1"), 200),
        (Some("2001:db8::2"), 403),
        (Some("not an address"), 400),
    ] {
        let header = address.map(|address| ("x-origin-ip", address));
        let (status, body) = check(&fixture, &caller, &value, header.as_slice()).await;
        assert_eq!(status, expected, "{address:?}: {body}");
        if status == 403 {
            assert_eq!(code(&body), "address-not-allowed");
        }
    }
}

#[tokio::test]
async fn invalid_restrictions_are_refused_with_a_reason() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::User).await;
    let id = text(&caller.create_key(&caller.create_project().await, json!({})).await, "id");
    let many: Vec<String> = (0..101).map(|number| format!("10.0.0.{number}")).collect();
    for (body, detail) in [
        (json!({"allowedDomains": ["*.com"]}), "allowedDomains: \"*.com\" is no domain"),
        (json!({"allowedDomains": ["*"]}), "allowedDomains: \"*\" is no domain"),
        (json!({"allowedIps": ["10.0.0.0/33"]}), "allowedIps: \"10.0.0.0/33\" is no address"),
        (json!({"allowedIps": many}), "allowedIps: has more than 100"),
    ] {
        let (status, problem) = caller.send(Method::PATCH, &format!("/api-keys/{id}"), Some(body.clone())).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{body}");
        assert!(text(&problem, "detail").starts_with(detail), "{body}: {problem}");
    }
}
