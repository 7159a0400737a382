//! Recoveries of many dead letters: interrupted by crashes, and cancelled.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::admin::{Admin, create_access_key};
use crate::process::Gatepost;
use crate::webhooks;

/// Maximum time of each part. A delivery that was in flight at a kill is sent again after 30 s.
const DEADLINE: Duration = Duration::from_secs(if cfg!(feature = "long") { 900 } else { 120 });
/// Webhooks whose recoveries are interrupted together.
const WEBHOOKS: usize = if cfg!(feature = "long") { 10 } else { 1 };
/// Dead letters of each of them. The store keeps 10,000 of a webhook.
const DEAD_LETTERS: usize = if cfg!(feature = "long") { 10_000 } else { 300 };
/// Concurrent requests that the webhook allows.
const MAX_IN_FLIGHT: usize = 8;
/// Keys that are changed at the same time, to make events.
const KEYS: usize = 8;

/// A receiver that responds with 500 until it is repaired, and then takes its time.
struct Receiver {
    server: MockServer,
    is_repaired: Arc<AtomicBool>,
}

/// A webhook with dead letters.
struct DeadWebhook {
    /// Path of the webhook.
    path: String,
    receiver: Receiver,
    /// Names in the bodies of its dead letters.
    names: HashSet<String>,
}

impl Receiver {
    fn start(response_time: Duration) -> Self {
        let is_repaired = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_repaired);
        let respond = move |_| if flag.load(Ordering::SeqCst) { (200, response_time) } else { (500, Duration::ZERO) };
        Self { server: MockServer::with_statuses(respond), is_repaired }
    }

    /// Lets it respond with 200 from now on, and forgets earlier requests.
    fn repair(&self) {
        self.server.take_requests();
        self.is_repaired.store(true, Ordering::SeqCst);
    }
}

impl DeadWebhook {
    /// Creates webhooks whose receivers take so long for a response, each with as many dead letters.
    async fn create_all(admin: &Admin, count: usize, dead_letters: usize, response_time: Duration) -> Vec<Self> {
        let mut webhooks = Vec::new();
        for _ in 0..count {
            let receiver = Receiver::start(response_time);
            let hook = json!({
                "name": "w", "url": receiver.server.url(), "topics": ["api-key.updated"], "retrySchedule": [1],
                "maxInFlight": MAX_IN_FLIGHT,
            });
            let created = admin.post("/webhooks", hook).await;
            let path = format!("/webhooks/{}", created["id"].as_str().unwrap());
            webhooks.push(Self { path, receiver, names: HashSet::new() });
        }
        let names = change_keys(admin, "old", dead_letters).await;
        for webhook in &mut webhooks {
            await_stats(admin, &webhook.path, |stats| stats["dead"] == dead_letters).await;
            webhook.receiver.repair();
            webhook.names.clone_from(&names);
        }
        webhooks
    }

    /// Starts a recovery of all dead letters, and returns its path and their number.
    async fn recover(&self, admin: &Admin) -> (String, Value) {
        let filter = json!({"since": "2026-01-01T00:00:00Z", "status": "dead"}).to_string();
        let response = admin.send(Method::POST, &format!("{}/recover", self.path), filter).await;
        assert_eq!(response.status(), 202);
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        let started = json_of(response).await;
        (location, started["total"].clone())
    }

    /// Checks what arrived since the receiver was repaired, while the deliverer was killed so many times.
    fn check_receipts(&self, kills: usize) {
        let mut events: HashMap<String, HashSet<String>> = HashMap::new();
        let requests = self.receiver.server.take_requests();
        for body in requests.iter().map(webhooks::body) {
            let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
            events.entry(text("/data/name")).or_default().insert(text("/id"));
        }
        assert_eq!(events.keys().cloned().collect::<HashSet<_>>(), self.names, "each event arrived");
        assert!(events.values().all(|ids| ids.len() == 1), "an event was recovered under another id");
        let repeated = requests.len() - events.len();
        assert!(repeated <= kills * MAX_IN_FLIGHT, "{repeated} were repeated by {kills} kills");
        let concurrent = self.receiver.server.max_concurrent_requests();
        assert!(concurrent <= MAX_IN_FLIGHT, "{concurrent} requests were in flight");
    }
}

/// Makes events of different names, and returns the names.
async fn change_keys(admin: &Admin, prefix: &'static str, count: usize) -> HashSet<String> {
    let project = admin.create_project().await;
    let mut changes = JoinSet::new();
    for key in 0..KEYS {
        let (_, id) = admin.create_api_key(&project).await;
        let admin = admin.clone();
        changes.spawn(async move {
            let names: Vec<String> = (key..count).step_by(KEYS).map(|number| format!("{prefix} {number}")).collect();
            for name in &names {
                let body = json!({"name": name}).to_string();
                assert_eq!(admin.send(Method::PATCH, &format!("/api-keys/{id}"), body).await.status(), 200);
            }
            names
        });
    }
    changes.join_all().await.into_iter().flatten().collect()
}

async fn get(admin: &Admin, path: &str) -> Value {
    json_of(admin.send(Method::GET, path, String::new()).await).await
}

