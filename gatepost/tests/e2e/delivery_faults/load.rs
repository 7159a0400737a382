//! Accounts whose keys change, with the webhooks that want to know it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use gatepost_test_support::MockServer;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::checker::{CommittedEvent, Health};
use super::subject::{Subject, TOPICS, get};
use crate::admin::Admin;

/// Delay of a client whose request failed.
const CLIENT_BACKOFF: Duration = Duration::from_millis(50);
/// Pause of a client between two keys, so that a deliverer that is killed every second does not fall behind for minutes.
const CLIENT_PAUSE: Duration = Duration::from_millis(100);

/// Account with its webhooks and its load.
pub(super) struct Account {
    admin: Mutex<Admin>,
    project: String,
    /// Times at which creations of keys were confirmed, by key.
    confirmed: Mutex<HashMap<String, Instant>>,
    pub(super) subjects: Vec<Subject>,
}

impl Account {
    /// Prepares the account of an access key.
    pub(super) async fn new(admin: &Admin) -> Self {
        let project = admin.create_project().await;
        Self { admin: Mutex::new(admin.clone()), project, confirmed: Mutex::default(), subjects: Vec::new() }
    }

    /// Adds a webhook, before the load starts.
    pub(super) async fn add(&mut self, name: &'static str, health: Health, receiver: MockServer, members: Value) {
        let subject = Subject::create(&self.admin(), name, health, receiver, members).await;
        self.subjects.push(subject);
    }

    pub(super) fn admin(&self) -> Admin {
        self.admin.lock().unwrap().clone()
    }

    /// Sends further requests to a control plane that was started again.
    pub(super) fn use_address(&self, address: SocketAddr) {
        self.admin.lock().unwrap().address = address;
    }

    pub(super) fn subject(&self, name: &str) -> &Subject {
        self.subjects.iter().find(|subject| subject.name == name).unwrap()
    }

    /// Creates keys, each of which must be confirmed.
    pub(super) async fn create_keys(&self, count: usize) {
        for _ in 0..count {
            let (_, id) = self.admin().create_api_key(&self.project).await;
            self.confirmed.lock().unwrap().insert(id, Instant::now());
        }
    }

    /// Creates keys until a time, whether the control plane answers or not.
    pub(super) async fn create_keys_until(&self, deadline: Instant) {
        while Instant::now() < deadline {
            match self.try_create_key().await {
                Some(id) => {
                    self.confirmed.lock().unwrap().insert(id, Instant::now());
                    tokio::time::sleep(CLIENT_PAUSE).await;
                }
                None => tokio::time::sleep(CLIENT_BACKOFF).await,
            }
        }
    }

    async fn try_create_key(&self) -> Option<String> {
        let input = json!({"name": "k", "projectId": self.project}).to_string();
        let response = self.admin().try_send(Method::POST, "/api-keys", input).await.ok()?;
        let text = response.error_for_status().ok()?.text().await.ok()?;
        let created: Value = serde_json::from_str(&text).ok()?;
        Some(created["id"].as_str()?.to_owned())
    }

    /// Returns the events that the store has committed and webhooks want.
    pub(super) async fn committed(&self) -> Vec<CommittedEvent> {
        let (admin, confirmed) = (self.admin(), self.confirmed.lock().unwrap().clone());
        let (mut committed, mut after) = (Vec::new(), "0".to_owned());
        loop {
            let page = get(&admin, &format!("/events?limit=1000&after={after}")).await;
            for event in page["events"].as_array().unwrap() {
                if TOPICS.iter().any(|topic| event["type"] == *topic) {
                    let confirmed_at = confirmed.get(event["subject"].as_str().unwrap()).copied();
                    committed.push(CommittedEvent { id: event["id"].as_str().unwrap().to_owned(), confirmed_at });
                }
            }
            if page["hasMore"] != true {
                return committed;
            }
            page["next"].as_str().unwrap().clone_into(&mut after);
        }
    }

    /// Returns the number of keys whose creation was confirmed.
    pub(super) fn confirmed_count(&self) -> usize {
        self.confirmed.lock().unwrap().len()
    }
}
