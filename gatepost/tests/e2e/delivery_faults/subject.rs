//! Webhooks under test: each with its receiver, and what the admin API says about its deliveries.

use std::collections::HashMap;

use gatepost_test_support::MockServer;
use reqwest::Method;
use serde_json::{Value, json};

use super::checker::{CommittedEvent, Health, ListedDelivery, WebhookEvidence};
use crate::admin::Admin;

/// Topics that all webhooks of the suite subscribe to.
pub(super) const TOPICS: [&str; 2] = ["api-key.created", "api-key.deleted"];
/// Status of deliveries that were not delivered.
const OPEN_STATUSES: [&str; 4] = ["pending", "inFlight", "failed", "dead"];

/// Webhook with its receiver.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) id: String,
    pub(super) health: Health,
    pub(super) receiver: MockServer,
}

impl Subject {
    /// Creates a webhook for a receiver, with other members such as a retry schedule or another URL.
    pub(super) async fn create(
        admin: &Admin,
        name: &'static str,
        health: Health,
        receiver: MockServer,
        members: Value,
    ) -> Self {
        let mut body = json!({"name": name, "url": receiver.url(), "topics": TOPICS});
        let Value::Object(members) = members else { panic!("{members} is no object") };
        body.as_object_mut().unwrap().extend(members);
        let created = admin.post("/webhooks", body).await;
        Self { name, id: created["id"].as_str().unwrap().to_owned(), health, receiver }
    }

    /// Returns what was observed until now.
    pub(super) async fn observe(&self, admin: &Admin, wanted: Vec<CommittedEvent>) -> WebhookEvidence {
        // Read first: what arrives meanwhile is in the journal.
        let listed = self.list_open(admin).await;
        let receipts = self.receiver.receipts();
        WebhookEvidence { name: self.name.to_owned(), health: self.health, wanted, receipts, listed }
    }

    /// Returns whether no delivery waits or is being sent.
    pub(super) async fn is_idle(&self, admin: &Admin) -> bool {
        let stats = get(admin, &format!("/webhooks/{}/stats", self.id)).await;
        stats["pending"] == 0 && stats["inFlight"] == 0
    }

    /// Returns the deliveries that were not delivered.
    async fn list_open(&self, admin: &Admin) -> HashMap<String, ListedDelivery> {
        let mut listed = HashMap::new();
        for status in OPEN_STATUSES {
            for delivery in self.deliveries_with_status(admin, status).await {
                let event = text(&delivery["eventId"]);
                let (history, error) = (self.history(admin, &event).await.len(), text(&delivery["lastError"]));
                listed.insert(event, ListedDelivery { status: status.to_owned(), history, error });
            }
        }
        listed
    }

    async fn deliveries_with_status(&self, admin: &Admin, status: &str) -> Vec<Value> {
        let (mut deliveries, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/webhooks/{}/deliveries?status={status}&limit=1000{after}", self.id);
            let page = get(admin, &path).await;
            deliveries.extend(page["deliveries"].as_array().unwrap().iter().cloned());
            if page["hasMore"] != true {
                return deliveries;
            }
            after = format!("&after={}", text(&page["next"]));
        }
    }

    /// Returns the attempts of a delivery that are kept, oldest first; none of one that has ended meanwhile.
    pub(super) async fn history(&self, admin: &Admin, event: &str) -> Vec<Value> {
        let path = format!("/webhooks/{}/deliveries/{event}", self.id);
        let response = admin.send(Method::GET, &path, String::new()).await;
        let delivery: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        delivery["history"].as_array().cloned().unwrap_or_default()
    }
}

/// Returns a text; an empty one for null.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the body of a successful response.
pub(super) async fn get(admin: &Admin, path: &str) -> Value {
    let response = admin.send(Method::GET, path, String::new()).await;
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}
