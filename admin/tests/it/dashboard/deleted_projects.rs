//! Deleted projects: they can be found, and every page about them says what they are.

use gatepost_domain::record::Role;
use serde_json::json;

use super::browser::Browser;
use crate::fixture::{Fixture, text};

#[tokio::test]
async fn a_deleted_project_can_be_found_and_read() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    admin.patch(&format!("/projects/{project}"), json!({"name": "old shop"})).await;
    let kept = admin.create_project().await;
    let key = text(&admin.create_key(&project, json!({"name": "of the shop"})).await, "id");
    let hook = json!({"name": "hook of the shop", "projectId": project, "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let hook = text(&admin.post("/webhooks", hook).await.1, "id");
    let access_key = json!({"name": "key of the shop", "projectId": project});
    let (_, access_key) = admin.post("/access-keys", access_key).await;
    let access_key = text(&access_key, "id");
    assert_eq!(admin.delete(&format!("/projects/{project}")).await.0, 200);
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;

    let list = browser.get("/dashboard/projects").await.body;
    assert!(!list.contains("old shop") && list.contains("/dashboard/projects?status=deleted"), "{list}");
    let deleted = browser.get("/dashboard/projects?status=deleted").await.body;
    assert!(deleted.contains("old shop") && !deleted.contains(&kept) && deleted.contains(">Deleted<"), "{deleted}");
    let unknown = browser.get("/dashboard/projects?status=gone").await;
    assert_eq!(unknown.status, 400);
    let found = browser.get("/dashboard/search?q=old+shop").await.body;
    assert!(found.contains(&format!("/dashboard/projects/{project}")) && found.contains(">Deleted<"), "{found}");
    let found = browser.get("/dashboard/search?q=hook+of").await.body;
    assert!(found.contains("Project deleted") && !found.contains(">Live<"), "{found}");
    let in_kept = text(&admin.create_key(&kept, json!({"name": "not of the shop"})).await, "id");
    let found = browser.get("/dashboard/search?q=of+the+shop").await.body;
    for (id, state) in [(&key, "Project deleted"), (&in_kept, "Active")] {
        let row = found.split("<tr>").find(|row| row.contains(id)).unwrap_or_else(|| panic!("{id} in {found}"));
        assert!(row.contains(state), "{state} in {row}");
    }

    for path in [
        format!("/projects/{project}"),
        format!("/projects/{project}/keys"),
        format!("/projects/{project}/webhooks"),
        format!("/projects/{project}/changes"),
        format!("/keys/{key}"),
        format!("/webhooks/{hook}"),
        format!("/webhooks/{hook}/deliveries"),
        format!("/webhooks/{hook}/dead-letters"),
    ] {
        let page = browser.get(&format!("/dashboard{path}")).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains("</a> was deleted."), "{path}: {}", page.body);
        assert!(!page.body.contains("class=\"state good\""), "{path}: {}", page.body);
    }
    let page = browser.get(&format!("/dashboard/projects/{project}")).await.body;
    for what in ["of the shop", "hook of the shop", "Project deleted", "Key created"] {
        assert!(page.contains(what), "{what} in {page}");
    }
    let page = browser.get("/dashboard/access-keys").await.body;
    let row = page.split("<tr>").find(|row| row.contains("key of the shop")).unwrap();
    assert!(row.contains("Project deleted") && row.contains("old shop") && row.contains("/revoke"), "{row}");
    admin.delete(&format!("/access-keys/{access_key}")).await;
    let page = browser.get("/dashboard/access-keys").await.body;
    let row = page.split("<tr>").find(|row| row.contains("key of the shop")).unwrap();
    assert!(row.contains("Revoked") && !row.contains("/reactivate"), "{row}");
}

#[tokio::test]
async fn the_api_lists_deleted_projects_on_request() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (deleted, kept) = (admin.create_project().await, admin.create_project().await);
    admin.delete(&format!("/projects/{deleted}")).await;
    for (query, expected) in [("", &kept), ("?isActive=true", &kept), ("?isActive=false", &deleted)] {
        let (_, projects) = admin.get(&format!("/projects{query}")).await;
        let ids: Vec<String> = projects.as_array().unwrap().iter().map(|project| text(project, "id")).collect();
        assert_eq!(ids, std::slice::from_ref(expected), "{query}");
    }
}
