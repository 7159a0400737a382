//! Webhooks under test: each with its receiver, and what the admin API says about its deliveries.

use std::collections::{HashMap, HashSet};

use gatepost_test_support::MockServer;
use reqwest::Method;
use serde_json::{Value, json};

use super::checker::{CommittedEvent, Health, ListedDelivery, WebhookEvidence, is_success};
use crate::admin::Admin;

/// Topics that all webhooks of the suite subscribe to.
pub(super) const TOPICS: [&str; 2] = ["api-key.created", "api-key.deleted"];
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
        let accepted: HashSet<String> =
            self.receiver.receipts().into_iter().filter(is_success).map(|receipt| receipt.webhook_id).collect();
        let mut listed = HashMap::new();
        // One by one: a delivery that changes its status between two lists would be in neither.
        for event in wanted.iter().filter(|event| !accepted.contains(&event.id)) {
            listed.extend(self.delivery(admin, &event.id).await.map(|delivery| (event.id.clone(), delivery)));
        }
        // Read last: what was accepted meanwhile is in the journal.
        let receipts = self.receiver.receipts();
        WebhookEvidence { name: self.name.to_owned(), health: self.health, wanted, receipts, listed }
    }

    /// Returns whether no delivery waits or is being sent.
    pub(super) async fn is_idle(&self, admin: &Admin) -> bool {
        let stats = get(admin, &format!("/webhooks/{}/stats", self.id)).await;
        stats["pending"] == 0 && stats["inFlight"] == 0
    }

    /// Returns a delivery; none if the API knows none.
    async fn delivery(&self, admin: &Admin, event: &str) -> Option<ListedDelivery> {
        let delivery = self.details(admin, event).await?;
        let history = delivery["history"].as_array().unwrap().len();
        Some(ListedDelivery { status: text(&delivery["status"]), history, error: text(&delivery["lastError"]) })
    }

    /// Returns the attempts of a delivery that are kept, oldest first.
    pub(super) async fn history(&self, admin: &Admin, event: &str) -> Vec<Value> {
        let delivery = self.details(admin, event).await;
        delivery.and_then(|delivery| delivery["history"].as_array().cloned()).unwrap_or_default()
    }

    async fn details(&self, admin: &Admin, event: &str) -> Option<Value> {
        let path = format!("/webhooks/{}/deliveries/{event}", self.id);
        let response = admin.send(Method::GET, &path, String::new()).await;
        let is_found = response.status() == 200;
        let text = response.text().await.unwrap();
        is_found.then(|| serde_json::from_str(&text).unwrap())
    }

    /// Returns the events of the deliveries that are listed with a status.
    pub(super) async fn events_with_status(&self, admin: &Admin, status: &str) -> HashSet<String> {
        let (mut events, mut after) = (HashSet::new(), String::new());
        loop {
            let path = format!("/webhooks/{}/deliveries?status={status}&limit=1000{after}", self.id);
            let page = get(admin, &path).await;
            events.extend(page["deliveries"].as_array().unwrap().iter().map(|delivery| text(&delivery["eventId"])));
            if page["hasMore"] != true {
                return events;
            }
            after = format!("&after={}", text(&page["next"]));
        }
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