async fn json_of(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// Waits until a resource is as expected, and returns it.
async fn await_resource(admin: &Admin, path: &str, is_expected: impl Fn(&Value) -> bool) -> Value {
    let waiting = async {
        loop {
            let found = get(admin, path).await;
            if is_expected(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(DEADLINE, waiting).await {
        Ok(found) => found,
        Err(_) => panic!("{path} is {}", get(admin, path).await),
    }
}

async fn await_stats(admin: &Admin, webhook: &str, is_expected: impl Fn(&Value) -> bool) -> Value {
    await_resource(admin, &format!("{webhook}/stats"), is_expected).await
}

/// Waits until nothing of a webhook is in its queue.
async fn await_empty_queue(admin: &Admin, webhook: &str) -> Value {
    await_stats(admin, webhook, |stats| stats["pending"] == 0 && stats["inFlight"] == 0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_survives_two_kills_and_sends_every_dead_letter() {
    let redis = RedisServer::start();
    let access_key = create_access_key(&redis.url());
    let start_control_plane = || async {
        let control_plane = Gatepost::start_on_store(&redis.url(), &["control-plane", "--no-deliverer"]).await;
        let admin = Admin::new(control_plane.admin.unwrap(), &access_key);
        (control_plane, admin)
    };
    let (mut control_plane, mut admin) = start_control_plane().await;
    let mut deliverer = Gatepost::start_on_store(&redis.url(), &["deliverer"]).await;
    let webhooks = DeadWebhook::create_all(&admin, WEBHOOKS, DEAD_LETTERS, Duration::from_millis(50)).await;
    let mut recoveries = Vec::new();
    for webhook in &webhooks {
        let (recovery, total) = webhook.recover(&admin).await;
        assert_eq!(total, DEAD_LETTERS);
        recoveries.push(recovery);
    }
    for recovered in [DEAD_LETTERS / 6, DEAD_LETTERS / 2] {
        await_resource(&admin, &recoveries[0], |job| job["recovered"].as_u64().unwrap() >= recovered as u64).await;
        deliverer.kill();
        control_plane.kill();
        deliverer = Gatepost::start_on_store(&redis.url(), &["deliverer"]).await;
        (control_plane, admin) = start_control_plane().await;
        let job = get(&admin, &recoveries[0]).await;
        assert_eq!(job["status"], "running", "it was interrupted in the middle");
    }
    for (webhook, recovery) in webhooks.iter().zip(&recoveries) {
        let finished = await_resource(&admin, recovery, |job| job["status"] != "running").await;
        assert_eq!(
            (&finished["status"], &finished["recovered"], &finished["skipped"]),
            (&json!("finished"), &json!(DEAD_LETTERS), &json!(0))
        );
        let stats = await_empty_queue(&admin, &webhook.path).await;
        assert_eq!(stats["dead"], 0);
        webhook.check_receipts(2);
    }
    assert_eq!((deliverer.terminate(), control_plane.terminate()), (Some(0), Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_recovery_stops_and_another_one_sends_the_rest() {
    let redis = RedisServer::start();
    let access_key = create_access_key(&redis.url());
    let control_plane = Gatepost::start_on_store(&redis.url(), &["control-plane"]).await;
    let admin = Admin::new(control_plane.admin.unwrap(), &access_key);
    let webhook = DeadWebhook::create_all(&admin, 1, 200, Duration::from_millis(100)).await.remove(0);
    let (recovery, _) = webhook.recover(&admin).await;
    await_resource(&admin, &recovery, |job| job["recovered"].as_u64().unwrap() >= 40).await;
    let response = admin.send(Method::DELETE, &recovery, String::new()).await;
    assert_eq!(response.status(), 200);
    let cancelled = json_of(response).await;
    assert_eq!(cancelled["status"], "cancelled");
    let recovered = cancelled["recovered"].as_u64().unwrap();
    assert!(recovered < 200, "it was cancelled in the middle");
    let stats = await_empty_queue(&admin, &webhook.path).await;
    assert_eq!(stats["dead"], 200 - recovered, "what was enqueued is sent, and nothing more");
    let sent = webhook.receiver.server.take_requests();
    assert_eq!(sent.len() as u64, recovered);

    // A new event does not wait for the recovery of the others.
    let (recovery, total) = webhook.recover(&admin).await;
    assert_eq!(total, 200 - recovered);
    await_resource(&admin, &recovery, |job| job["recovered"].as_u64().unwrap() >= 20).await;
    change_keys(&admin, "new", 1).await;
    let new_event_is_sent = async {
        loop {
            let sent = webhook.receiver.server.take_requests();
            if sent.iter().map(webhooks::body).any(|body| body["data"]["name"] == "new 0") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, new_event_is_sent).await.unwrap();
    let job = get(&admin, &recovery).await;
    assert_eq!(job["status"], "running", "{job}");
    let finished = await_resource(&admin, &recovery, |job| job["status"] != "running").await;
    assert_eq!((&finished["status"], &finished["recovered"]), (&json!("finished"), &total));
    assert_eq!(await_empty_queue(&admin, &webhook.path).await["dead"], 0);
    assert!(webhook.receiver.server.max_concurrent_requests() <= MAX_IN_FLIGHT);
}
