//! What operators look at in a browser: gateways, explanations, and the system.

use std::time::Duration;

use gatepost_domain::id::GatewayId;
use gatepost_domain::record::Role;
use gatepost_domain::time::Version;
use gatepost_store::os_rng;
use serde_json::json;

use super::browser::{Browser, hidden_field};
use crate::fixture::{Fixture, text};
use crate::gateways::send_heartbeat;
use crate::system::quarantine_last;

#[tokio::test]
async fn gateways_are_shown_with_lag_and_state() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let page = browser.get("/dashboard/gateways").await.body;
    assert!(page.contains("No gateway is registered"), "{page}");
    admin.create_project().await;
    let (gateway, slow) = (GatewayId::generate(&mut os_rng()), GatewayId::generate(&mut os_rng()));
    send_heartbeat(&fixture, &gateway, "<edge-1>:8080", Version::MAX).await;
    let page = browser.get("/dashboard/gateways").await.body;
    assert!(page.contains("&lt;edge-1&gt;:8080") && page.contains("0.2.0"), "{page}");
    assert!(page.contains(gateway.as_str()) && page.contains(">Live<"), "{page}");
    fixture.advance(Duration::from_secs(30));
    send_heartbeat(&fixture, &slow, "edge-2:8080", Version::ZERO).await;
    let page = browser.get("/dashboard/gateways").await.body;
    assert!(page.contains(">Silent<") && page.contains(">Behind<"), "{page}");
}

