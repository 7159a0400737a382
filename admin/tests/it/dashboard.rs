//! The dashboard as browsers see it, without a script.

mod access_keys;
mod audit;
mod browser;
mod changes_csv;
mod customer_revoke;
mod deleted_projects;
mod deliveries;
mod forms;
mod imports;
mod key_states;
mod lists;
mod live;
mod notified_webhooks;
mod operation;
mod pages;
mod searching;
mod webhooks;

use std::time::Duration;

use gatepost_domain::record::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::fixture::{Fixture, text};
use browser::{Browser, hidden_field, shown_value};

#[tokio::test]
async fn access_key_signs_in_and_a_wrong_one_is_not_repeated() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let mut browser = Browser::new(&fixture);
    let page = browser.get("/dashboard/projects?after=x").await;
    assert_eq!(page.location(), "/dashboard/sign-in?next=%2Fdashboard%2Fprojects%3Fafter%3Dx");
    let wrong = format!("{}x", admin.access_key);
    let page = browser.post("/dashboard/sign-in", &[("key", &wrong)]).await;
    assert_eq!(page.status, 401);
    assert!(page.body.contains("This is no access key") && !page.body.contains(&wrong), "{}", page.body);
    let page = browser.post("/dashboard/sign-in", &[("key", &admin.access_key), ("next", "//evil.example/")]).await;
    assert_eq!((page.status, page.location()), (303, "/dashboard"));
    let cookie = page.header("set-cookie");
    assert!(cookie.ends_with("; Path=/dashboard; HttpOnly; SameSite=Lax"), "{cookie}");
    assert_eq!(browser.get("/dashboard").await.location(), "/dashboard/projects");
    let page = browser.get("/dashboard/projects").await;
    assert!(page.body.contains("No project yet") && page.body.contains("acme"), "{}", page.body);
    assert!(!page.body.contains(&admin.access_key));
}

#[tokio::test]
async fn many_wrong_access_keys_must_wait() {
    let fixture = Fixture::start().await;
    let mut browser = Browser::new(&fixture);
    for number in 0..20 {
        let page = browser.post("/dashboard/sign-in", &[("key", &format!("live_access_{number}"))]).await;
        assert_eq!(page.status, 401, "{number}");
    }
    let page = browser.post("/dashboard/sign-in", &[("key", "live_access_last")]).await;
    assert_eq!(page.status, 429);
    assert!(page.body.contains("There were too many attempts. Try again in"), "{}", page.body);
}

#[tokio::test]
async fn a_link_signs_in_once_and_only_by_its_form() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (_, keys) = admin.get("/access-keys").await;
    let id = gatepost_domain::id::AccessKeyId::parse(&text(&keys[0], "id")).unwrap();
    let link = fixture.control_plane.create_sign_in_link(&id).await.unwrap();
    let mut browser = Browser::new(&fixture);
    let path = format!("/dashboard/sign-in?link={}", link.expose());
    for _ in 0..2 {
        let page = browser.get(&path).await;
        assert!(page.body.contains("Sign in as test"), "looking at a link does not use it: {}", page.body);
    }
    assert_eq!(browser.post("/dashboard/sign-in", &[("link", link.expose())]).await.status, 303);
    assert_eq!(browser.get("/dashboard/projects").await.status, 200);
    let mut second = Browser::new(&fixture);
    let used = second.get(&path).await;
    assert!(
        used.status == 410 && used.body.contains("<code>gatepost dashboard</code> prints a new one."),
        "{}",
        used.body
    );
    assert_eq!(second.post("/dashboard/sign-in", &[("link", link.expose())]).await.status, 410);
    let old = fixture.control_plane.create_sign_in_link(&id).await.unwrap();
    fixture.advance(Duration::from_secs(601));
    assert_eq!(second.post("/dashboard/sign-in", &[("link", old.expose())]).await.status, 410, "after 10 minutes");
}

