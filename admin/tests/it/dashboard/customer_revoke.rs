//! Revoking all keys of a customer in a browser.

use gatepost_domain::id::GatewayId;
use gatepost_domain::record::Role;
use gatepost_store::os_rng;
use serde_json::json;

use super::browser::{Browser, hidden_field, link_after};
use crate::fixture::{Fixture, create_many_keys, text};
use crate::gateways::send_heartbeat;

#[tokio::test]
async fn keys_of_a_customer_are_listed_counted_and_revoked_after_its_id_was_typed() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let customer = "Müller & <Söhne>";
    for name in ["first", "second"] {
        admin.create_key(&project, json!({"name": name, "customAccountId": customer})).await;
    }
    let other = admin.create_key(&project, json!({"name": "of another", "customAccountId": "other"})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let all = browser.get(&format!("/dashboard/projects/{project}/keys")).await.body;
    let list = link_after(&all, ">first<", "customer=").unwrap();
    let page = browser.get(&list).await.body;
    assert!(page.contains(">first<") && page.contains(">second<") && !page.contains("of another"), "{page}");
    let path = link_after(&page, "Keys of the customer", "/keys/revoke?customer=").unwrap();

    let page = browser.get(&path).await.body;
    assert!(page.contains("<strong>2 active keys</strong>"), "{page}");
    assert!(page.contains("Müller &amp; &lt;Söhne&gt;") && !page.contains("<Söhne>"), "{page}");
    let refused = browser.post(&path, &[("confirmation", "Müller")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("This is not the text above."), "{}", refused.body);

    let (gateway, start) = (GatewayId::generate(&mut os_rng()), fixture.store.single_cell().last_position().await);
    send_heartbeat(&fixture, &gateway, "edge-1:8080", start.unwrap()).await;
    let fields = [("confirmation", customer)];
    let (revoked, ()) = tokio::join!(browser.post(&path, &fields), async {
        while admin.get(&format!("/api-keys?projectId={project}&isActive=true")).await.1.as_array().unwrap().len() > 1 {
        }
        let last = fixture.store.single_cell().last_position().await.unwrap();
        send_heartbeat(&fixture, &gateway, "edge-1:8080", last).await;
    });
    assert!(revoked.body.contains("2 keys of the customer"), "{}", revoked.body);
    assert!(revoked.body.contains("No active key of the customer is left"), "{}", revoked.body);
    assert!(revoked.body.contains("1/1 gateways refuse them"), "{}", revoked.body);
    let (_, kept) = admin.get(&format!("/api-keys/{}", text(&other, "id"))).await;
    assert_eq!(kept["isActive"], true);

    let again = browser.post(&path, &[("confirmation", customer)]).await.body;
    assert!(again.contains("No key revoked"), "{again}");
    let page = browser.get(&path).await.body;
    assert!(page.contains("No active key") && !page.contains("confirmation"), "{page}");
    assert_eq!(
        browser.get(&format!("/dashboard/projects/{project}/keys/revoke")).await.status,
        400,
        "without a customer"
    );
}

#[tokio::test]
async fn more_keys_than_one_step_revokes_are_revoked_by_a_second_one() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    create_many_keys(&admin, &project, 1001, |_| json!({"customAccountId": "big"})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/projects/{project}/keys/revoke?customer=big");
    let page = browser.get(&path).await.body;
    assert!(page.contains("1\u{202f}001 active keys"), "{page}");
    let mut page = browser.post(&path, &[("confirmation", "big")]).await.body;
    assert!(page.contains("keys of the customer") && page.contains("Revoke the rest"), "{page}");
    // On a slow machine a step may end before it has revoked 1,000.
    while page.contains("Revoke the rest") {
        let (after, confirmation) = (hidden_field(&page, "after"), hidden_field(&page, "confirmation"));
        page = browser.post(&path, &[("after", &after), ("confirmation", &confirmation)]).await.body;
    }
    assert!(page.contains("No active key of the customer is left"), "{page}");
    assert_eq!(admin.get(&format!("/api-keys?projectId={project}&isActive=true")).await.1, json!([]));
}
