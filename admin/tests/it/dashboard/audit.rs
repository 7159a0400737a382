//! The audit trail in a browser: changes, one change, and which gateways have applied it.

use gatepost_domain::id::GatewayId;
use gatepost_domain::record::Role;
use gatepost_domain::time::Version;
use gatepost_store::os_rng;
use reqwest::Method;
use serde_json::json;

use super::browser::{Browser, hidden_field, link_after};
use crate::fixture::{Fixture, text};
use crate::gateways::{send_heartbeat, with_gateway};

#[tokio::test]
async fn changes_are_listed_newest_first_and_every_filter_is_in_the_address() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let key = admin.create_key(&project, json!({"name": "<img src=x onerror=alert(1)>"})).await;
    admin.create_key(&other, json!({"name": "of the other project"})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let page = browser.get("/dashboard/changes").await.body;
    let at = |what: &str| page.find(what).unwrap_or_else(|| panic!("{what} in {page}"));
    assert!(at("of the other project") < at("&lt;img src=x onerror=alert(1)&gt;"), "newest first");
    assert!(page.contains("Project created") && page.contains("127.0.0.1") && !page.contains("<img src=x"), "{page}");

    let id = text(&key, "id");
    let of_project = format!("/dashboard/projects/{project}/changes");
    let page = browser.get(&of_project).await.body;
    assert!(page.contains("Key created") && !page.contains("of the other project"), "{page}");
    let (_, access_keys) = admin.get("/access-keys").await;
    let actor = text(&access_keys[0], "id");
    for (filter, finds) in [
        (format!("subject={id}"), true),
        ("subject=key_00nothing".to_owned(), false),
        (format!("actor={actor}"), true),
        ("actor=TEST".to_owned(), true),
        ("actor=deliverer".to_owned(), false),
        ("actor=DELIVERER".to_owned(), false),
        ("type=api-key.created".to_owned(), true),
        ("type=webhook.created".to_owned(), false),
        ("since=2020-01-01".to_owned(), true),
        ("since=2999-01-01".to_owned(), false),
    ] {
        let page = browser.get(&format!("{of_project}?{filter}")).await;
        assert_eq!(page.status, 200, "{filter}");
        assert_eq!(page.body.contains("Key created</a>"), finds, "{filter}: {}", page.body);
        assert_eq!(page.body.contains("No change matches"), !finds, "{filter}");
    }
    for (filter, fault) in
        [("actor=nobody", "Must be the name or the ID of an access key"), ("since=soon", "Not a time")]
    {
        let page = browser.get(&format!("{of_project}?{filter}")).await;
        assert_eq!(page.status, 422, "{filter}");
        assert!(page.body.contains(fault), "{filter}: {}", page.body);
    }
}

#[tokio::test]
async fn pages_of_changes_miss_none_and_show_none_twice() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    for number in 0..104 {
        admin.create_key(&project, json!({"name": format!("number {number}.")})).await;
    }
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let mut seen = Vec::new();
    let mut path = format!("/dashboard/projects/{project}/changes?type=api-key.created");
    let mut pages = 0;
    loop {
        let page = browser.get(&path).await.body;
        pages += 1;
        seen.extend(page.split(">number ").skip(1).map(|rest| rest.split('.').next().unwrap().to_owned()));
        let Some(next) = link_after(&page, r#"<nav class="pager""#, r#"rel="next""#) else { break };
        path = next;
    }
    let expected: Vec<String> = (0..104).rev().map(|number| number.to_string()).collect();
    assert_eq!((pages, seen), (3, expected));
}

#[tokio::test]
async fn a_change_shows_both_sides_its_author_and_each_gateway() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = admin.create_key(&project, json!({"name": "before"})).await;
    let id = text(&key, "id");
    admin.patch(&format!("/api-keys/{id}"), json!({"name": "after"})).await;
    let last = fixture.store.single_cell().last_position().await.unwrap();
    let (fast, slow) = (GatewayId::generate(&mut os_rng()), GatewayId::generate(&mut os_rng()));
    send_heartbeat(&fixture, &fast, "edge-1:8080", last).await;
    send_heartbeat(&fixture, &slow, "edge-2:8080", Version::ZERO).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/changes/{last}");
    let page = browser.get(&path).await.body;
    let differing: Vec<&str> = page.split(r#"<tr class="differs">"#).skip(1).collect();
    assert_eq!(differing.len(), 1, "only the name is marked: {page}");
    let row = differing[0].split("</tr>").next().unwrap();
    assert!(row.contains("<code>name</code>") && row.contains("before") && row.contains("after"), "{row}");
    assert!(page.contains("127.0.0.1") && page.contains(">test</span>"), "{page}");
    assert!(page.contains("1/2 gateways have applied it"), "{page}");
    assert!(page.contains("edge-1:8080") && page.contains("Not applied yet"), "{page}");

    let of_project = fixture.caller("acme", Some(&project), Role::Viewer).await;
    browser.sign_in(&of_project.access_key).await;
    let page = browser.get(&path).await.body;
    assert!(page.contains("1/2 gateways have applied it"), "{page}");
    assert!(!page.contains("edge-1:8080"), "gateways are not shown to visitors of one project");
    assert_eq!(browser.get("/dashboard/changes/nothing").await.status, 404);
}

#[tokio::test]
async fn a_revocation_shows_which_gateways_refuse_the_key() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = admin.create_key(&project, json!({"name": "leaked"})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/keys/{}/revoke", text(&key, "id"));
    let page = with_gateway(&fixture, "edge-1:8080", browser.post(&path, &[("confirmation", "leaked")])).await.body;
    assert!(page.contains("1/1 gateways refuse it") && page.contains("edge-1:8080"), "{page}");
    assert!(page.contains("Applied"), "{page}");
}