#[tokio::test]
async fn a_refusal_is_explained_and_the_key_is_not_shown_again() {
    let fixture = Fixture::start().await;
    let viewer = fixture.caller("acme", None, Role::Viewer).await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = admin.create_key(&project, json!({"allowedIps": ["192.0.2.0/24"]})).await;
    let (id, value) = (text(&key, "id"), text(&key, "key"));
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&viewer.access_key).await;
    assert!(browser.get("/dashboard/explain?project=prj_1").await.body.contains(r#"value="prj_1""#));
    let fields = [("key", value.as_str()), ("method", "GET"), ("path", "/items?page=2"), ("ip", "198.51.100.7")];
    let page = browser.post("/dashboard/explain", &fields).await;
    assert_eq!(page.status, 200);
    let page = page.body;
    assert!(page.contains("The request is refused") && page.contains("<code>address-not-allowed</code>"), "{page}");
    assert!(page.contains(&format!("/dashboard/keys/{id}")) && !page.contains(&value), "{page}");
    assert!(page.contains(r#"value="198.51.100.7""#) && page.contains(r#"value="/items?page=2""#), "{page}");
    assert_eq!(
        page.matches("Not checked").count() + page.matches(">Passed<").count() + page.matches(">Refused<").count(),
        11
    );
    assert!(page.contains("Checks that were not reached") && page.contains("Origin, Limits, First use."), "{page}");
    let fields = [("key", value.as_str()), ("ip", "192.0.2.7")];
    let page = browser.post("/dashboard/explain", &fields).await.body;
    assert!(page.contains("The request passes"), "{page}");
    let page = browser.post("/dashboard/explain", &[("key", value.as_str()), ("ip", "here")]).await;
    assert_eq!(page.status, 422);
    assert!(page.body.contains("Is not an IP address") && !page.body.contains(&value), "{}", page.body);
    let stranger = fixture.caller("other", None, Role::Admin).await;
    browser.sign_in(&stranger.access_key).await;
    let page = browser.post("/dashboard/explain", &[("key", &value)]).await.body;
    assert!(page.contains("<code>unknown</code>") && !page.contains(&id), "{page}");
}

#[tokio::test]
async fn the_operator_sees_the_system_and_downloads_what_is_in_quarantine() {
    let fixture = Fixture::start().await;
    let operator = fixture.caller("first", None, Role::Admin).await;
    let user = fixture.caller("first", None, Role::User).await;
    let other = fixture.caller("second", None, Role::Admin).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&operator.access_key).await;
    let page = browser.get("/dashboard/system").await.body;
    assert!(page.contains(">Ready<") && page.contains("Empty: every change could be read."), "{page}");
    assert!(page.contains(env!("CARGO_PKG_VERSION")) && page.contains("embedded"), "{page}");
    other.create_project().await;
    let cursor = quarantine_last(&fixture, b"\0bytes").await;
    let page = browser.get("/dashboard/system").await.body;
    assert!(page.contains("1 change could not be read"), "{page}");
    let page = browser.get("/dashboard/system/quarantine").await.body;
    assert!(page.contains("its action is unknown") && page.contains(&cursor.to_string()), "{page}");
    let file = browser.get(&format!("/dashboard/system/quarantine/{cursor}")).await;
    assert_eq!(file.body, "\0bytes");
    assert_eq!(file.header("content-disposition"), format!("attachment; filename=\"quarantine-{cursor}.bin\""));
    let link = r#"href="/dashboard/system""#;
    assert!(page.contains(link));
    for caller in [&user, &other] {
        browser.sign_in(&caller.access_key).await;
        assert!(!browser.get("/dashboard/projects").await.body.contains(link));
    }
}

#[tokio::test]
async fn the_account_shows_its_limits_and_is_renamed_by_admins_only() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    for _ in 0..3 {
        admin.create_key(&project, json!({})).await;
    }
    let of_project = fixture.caller("acme", Some(&project), Role::Viewer).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let page = browser.get("/dashboard/account").await.body;
    let keys = page.split("API keys, revoked ones too").nth(1).unwrap();
    assert!(keys.starts_with(r#"</th><td class="number">3</td><td class="number">10"#), "{keys}");
    assert!(page.contains("Sign out everywhere") && page.contains(r#"value="acme""#), "{page}");
    let version = hidden_field(&page, "version");
    let renamed = browser.post("/dashboard/account", &[("name", "<i>Acme</i>"), ("version", &version)]).await;
    assert_eq!(renamed.location(), "/dashboard/account");
    let page = browser.get("/dashboard/account").await.body;
    assert!(page.contains("&lt;i&gt;Acme&lt;/i&gt;") && !page.contains("<i>Acme"), "{page}");
    let late = browser.post("/dashboard/account", &[("name", "late"), ("version", &version)]).await;
    assert_eq!(late.status, 422, "somebody has renamed it since");
    browser.sign_in(&of_project.access_key).await;
    let page = browser.get("/dashboard/account").await.body;
    assert!(!page.contains("Limits") && !page.contains(">Rename<"), "{page}");
}

#[tokio::test]
async fn search_finds_by_name_id_and_value_and_no_value_stands_in_an_address() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    admin.patch(&format!("/projects/{project}"), json!({"name": "Payments"})).await;
    let key = admin.create_key(&project, json!({"name": "payments of Jane", "customAccountId": "c-77"})).await;
    let own = "a-value-of-our-own-that-nobody-else-has";
    let of_own = admin.create_key(&project, json!({"key": own})).await;
    let hook = json!({"name": "Payments hook", "url": "https://example.com/hook", "topics": ["api-key.created"]});
    let (status, hook) = admin.post("/webhooks", hook).await;
    assert_eq!(status, 201, "{hook}");
    let (id, value) = (text(&key, "id"), text(&key, "key"));
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    for (query, location) in [
        (project.as_str(), format!("/dashboard/projects/{project}")),
        (&id, format!("/dashboard/keys/{id}")),
        (&value, format!("/dashboard/keys/{id}")),
        (own, format!("/dashboard/keys/{}", text(&of_own, "id"))),
        (&text(&hook, "id"), format!("/dashboard/webhooks/{}", text(&hook, "id"))),
        ("payments", "/dashboard/search?q=payments".to_owned()),
        ("key_00nothing", "/dashboard/search?q=key_00nothing".to_owned()),
    ] {
        assert_eq!(browser.post("/dashboard/search", &[("q", query)]).await.location(), location, "{query}");
    }
    let (_, events) = admin.get(&format!("/events?order=desc&subject={id}")).await;
    let event = text(&events["events"][0], "id");
    let response = browser.post("/dashboard/search", &[("q", &event)]).await;
    let location = response.location();
    assert_eq!(location, format!("/dashboard/changes?subject={event}"));
    let page = browser.get(location).await.body;
    assert_eq!(page.matches("payments of Jane").count(), 1, "{page}");
    let page = browser.get("/dashboard/search?q=payments").await.body;
    for what in [">Payments</a>", ">payments of Jane</a>", ">Payments hook</a>"] {
        assert!(page.contains(what), "{what} in {page}");
    }
    assert!(browser.get("/dashboard/search?q=c-77").await.body.contains(">payments of Jane</a>"));
    for unknown in ["live_unknown", "another-value-that-nobody-has-seen"] {
        let page = browser.post("/dashboard/search", &[("q", unknown)]).await;
        assert_eq!(page.status, 200, "{unknown}");
        assert!(page.body.contains("Nothing found") && !page.body.contains(unknown), "{}", page.body);
    }
    let stranger = fixture.caller("other", None, Role::Admin).await;
    browser.sign_in(&stranger.access_key).await;
    assert_eq!(browser.post("/dashboard/search", &[("q", &id)]).await.location(), format!("/dashboard/search?q={id}"));
    let page = browser.get("/dashboard/search?q=payments").await.body;
    assert!(page.contains("Nothing found"), "{page}");
}
