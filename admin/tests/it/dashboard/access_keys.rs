//! Access keys in a browser: creating, revoking, and the one that is signed in.

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::json;

use super::browser::{Browser, hidden_field, shown_value};
use crate::fixture::{Fixture, text};

#[tokio::test]
async fn value_of_an_access_key_is_shown_once_and_sees_what_was_chosen() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = "/dashboard/access-keys/new";
    let form = browser.get(path).await.body;
    assert!(form.contains(&project) && form.contains("The whole account"), "{form}");
    let once = hidden_field(&form, "once");
    let fields =
        [("name", "<b>CI</b>"), ("role", "user"), ("projectId", &project), ("expiry", "2999-01-31"), ("once", &once)];
    let created = browser.post(path, &fields).await;
    assert_eq!(created.status, 200, "{}", created.body);
    let value = shown_value(&created);
    assert_eq!(shown_value(&browser.post(path, &fields).await), value, "a reload shows the same value");
    let made = fixture.caller_with_key(&value);
    assert_eq!(made.get(&format!("/projects/{project}")).await.0, 200);
    assert_eq!(made.get(&format!("/projects/{other}")).await.0, 404);
    assert_eq!(made.post("/access-keys", json!({"name": "x"})).await.0, 403, "its role is user");
    let list = browser.get("/dashboard/access-keys").await.body;
    assert!(list.contains("&lt;b&gt;CI&lt;/b&gt;") && !list.contains("<b>CI") && !list.contains(&value), "{list}");
    assert!(
        list.contains(&format!("/dashboard/projects/{project}\""))
            && list.contains("by <span")
            && list.contains(">yours<"),
        "{list}"
    );
    for (shown_in, is_shown) in [(&project, true), (&other, false)] {
        let page = browser.get(&format!("/dashboard/projects/{shown_in}")).await.body;
        assert_eq!(
            page.contains("Access keys of this project only") && page.contains("&lt;b&gt;CI&lt;/b&gt;"),
            is_shown,
            "{page}"
        );
    }
    for (field, entry, fault) in [
        ("role", "owner", "must be admin, user or viewer"),
        ("expiry", "2001-01-01", "Is in the past"),
        ("projectId", "prj_00nothing", "There is no such project."),
        ("name", "", "Must not be empty"),
    ] {
        let mut entries = vec![("name", "x"), ("role", "user"), ("once", "0123456789012345678901")];
        entries.retain(|(name, _)| *name != field);
        entries.push((field, entry));
        let page = browser.post(path, &entries).await;
        assert_eq!(page.status, 422, "{field}: {}", page.body);
        assert!(page.body.to_lowercase().contains(&fault.to_lowercase()), "{field}: {}", page.body);
    }
}

#[tokio::test]
async fn revoking_warns_of_the_own_access_key_and_ends_its_session() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (_, own) = admin.get("/access-keys").await;
    let (_, made) = admin.post("/access-keys", json!({"name": "old laptop", "role": "viewer"})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = |id: &str, what: &str| format!("/dashboard/access-keys/{id}/{what}");
    let warning = "You are signed in with this access key.";
    let revoke = path(&text(&made, "id"), "revoke");
    assert!(!browser.get(&revoke).await.body.contains(warning));
    let refused = browser.post(&revoke, &[("confirmation", "old")]).await;
    assert_eq!(refused.status, 422);
    let revoked = browser.post(&revoke, &[("confirmation", "old laptop")]).await;
    assert!(revoked.body.contains("Every control plane refuses old laptop from now on."), "{}", revoked.body);
    let value = fixture.caller_with_key(&text(&made, "key"));
    assert_eq!(value.get("/projects").await.0, 401);
    let list = browser.get("/dashboard/access-keys").await.body;
    assert!(list.contains("Revoked") && list.contains("Reactivate old laptop"), "{list}");
    assert_eq!(browser.post(&path(&text(&made, "id"), "reactivate"), &[]).await.location(), "/dashboard/access-keys");
    assert_eq!(value.get("/projects").await.0, 200);

    let own = path(&text(&own[0], "id"), "revoke");
    let page = browser.get(&own).await.body;
    assert!(page.contains(warning) && page.contains("Revoke it and end this session"), "{page}");
    let revoked = browser.post(&own, &[("confirmation", "test")]).await;
    assert!(revoked.body.contains("your session has ended"), "{}", revoked.body);
    assert_eq!(browser.get("/dashboard/projects").await.status, 303);
    let response = admin.request(Method::GET, "/projects").send().await.unwrap();
    assert_eq!(response.status(), 401);
}