#[tokio::test]
async fn a_rotation_shows_which_gateways_have_applied_it() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = admin.create_key(&project, json!({})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/keys/{}/rotate", text(&key, "id"));
    let once = hidden_field(&browser.get(&path).await.body, "once");
    let form = [("overlap", "0"), ("once", once.as_str())];
    let page = with_gateway(&fixture, "edge-1:8080", browser.post(&path, &form)).await.body;
    assert!(page.contains("1/1 gateways accept only the values below") && page.contains("edge-1:8080"), "{page}");
}

#[tokio::test]
async fn a_change_and_its_deliveries_lead_to_each_other() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let hook = json!({"name": "<b>hook</b>", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let hook = text(&admin.post("/webhooks", hook).await.1, "id");
    admin.create_key(&project, json!({})).await;
    let event = fixture.dropped_delivery(&hook).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let delivery = format!("/dashboard/webhooks/{hook}/deliveries/{event}");
    let page = browser.get(&delivery).await.body;
    let change = link_after(&page, "<dt>Change</dt>", "/changes/").unwrap();
    let page = browser.get(&change).await.body;
    assert!(page.contains(&delivery) && page.contains("Dropped") && page.contains("&lt;b&gt;hook"), "{page}");
    let of_project = fixture.caller("acme", Some(&project), Role::Viewer).await;
    browser.sign_in(&of_project.access_key).await;
    let page = browser.get(&change).await.body;
    assert!(page.contains("No delivery of this change is kept") && !page.contains("&lt;b&gt;"), "{page}");
}

#[tokio::test]
async fn a_project_shows_its_newest_changes() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    for number in 0..11 {
        admin.create_key(&project, json!({"name": format!("number {number}.")})).await;
    }
    admin.create_key(&other, json!({"name": "of the other project"})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let page = browser.get(&format!("/dashboard/projects/{project}")).await.body;
    let changes = page.split("changes-heading").last().unwrap().split("settings-heading").next().unwrap();
    assert_eq!(changes.matches("Key created</a>").count(), 10, "{changes}");
    assert!(changes.contains("number 10.") && !changes.contains("number 0."), "{changes}");
    assert!(changes.contains("All changes") && !changes.contains("of the other project"), "{changes}");
}

#[tokio::test]
async fn a_key_shows_its_history_and_its_usage() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = admin.create_key(&project, json!({})).await;
    let id = text(&key, "id");
    admin.patch(&format!("/api-keys/{id}"), json!({"name": "renamed"})).await;
    admin.create_key(&project, json!({"name": "another"})).await;
    admin.request(Method::POST, &format!("/api-keys/auth/{}", text(&key, "key"))).send().await.unwrap();
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let page = browser.get(&format!("/dashboard/keys/{id}?usage=7d")).await.body;
    let history = page.split("history-heading").last().unwrap();
    for what in ["Key first used", "Key changed", "Key created", "the key itself"] {
        assert!(history.contains(what), "{what} in {history}");
    }
    assert!(!history.contains("another"), "{history}");
    assert!(page.contains("Requests that were let through"), "{page}");
    assert!(page.contains(&format!(r##"href="/dashboard/keys/{id}?usage=90d#usage""##)), "{page}");
}

#[tokio::test]
async fn rows_name_what_was_changed_and_the_masks_of_a_value() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = admin.create_key(&project, json!({"name": "before"})).await;
    let (id, old_mask) = (text(&key, "id"), text(&key, "maskedKey"));
    let change = json!({"name": "after", "expiry": "2999-01-01", "quota": {"limit": 5, "period": "day"}});
    admin.patch(&format!("/api-keys/{id}"), change).await;
    let (_, rotated) = admin.post(&format!("/api-keys/{id}/rotate"), json!({})).await;
    let new_mask = text(&rotated, "maskedKey");
    admin.delete(&format!("/api-keys/{id}")).await;
    admin.patch(&format!("/api-keys/{id}/reactivate"), json!({})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let page = browser.get(&format!("/dashboard/changes?subject={id}")).await.body;
    let rows: Vec<&str> = page.split("<tr>").skip(2).map(|row| row.split("</th>").next().unwrap()).collect();
    let [reactivated, revoked, rotated, changed, created] = rows[..] else { panic!("{page}") };
    assert!(reactivated.contains("Key changed") && reactivated.contains(">reactivated<"), "{reactivated}");
    assert!(revoked.contains("Key revoked") && !revoked.contains("hint"), "{revoked}");
    let masks = format!("value from <code>{old_mask}</code> to <code>{new_mask}</code>");
    assert!(old_mask != new_mask && rotated.contains(&masks), "{rotated}");
    assert!(changed.contains("expires, name, quota"), "{changed}");
    assert!(created.contains("Key created") && !created.contains("hint"), "{created}");
    let path = rotated.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let page = browser.get(path).await.body;
    assert!(page.contains(&old_mask) && page.contains(&new_mask), "{page}");
}

#[tokio::test]
async fn a_change_of_what_is_not_shown_says_that_something_was_replaced() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let hook = json!({"name": "hook", "url": "https://93.184.215.14/one", "topics": ["api-key.created"]});
    let hook = text(&admin.post("/webhooks", hook).await.1, "id");
    admin.patch(&format!("/webhooks/{hook}"), json!({"url": "https://93.184.215.14/two"})).await;
    let last = fixture.store.single_cell().last_position().await.unwrap();
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    for path in ["/dashboard/changes".to_owned(), format!("/dashboard/changes/{last}")] {
        let page = browser.get(&path).await.body.to_lowercase();
        assert!(page.contains("a value replaced that is not shown: the rest of the endpoint"), "{path}: {page}");
        assert!(!page.contains("no field of it was changed"), "{page}");
    }
}
