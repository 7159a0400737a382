//! States of keys: each page and each list says of every key what gateways do with it.

use std::time::Duration;

use gatepost_domain::record::Role;
use serde_json::json;

use super::browser::{Browser, hidden_field};
use crate::fixture::{Fixture, text};

const PAST: &str = "2001-01-01";

#[tokio::test]
async fn keys_of_a_deleted_project_are_not_active_and_can_only_be_revoked() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let (key, revoked) = (admin.create_key(&project, json!({})).await, admin.create_key(&project, json!({})).await);
    admin.delete(&format!("/api-keys/{}", text(&revoked, "id"))).await;
    assert_eq!(admin.delete(&format!("/projects/{project}")).await.0, 200);
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/keys/{}", text(&key, "id"));
    let page = browser.get(&path).await.body;
    assert!(
        page.contains("Project deleted") && page.contains("The project of the key was deleted: gateways"),
        "{page}"
    );
    assert!(page.contains("/revoke\"") && !page.contains("/edit\"") && !page.contains("/rotate\""), "{page}");
    for form in ["edit", "rotate"] {
        let page = browser.get(&format!("{path}/{form}")).await;
        assert_eq!(page.status, 409, "{form}");
        assert!(page.body.contains("The project was deleted, for good"), "{}", page.body);
    }
    let page = browser.get(&format!("/dashboard/keys/{}", text(&revoked, "id"))).await.body;
    assert!(!page.contains("/reactivate\""), "{page}");
    let list = |query: &str| format!("/dashboard/projects/{project}/keys{query}");
    let page = browser.get(&list("")).await.body;
    assert!(page.contains(">Project deleted<") && page.contains(">Revoked<"), "{page}");
    assert!(browser.get(&list("?status=active")).await.body.contains("No key matches"));
    assert!(browser.get(&format!("/dashboard/projects/{project}")).await.body.contains(">Project deleted<"));
    let value = text(&key, "key");
    let explained = browser.post("/dashboard/explain", &[("key", value.as_str())]).await.body;
    assert!(explained.contains("The key is not revoked.") && explained.contains("The project of the key is deleted."));
}

#[tokio::test]
async fn lists_select_by_the_state_that_they_show() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    for (name, further) in [("kept", json!({"name": "kept"})), ("ended", json!({"name": "ended", "expiry": PAST}))] {
        assert_eq!(text(&admin.create_key(&project, further).await, "name"), name);
    }
    let gone = admin.create_key(&project, json!({"name": "gone"})).await;
    admin.delete(&format!("/api-keys/{}", text(&gone, "id"))).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    for (status, listed) in [("active", "kept"), ("expired", "ended"), ("revoked", "gone")] {
        let page = browser.get(&format!("/dashboard/projects/{project}/keys?status={status}")).await.body;
        for name in ["kept", "ended", "gone"] {
            assert_eq!(page.contains(&format!(">{name}</a>")), name == listed, "{name} in {status}");
        }
    }
}

#[tokio::test]
async fn selections_that_are_not_known_are_said() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = text(&admin.create_key(&project, json!({})).await, "id");
    let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let hook = text(&admin.post("/webhooks", hook).await.1, "id");
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    for (path, status, words) in [
        (format!("/projects/{project}/keys?status=bogus"), 400, "Status: must be active, expired or revoked"),
        (format!("/projects/{project}?usage=1y"), 400, "Usage: must be 24h, 7d or 90d"),
        (format!("/keys/{key}?usage=1y"), 400, "Usage: must be 24h, 7d or 90d"),
        (format!("/webhooks/{hook}/deliveries?status=bogus"), 200, "&quot;bogus&quot; is not known"),
        (format!("/webhooks/{hook}/deliveries?topic=bogus"), 200, "&quot;bogus&quot; is not known"),
        (format!("/webhooks/{hook}/dead-letters?topic=bogus"), 200, "&quot;bogus&quot; is not known"),
        (format!("/webhooks/{hook}/deliveries?topic="), 200, "No delivery yet"),
    ] {
        let page = browser.get(&format!("/dashboard{path}")).await;
        assert_eq!(page.status, status, "{path}");
        assert!(page.body.contains(words), "{path}: {}", page.body);
    }
}

#[tokio::test]
async fn an_expiry_in_the_past_is_refused_unless_it_is_saved() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let new = format!("/dashboard/projects/{project}/keys/new");
    let once = hidden_field(&browser.get(&new).await.body, "once");
    let page = browser.post(&new, &[("name", "x"), ("expiry", PAST), ("once", &once)]).await;
    assert!(page.status == 422 && page.body.contains("Is in the past"), "{}", page.body);
    assert_eq!(admin.get(&format!("/api-keys?projectId={project}")).await.1, json!([]));

    let ended = text(&admin.create_key(&project, json!({"expiry": PAST})).await, "id");
    let edit = format!("/dashboard/keys/{ended}/edit");
    let saved = hidden_field(&browser.get(&edit).await.body, "version");
    let fields = |expiry| [("name", "renamed"), ("expiry", expiry), ("version", saved.as_str())];
    let page = browser.post(&edit, &fields("2002-02-02")).await;
    assert!(page.status == 422 && page.body.contains("Is in the past"), "{}", page.body);
    assert_eq!(browser.post(&edit, &fields("2001-01-01T00:00:00.000Z")).await.status, 303, "it was saved before");
    let rotate = browser.get(&format!("/dashboard/keys/{ended}/rotate")).await.body;
    assert!(rotate.contains("The key expired") && rotate.contains("Gateways refuse its new value"), "{rotate}");
}

#[tokio::test]
async fn values_of_a_refused_key_are_not_called_accepted() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let id = text(&admin.create_key(&project, json!({})).await, "id");
    admin.post(&format!("/api-keys/{id}/rotate"), json!({"overlapSeconds": 3600})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/keys/{id}");
    assert!(!browser.get(&path).await.body.contains("Not accepted"));
    admin.delete(&format!("/api-keys/{id}")).await;
    fixture.advance(Duration::from_secs(1));
    let page = browser.get(&path).await.body;
    assert!(page.contains("The key is revoked: gateways refuse all of its values."), "{page}");
    assert_eq!(page.matches("Not accepted").count(), 2, "the current value and the old one: {page}");
    let rotate = browser.get(&format!("{path}/rotate")).await;
    assert!(rotate.status == 409 && rotate.body.contains("The key is revoked; reactivate it first"), "{}", rotate.body);
}

#[tokio::test]
async fn numbers_out_of_range_are_answered_with_the_range() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/projects/{project}/keys/new");
    let once = hidden_field(&browser.get(&path).await.body, "once");
    for number in ["-5", "0", "99999999999999999999999"] {
        for field in ["rateLimit", "quota"] {
            let fields = [("name", "x"), ("rateLimitTtl", "60"), ("period", "day"), (field, number), ("once", &once)];
            let fields: Vec<_> =
                fields.into_iter().filter(|entry| entry.0 != "rateLimitTtl" || field == "rateLimit").collect();
            let page = browser.post(&path, &fields).await;
            assert!(
                page.body.contains("Must be a whole number from 1 to 1000000000000"),
                "{field} {number}: {}",
                page.body
            );
        }
    }
    let page = browser.post(&path, &[("name", ""), ("once", &once)]).await;
    assert!(page.body.contains("Must not be empty"), "{}", page.body);
}
