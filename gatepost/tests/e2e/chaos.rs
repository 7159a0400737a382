//! Chaos test of several minutes: clients create, use and revoke keys over two gateways while processes are killed at
//! random, Redis restarts, its network fails, and receivers are slow or fail. No valid key is rejected, no revoked key
//! is accepted, no event is lost, and each first use is detected once.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use gatepost_test_support::{Fault, FaultProxy, MockServer, RedisServer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::admin::{Admin, client, create_access_key};
use crate::fence::reached_all;
use crate::process::{EMPTY_DIRECTORY, Gatepost};
use crate::secrets;
use crate::webhooks::{self, Expected};

const CHAOS_DURATION: Duration = Duration::from_secs(600);
/// Maximum time until everything is delivered afterwards: leases of 30 s, and the first delays of the retry schedule.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(180);
/// Number of clients that create keys concurrently.
const CLIENTS: usize = 3;
/// Maximum number of deliveries of a webhook in flight. A crash may repeat as many.
const IN_FLIGHT_CAP: usize = 16;
/// Keeps the time short for which revocations wait for a killed gateway.
const MAX_STALE: (&str, &str) = ("GATEPOST_GATEWAY__MAX_STALE_MS", "8000");

/// All running parts.
struct ChaosCluster {
    redis: RedisServer,
    /// Proxy between the second gateway and Redis.
    proxy: FaultProxy,
    origin: MockServer,
    control_plane: Gatepost,
    deliverer: Gatepost,
    gateways: Vec<Gatepost>,
    logs: Vec<String>,
}

/// Current addresses, which change when a process restarts.
#[derive(Clone)]
struct Targets {
    admin: Admin,
    gateways: Vec<String>,
}

/// Results that clients have observed.
#[derive(Default)]
struct Observations {
    /// Values of keys whose creation was confirmed, by id.
    created: HashMap<String, String>,
    used: HashSet<String>,
    revoked: HashSet<String>,
    fenced: usize,
    unavailable: usize,
    violations: Vec<String>,
}

impl ChaosCluster {
    async fn start() -> (Self, Targets) {
        let (redis, origin) = (RedisServer::start(), MockServer::start());
        let proxy = FaultProxy::start(redis.port());
        let access_key = create_access_key(&redis.url());
        let control_plane = Gatepost::start_on_store(&redis.url(), &["control-plane"]).await;
        let deliverer = Gatepost::start_on_store(&redis.url(), &["deliverer"]).await;
        let admin = Admin::new(control_plane.admin.unwrap(), &access_key);
        let mut cluster = Self { redis, proxy, origin, control_plane, deliverer, gateways: vec![], logs: vec![] };
        for number in 0..2 {
            let gateway = cluster.start_gateway(number).await;
            cluster.gateways.push(gateway);
        }
        let gateways = cluster.gateways.iter().map(|gateway| gateway.url("/x")).collect();
        (cluster, Targets { admin, gateways })
    }

