//! Forms that revoke: which webhooks are notified.

use gatepost_domain::record::Role;
use serde_json::json;

use super::browser::Browser;
use crate::fixture::{Caller, Fixture, text};

async fn create_webhook(admin: &Caller<'_>, name: &str, project: Option<&str>, topic: &str) -> String {
    let webhook = json!({"name": name, "url": "https://93.184.215.14/", "topics": [topic], "projectId": project});
    let (status, created) = admin.post("/webhooks", webhook).await;
    assert!(matches!(status, 200 | 201), "{created}");
    text(&created, "id")
}

/// Returns the paragraph about webhooks of a page, without its markup.
async fn sentence(browser: &mut Browser<'_>, path: &str) -> String {
    let page = browser.get(path).await.body;
    let paragraph = page.split("<p>").find(|part| part.contains("otified")).unwrap_or_else(|| panic!("{page}"));
    let paragraph = paragraph.split("</p>").next().unwrap();
    paragraph.split('<').map(|part| part.rsplit('>').next().unwrap()).collect()
}

#[tokio::test]
async fn forms_that_revoke_name_the_webhooks_that_are_notified() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let key = text(&admin.create_key(&project, json!({"customAccountId": "c-1"})).await, "id");
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let form = format!("/dashboard/keys/{key}/revoke");
    let none = "No webhook is notified: none that is live subscribes to api-key.deleted.";
    assert_eq!(sentence(&mut browser, &form).await, none);

    create_webhook(&admin, "of others", Some(&other), "api-key.deleted").await;
    create_webhook(&admin, "of new keys", Some(&project), "api-key.created").await;
    create_webhook(&admin, "of projects", None, "project.updated").await;
    let paused = create_webhook(&admin, "paused", Some(&project), "api-key.deleted").await;
    browser.post(&format!("/dashboard/webhooks/{paused}/pause"), &[]).await;
    assert_eq!(sentence(&mut browser, &form).await, none);

    let first = create_webhook(&admin, "<b>billing</b>", None, "api-key.deleted").await;
    let page = browser.get(&form).await.body;
    assert!(page.contains(&format!("/dashboard/webhooks/{first}\"")) && !page.contains("<b>billing"), "{page}");
    for number in 2..=7 {
        create_webhook(&admin, &format!("hook {number}"), Some(&project), "api-key.deleted").await;
    }
    let some =
        "Notified webhooks (api-key.deleted): &lt;b&gt;billing&lt;/b&gt;, hook 2, hook 3, hook 4, hook 5 and 2 more.";
    assert_eq!(sentence(&mut browser, &form).await, some);
    let of_customer = format!("/dashboard/projects/{project}/keys/revoke?customer=c-1");
    assert_eq!(sentence(&mut browser, &of_customer).await, some);
    let of_project = format!("/dashboard/projects/{project}/delete");
    assert_eq!(sentence(&mut browser, &of_project).await, "Notified webhooks (project.updated): of projects.");

    let own = fixture.caller("acme", Some(&project), Role::Admin).await;
    browser.sign_in(&own.access_key).await;
    let seen = sentence(&mut browser, &form).await;
    assert!(!seen.contains("billing") && seen.contains("hook 6 and 1 more"), "{seen}");
    assert!(seen.ends_with("Those of the whole account, which you do not see, may be notified too."), "{seen}");
}