#[tokio::test]
async fn sessions_end_with_a_sign_out_their_access_key_and_their_time() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let signed_in = |key: String| {
        let mut browser = Browser::new(&fixture);
        async move {
            browser.sign_in(&key).await;
            browser
        }
    };
    let mut browsers = [signed_in(admin.access_key.clone()).await, signed_in(admin.access_key.clone()).await];
    let [first, second] = &mut browsers;
    let cookie = first.cookie.clone();
    let page = first.post("/dashboard/sign-out", &[]).await;
    assert_eq!(page.location(), "/dashboard/sign-in");
    first.cookie = cookie;
    assert_eq!(first.get("/dashboard/projects").await.status, 303, "the token itself has ended");
    assert_eq!(second.get("/dashboard/projects").await.status, 200);
    first.sign_in(&admin.access_key).await;
    assert_eq!(first.post("/dashboard/sign-out-everywhere", &[]).await.status, 303);
    assert_eq!(second.get("/dashboard/projects").await.status, 303);

    let (_, made) = admin.post("/access-keys", json!({"name": "other", "role": "admin"})).await;
    let mut third = signed_in(text(&made, "key")).await;
    assert_eq!(third.get("/dashboard/projects").await.status, 200);
    admin.delete(&format!("/access-keys/{}", text(&made, "id"))).await;
    assert_eq!(third.get("/dashboard/projects").await.status, 303, "its access key was revoked");

    fixture.advance(Duration::from_secs(60));
    let mut fourth = signed_in(admin.access_key.clone()).await;
    fixture.advance(Duration::from_secs(12 * 3600));
    assert_eq!(fourth.get("/dashboard/projects").await.status, 303, "after 12 hours");
}

#[tokio::test]
async fn other_sites_can_send_nothing_and_cookies_open_no_api() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("origin", "null")] {
        let request = fixture.request(Method::POST, "/dashboard/projects/new").header(name, value);
        let response = request.header("cookie", &browser.cookie).body("name=p&env=live").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{name}: {value}");
    }
    let response = fixture.request(Method::GET, "/projects").header("cookie", &browser.cookie).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(admin.get("/projects").await.1, json!([]));
}

#[tokio::test]
async fn pages_have_a_strict_policy_and_are_not_cached() {
    let fixture = Fixture::start().await;
    let mut browser = Browser::new(&fixture);
    let page = browser.get("/dashboard/sign-in").await;
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; script-src 'self';"));
    assert!(!page.header("content-security-policy").contains("unsafe"));
    assert_eq!(page.header("cache-control"), "no-store");
    let style = page.body.split('"').find(|text| text.ends_with("/app.css")).unwrap();
    let asset = browser.get(style).await;
    assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(browser.get(&style.replace("/assets/", "/assets/0")).await.status, 404);
}

#[tokio::test]
async fn browsers_are_led_to_the_dashboard_and_clients_are_welcomed() {
    let fixture = Fixture::start().await;
    let mut browser = Browser::new(&fixture);
    for (accept, status) in [
        ("text/html,application/xhtml+xml,*/*;q=0.8", 303),
        ("application/json, text/html", 200),
        ("*/*", 200),
        ("application/json", 200),
    ] {
        assert_eq!(browser.get_accepting("/", accept).await.status, status, "{accept}");
    }
}