    async fn start_gateway(&self, number: usize) -> Gatepost {
        let port = if number == 0 { self.redis.port() } else { self.proxy.port() };
        let (url, upstream) = (format!("redis://127.0.0.1:{port}"), self.origin.url());
        let arguments = ["gateway", "--upstream", &upstream, "--store", &url];
        Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &arguments, &[MAX_STALE]).await
    }

    /// Injects one fault and waits until it is over. Returns 1 if it may have repeated deliveries, else 0.
    async fn inject_fault(&mut self, rng: &mut StdRng, targets: &Mutex<Targets>) -> usize {
        let url = self.redis.url();
        match rng.random_range(0..6) {
            0 => {
                self.control_plane.kill();
                self.logs.extend(self.control_plane.log());
                self.control_plane = Gatepost::start_on_store(&url, &["control-plane"]).await;
                targets.lock().unwrap().admin.address = self.control_plane.admin.unwrap();
                1
            }
            1 => {
                self.deliverer.kill();
                self.logs.extend(self.deliverer.log());
                self.deliverer = Gatepost::start_on_store(&url, &["deliverer"]).await;
                1
            }
            2 | 3 => {
                let number = rng.random_range(0..2);
                self.gateways[number].kill();
                self.logs.extend(self.gateways[number].log());
                self.gateways[number] = self.start_gateway(number).await;
                targets.lock().unwrap().gateways[number] = self.gateways[number].url("/x");
                0
            }
            4 => {
                self.redis.kill();
                tokio::time::sleep(Duration::from_secs(3)).await;
                self.redis.resume();
                1
            }
            _ => {
                let latency = Fault::Latency(Duration::from_millis(200));
                let faults = [latency, Fault::BlackHole, Fault::HalfOpen, Fault::Reset, Fault::CutAfter(5000)];
                self.proxy.set_fault(faults[rng.random_range(0..faults.len())]);
                tokio::time::sleep(Duration::from_secs(4)).await;
                self.proxy.set_fault(Fault::None);
                0
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_loses_nothing_rejects_no_valid_key_and_accepts_no_revoked_key() {
    let (mut cluster, targets) = ChaosCluster::start().await;
    let receiver = MockServer::start();
    let slow = MockServer::with_statuses(|_| (200, Duration::from_secs(1)));
    let failing = MockServer::with_statuses(|number| (if number % 3 == 0 { 500 } else { 200 }, Duration::ZERO));
    let secret = targets.admin.create_webhook(&receiver.url()).await;
    for other in [&slow, &failing] {
        targets.admin.create_webhook(&other.url()).await;
    }
    let project = targets.admin.create_project().await;
    let (targets, observed) = (Mutex::new(targets), Mutex::new(Observations::default()));
    let deadline = Instant::now() + CHAOS_DURATION;
    let clients = (0..CLIENTS).map(|_| churn_keys(&targets, &project, &observed, deadline));
    let (crashes, _) =
        tokio::join!(inject_faults(&mut cluster, &targets, deadline), futures::future::join_all(clients));
    let observed = observed.into_inner().unwrap();
    assert_eq!(observed.violations, Vec::<String>::new());
    assert!(observed.used.len() > 100, "only {} keys were used", observed.used.len());
    for id in &observed.revoked {
        for gateway in &cluster.gateways {
            let status = crate::test_cluster::get_status(&gateway.url("/x"), &observed.created[id]).await;
            assert_eq!(status, 401, "{id} was revoked");
        }
    }
    let expected = Expected {
        created: observed.created.keys().cloned().collect(),
        // A first use that could not be recorded before the key was revoked creates no event.
        used: observed.used.difference(&observed.revoked).cloned().collect(),
        deleted: observed.revoked.clone(),
    };
    let received = webhooks::await_all(&receiver, &expected, DELIVERY_DEADLINE).await;
    // The library only accepts messages of the last five minutes.
    webhooks::verify(&secret, &received[received.len().saturating_sub(100)..]);
    let ids: HashSet<String> =
        received.iter().flat_map(|request| request.header("webhook-id")).map(str::to_owned).collect();
    let redelivered = received.len() - ids.len();
    assert!(redelivered <= crashes * IN_FLIGHT_CAP, "{redelivered} duplicate deliveries after {crashes} crashes");
    for gateway in &mut cluster.gateways {
        cluster.logs.extend(gateway.log());
    }
    cluster.logs.extend(cluster.control_plane.log());
    cluster.logs.extend(cluster.deliverer.log());
    let sample: Vec<&str> = observed.created.values().take(20).map(String::as_str).collect();
    let mut sources = secrets::files(cluster.redis.directory());
    sources.push(("a log".to_owned(), cluster.logs.join("\n").into_bytes()));
    secrets::check_no_secrets(&sources, &sample);
    report(&format!(
        "chaos for {} s: {crashes} crashes, {} keys created, {} used, {} revoked of which {} fenced, {} events, \
         {redelivered} duplicate deliveries, {} responses 503",
        CHAOS_DURATION.as_secs(),
        observed.created.len(),
        observed.used.len(),
        observed.revoked.len(),
        observed.fenced,
        ids.len(),
        observed.unavailable
    ));
}

/// Injects faults until the deadline, and returns the number of crashes that may have repeated deliveries.
async fn inject_faults(cluster: &mut ChaosCluster, targets: &Mutex<Targets>, deadline: Instant) -> usize {
    let seed = std::process::id().into();
    report(&format!("random seed {seed}"));
    let mut rng = StdRng::seed_from_u64(seed);
    let mut crashes = 0;
    while Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(rng.random_range(1000..5000))).await;
        crashes += cluster.inject_fault(&mut rng, targets).await;
    }
    crashes
}

/// Creates keys in a loop, uses each over all gateways, and revokes every third one.
async fn churn_keys(targets: &Mutex<Targets>, project: &str, observed: &Mutex<Observations>, deadline: Instant) {
    let client = client();
    let mut number = 0;
    while Instant::now() < deadline {
        let admin = targets.lock().unwrap().admin.clone();
        let input = json!({"name": "storm", "projectId": project}).to_string();
        let created = admin.try_send(Method::POST, "/api-keys", input).await;
        let Ok(response) = created else { continue };
        if response.status() != StatusCode::CREATED {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let Ok(text) = response.text().await else { continue };
        let Ok(key) = serde_json::from_str::<Value>(&text) else { continue };
        let (id, value) = (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned());
        observed.lock().unwrap().created.insert(id.clone(), value.clone());
        for _ in 0..3 {
            use_valid(&client, targets, &id, &value, observed).await;
        }
        number += 1;
        if number % 3 == 0 {
            revoke(&client, targets, &id, &value, observed).await;
        }
    }
}

async fn use_valid(client: &Client, targets: &Mutex<Targets>, id: &str, value: &str, observed: &Mutex<Observations>) {
    let gateways = targets.lock().unwrap().gateways.clone();
    for url in gateways {
        // A gateway may have just been killed.
        let Ok(response) = client.get(url).header("x-api-key", value).send().await else { continue };
        let mut observed = observed.lock().unwrap();
        match response.status().as_u16() {
            200 => drop(observed.used.insert(id.to_owned())),
            503 => observed.unavailable += 1,
            other => observed.violations.push(format!("{id} is valid and got {other}")),
        }
    }
}

/// Revokes a key. If the change reached all gateways, none may accept the key any more.
async fn revoke(client: &Client, targets: &Mutex<Targets>, id: &str, value: &str, observed: &Mutex<Observations>) {
    let admin = targets.lock().unwrap().admin.clone();
    let request = client.delete(format!("http://{}/api-keys/{value}", admin.address));
    let request = request.header("x-api-key", &admin.access_key).header("prefer", "wait=5");
    let Ok(response) = request.send().await else { return };
    if response.status() != StatusCode::OK {
        return;
    }
    observed.lock().unwrap().revoked.insert(id.to_owned());
    if !reached_all(response.headers()) {
        return;
    }
    observed.lock().unwrap().fenced += 1;
    let gateways = targets.lock().unwrap().gateways.clone();
    for url in gateways {
        let Ok(response) = client.get(url).header("x-api-key", value).send().await else { continue };
        if response.status() == 200 {
            observed.lock().unwrap().violations.push(format!("{id} was accepted after its fenced revocation"));
        }
    }
}

#[expect(clippy::print_stderr, reason = "measurements, shown with --nocapture")]
fn report(line: &str) {
    eprintln!("{line}");
}
