//! Something to look at in the dashboard of the demo: projects, keys, a webhook whose receiver fails now and then, and
//! requests and changes until Ctrl-C.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::admin_api::{AdminApi, text_member};

/// Time between two requests to the gateway.
const REQUEST_INTERVAL: Duration = Duration::from_millis(200);
/// Number of requests until a key is changed, which sends a webhook: 5 s.
const REQUESTS_PER_CHANGE: usize = 25;
/// Timeout of one request.
const DEADLINE: Duration = Duration::from_secs(10);

/// Name and customer of each key.
const LIVE_KEYS: [(&str, &str); 4] = [
    ("Mobile app", "customer-1"),
    ("Billing job", "customer-2"),
    ("Partner: Zürich", "customer-3"),
    ("Data export", "customer-3"),
];
const TEST_KEYS: [(&str, &str); 2] = [("Staging", "customer-1"), ("CI pipeline", "customer-2")];

pub(crate) struct Activity {
    admin: AdminApi,
    gateway: SocketAddr,
    client: Client,
    /// Ids and values of keys.
    keys: Vec<(String, String)>,
}

impl Activity {
    /// Creates a second project next to an existing one, keys in both, and a webhook to a receiver.
    pub(crate) async fn prepare(
        admin: AdminApi,
        gateway: SocketAddr,
        project: &str,
        receiver: SocketAddr,
    ) -> anyhow::Result<Self> {
        let sandbox = admin.post("/projects", &json!({"name": "sandbox", "env": "test"})).await?;
        let webhook = json!({
            "name": "Unreliable receiver", "url": format!("http://{receiver}/hook"), "httpMethod": "POST",
            "topics": ["api-key.created", "api-key.firstUsed", "api-key.updated", "api-key.deleted"],
            "projectId": project,
        });
        admin.post("/webhooks", &webhook).await?;
        let mut keys = create_keys(&admin, project, &LIVE_KEYS).await?;
        keys.extend(create_keys(&admin, text_member(&sandbox, "id")?, &TEST_KEYS).await?);
        let revoked = create_keys(&admin, project, &[("Old integration", "customer-4")]).await?;
        for (id, _) in &revoked {
            admin.delete(&format!("/api-keys/{id}")).await?;
        }
        // Requests with it go on, and are rejected.
        keys.extend(revoked);
        let client = Client::builder().no_proxy().timeout(DEADLINE).build()?;
        Ok(Self { admin, gateway, client, keys })
    }

    /// Sends requests and changes keys. It never ends by itself.
    pub(crate) async fn run(&self) {
        let mut ticks = interval(REQUEST_INTERVAL);
        // After a pause of the machine, requests that were missed are not sent at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0.. {
            ticks.tick().await;
            // What fails is seen in the dashboard; the demo goes on.
            drop(self.request(number).await);
            if number % REQUESTS_PER_CHANGE == 0 {
                drop(self.change(number / REQUESTS_PER_CHANGE).await);
            }
        }
    }

    async fn request(&self, number: usize) -> reqwest::Result<()> {
        let (_, value) = &self.keys[number % self.keys.len()];
        self.client.get(format!("http://{}/orders", self.gateway)).bearer_auth(value).send().await.map(drop)
    }

    async fn change(&self, number: usize) -> anyhow::Result<Value> {
        let (id, _) = &self.keys[number % self.keys.len()];
        self.admin.patch(&format!("/api-keys/{id}"), &json!({"customMetaData": {"sync": number}})).await
    }
}

/// Creates keys, and returns the id and the value of each.
async fn create_keys(admin: &AdminApi, project: &str, keys: &[(&str, &str)]) -> anyhow::Result<Vec<(String, String)>> {
    let mut created = Vec::with_capacity(keys.len());
    for (name, customer) in keys {
        let key = json!({"name": name, "projectId": project, "customAccountId": customer});
        let key = admin.post("/api-keys", &key).await?;
        created.push((text_member(&key, "id")?.to_owned(), text_member(&key, "key")?.to_owned()));
    }
    Ok(created)
}