#[tokio::test]
async fn value_of_a_key_is_shown_once_however_often_the_form_is_sent() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/projects/{project}/keys/new");
    let once = hidden_field(&browser.get(&path).await.body, "once");
    let fields =
        [("name", "<img src=x onerror=alert(1)>"), ("once", &once), ("customAccountId", "c-1"), ("period", "day")];
    let created = browser.post(&path, &fields).await;
    assert_eq!(created.status, 200, "{}", created.body);
    let value = shown_value(&created);
    assert!(value.starts_with("live_"), "{value}");
    assert!(created.body.contains("Copy it now. It is not shown again."));
    let again = browser.post(&path, &fields).await;
    assert_eq!(shown_value(&again), value, "a reload shows the same value");
    let other = [("name", "other"), ("once", once.as_str()), ("period", "day")];
    for fields in [&other[..], &other[..1]] {
        let refused = browser.post(&path, fields).await;
        assert_eq!(refused.status, 422, "other entries, or none that tell forms apart");
        assert!(refused.body.contains("pen it again") && !refused.body.contains(&value), "{}", refused.body);
    }
    let (_, keys) = admin.get(&format!("/api-keys?projectId={project}")).await;
    assert_eq!(keys.as_array().unwrap().len(), 1, "and makes no second key");

    let id = text(&keys[0], "id");
    for path in [format!("/dashboard/keys/{id}"), format!("/dashboard/projects/{project}/keys")] {
        let page = browser.get(&path).await;
        assert!(!page.body.contains(&value), "{path}");
        assert!(
            page.body.contains("&lt;img src=x onerror=alert(1)&gt;") && !page.body.contains("<img src=x"),
            "{path}"
        );
    }
    let search = format!("/dashboard/projects/{project}/keys");
    let found = browser.post(&search, &[("q", &value)]).await;
    assert_eq!(found.location(), format!("/dashboard/keys/{id}"), "a pasted value leads to its key");
    let found = browser.post(&search, &[("q", "live_unknown")]).await;
    assert!(found.body.contains("No key of this project has this value") && !found.body.contains("live_unknown"));
    let found = browser.post(&search, &[("q", "C-1")]).await;
    assert_eq!(found.location(), format!("/dashboard/projects/{project}/keys?q=C-1"));
    assert!(browser.get(found.location()).await.body.contains(&format!("/dashboard/keys/{id}")));

    let rotate = format!("/dashboard/keys/{id}/rotate");
    let once = hidden_field(&browser.get(&rotate).await.body, "once");
    let rotated = browser.post(&rotate, &[("overlap", "3600"), ("once", &once)]).await;
    assert_ne!(shown_value(&rotated), value);
    assert!(rotated.body.contains("Old, replaced") && rotated.body.contains("Accepted until"), "{}", rotated.body);
}

#[tokio::test]
async fn revoking_needs_the_name_or_the_end_of_the_mask() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = admin.create_key(&project, json!({"name": "Jane's (first) key"})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/keys/{}/revoke", text(&key, "id"));
    let refused = browser.post(&path, &[("confirmation", "jane")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("This is not the text above."));
    let revoked = browser.post(&path, &[("confirmation", "Jane's (first) key")]).await;
    assert!(
        revoked.body.contains("Key revoked") && revoked.body.contains("No gateway is registered"),
        "{}",
        revoked.body
    );
    let page = browser.get(&format!("/dashboard/keys/{}", text(&key, "id"))).await;
    assert!(page.body.contains("Revoked") && page.body.contains("Reactivate"), "{}", page.body);
}

#[tokio::test]
async fn second_of_two_edits_is_told_and_keeps_its_entries() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = admin.create_key(&project, json!({"rateLimitConfigs": {"rateLimit": 10, "rateLimitTtl": 60}})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/keys/{}/edit", text(&key, "id"));
    let version = hidden_field(&browser.get(&path).await.body, "version");
    let entries = |name, version| [("name", name), ("rateLimit", "10"), ("rateLimitTtl", "60"), ("version", version)];
    assert_eq!(browser.post(&path, &entries("first", &version)).await.status, 303);
    let conflict = browser.post(&path, &entries("second", &version)).await;
    assert_eq!(conflict.status, 422);
    assert!(conflict.body.contains("Name: <code>first</code>"), "{}", conflict.body);
    assert!(conflict.body.contains("The key was changed by <span title=\"Access key ak_"), "{}", conflict.body);
    assert!(conflict.body.contains(r#"value="second""#));
    let version = hidden_field(&conflict.body, "version");
    assert_eq!(browser.post(&path, &entries("second", &version)).await.status, 303);
    let wrong = browser.post(&path, &[("name", "x"), ("rateLimit", "many"), ("version", "")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("Must be a whole number") && wrong.body.contains(r#"value="many""#), "{}", wrong.body);
}
