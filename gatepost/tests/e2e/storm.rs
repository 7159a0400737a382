//! A storm of minutes: keys are made, used and shut off over two gateways while processes are killed at random,
//! Redis restarts, its network breaks, and receivers are slow or fail. Nothing valid is refused, nothing shut off
//! is accepted, no event is lost, and first uses happen once.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use gatepost_test_support::{Fault, FaultProxy, Origin, RedisServer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::admin::{Admin, client, create_access_key};
use crate::fence::reached_all;
use crate::process::{Gatepost, UNCONFIGURED};
use crate::secrets;
use crate::webhooks::{self, Expected};

/// How long the storm lasts.
const STORM: Duration = Duration::from_secs(600);
/// How long everything may take to be delivered after it: leases of 30 s, and the first waits of the schedule.
const CALM: Duration = Duration::from_secs(180);
/// Clients that make keys at the same time.
const CLIENTS: usize = 3;
/// Deliveries of a webhook that are in flight at a time: a crash may repeat as many.
const IN_FLIGHT_CAP: usize = 16;
/// So that a gateway that was killed is not waited for much longer.
const MAX_STALE: (&str, &str) = ("GATEPOST_GATEWAY__MAX_STALE_MS", "8000");

/// Everything that runs.
struct Site {
    redis: RedisServer,
    /// Between the second gateway and Redis.
    proxy: FaultProxy,
    origin: Origin,
    control_plane: Gatepost,
    deliverer: Gatepost,
    gateways: Vec<Gatepost>,
    logs: Vec<String>,
}

/// Where clients go now.
#[derive(Clone)]
struct Targets {
    admin: Admin,
    gateways: Vec<String>,
}

/// What clients were told.
#[derive(Default)]
struct Told {
    /// Values of keys whose creation was answered, by id.
    created: HashMap<String, String>,
    used: HashSet<String>,
    revoked: HashSet<String>,
    fenced: usize,
    unavailable: usize,
    wrong: Vec<String>,
}

impl Site {
    async fn start() -> (Self, Targets) {
        let (redis, origin) = (RedisServer::start(), Origin::start());
        let proxy = FaultProxy::start(redis.port());
        let access_key = create_access_key(&redis.url());
        let control_plane = Gatepost::on_store(&redis.url(), &["control-plane"]).await;
        let deliverer = Gatepost::on_store(&redis.url(), &["deliverer"]).await;
        let admin = Admin::new(control_plane.admin.unwrap(), &access_key);
        let mut site = Self { redis, proxy, origin, control_plane, deliverer, gateways: vec![], logs: vec![] };
        for number in 0..2 {
            let gateway = site.gateway(number).await;
            site.gateways.push(gateway);
        }
        let gateways = site.gateways.iter().map(|gateway| gateway.url("/x")).collect();
        (site, Targets { admin, gateways })
    }

    async fn gateway(&self, number: usize) -> Gatepost {
        let port = if number == 0 { self.redis.port() } else { self.proxy.port() };
        let (url, upstream) = (format!("redis://127.0.0.1:{port}"), self.origin.url());
        let arguments = ["gateway", "--upstream", &upstream, "--store", &url];
        Gatepost::start_with(Path::new(UNCONFIGURED), &arguments, &[MAX_STALE]).await
    }

    /// Lets one fault happen and pass; answers whether it may have repeated deliveries.
    async fn fault(&mut self, rng: &mut StdRng, targets: &Mutex<Targets>) -> usize {
        let url = self.redis.url();
        match rng.random_range(0..6) {
            0 => {
                self.control_plane.kill();
                self.logs.extend(self.control_plane.log());
                self.control_plane = Gatepost::on_store(&url, &["control-plane"]).await;
                targets.lock().unwrap().admin.address = self.control_plane.admin.unwrap();
                1
            }
            1 => {
                self.deliverer.kill();
                self.logs.extend(self.deliverer.log());
                self.deliverer = Gatepost::on_store(&url, &["deliverer"]).await;
                1
            }
            2 | 3 => {
                let number = rng.random_range(0..2);
                self.gateways[number].kill();
                self.logs.extend(self.gateways[number].log());
                self.gateways[number] = self.gateway(number).await;
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
                self.proxy.set(faults[rng.random_range(0..faults.len())]);
                tokio::time::sleep(Duration::from_secs(4)).await;
                self.proxy.set(Fault::None);
                0
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_loses_nothing_refuses_nobody_and_accepts_nothing_that_was_shut_off() {
    let (mut site, targets) = Site::start().await;
    let receiver = Origin::start();
    let slow = Origin::answering(|_| (200, Duration::from_secs(1)));
    let failing = Origin::answering(|number| (if number % 3 == 0 { 500 } else { 200 }, Duration::ZERO));
    let secret = targets.admin.webhook(&receiver.url()).await;
    for other in [&slow, &failing] {
        targets.admin.webhook(&other.url()).await;
    }
    let project = targets.admin.project().await;
    let (targets, told) = (Mutex::new(targets), Mutex::new(Told::default()));
    let ends = Instant::now() + STORM;
    let clients = (0..CLIENTS).map(|_| lives_of_keys(&targets, &project, &told, ends));
    let (crashes, _) = tokio::join!(chaos(&mut site, &targets, ends), futures::future::join_all(clients));
    let told = told.into_inner().unwrap();
    assert_eq!(told.wrong, Vec::<String>::new());
    assert!(told.used.len() > 100, "only {} keys were used", told.used.len());
    for id in &told.revoked {
        for gateway in &site.gateways {
            let status = crate::site::ask(&gateway.url("/x"), &told.created[id]).await;
            assert_eq!(status, 401, "{id} was shut off");
        }
    }
    let expected = Expected {
        created: told.created.keys().cloned().collect(),
        // A first use that the store could not be told of before the key was shut off is told to nobody.
        used: told.used.difference(&told.revoked).cloned().collect(),
        deleted: told.revoked.clone(),
    };
    let received = webhooks::await_all(&receiver, &expected, CALM).await;
    // The library accepts only what was sent within five minutes.
    webhooks::verify(&secret, &received[received.len().saturating_sub(100)..]);
    let ids: HashSet<String> =
        received.iter().flat_map(|request| request.header("webhook-id")).map(str::to_owned).collect();
    let repeated = received.len() - ids.len();
    assert!(repeated <= crashes * IN_FLIGHT_CAP, "{repeated} deliveries came twice after {crashes} crashes");
    for gateway in &mut site.gateways {
        site.logs.extend(gateway.log());
    }
    site.logs.extend(site.control_plane.log());
    site.logs.extend(site.deliverer.log());
    let sample: Vec<&str> = told.created.values().take(20).map(String::as_str).collect();
    let mut places = secrets::files(site.redis.directory());
    places.push(("a log".to_owned(), site.logs.join("\n").into_bytes()));
    secrets::check(&places, &sample);
    tell(&format!(
        "a storm of {} s: {crashes} crashes, {} keys made, {} used, {} shut off of which {} fenced, {} events, {repeated} \
         of them twice, {} answers 503",
        STORM.as_secs(),
        told.created.len(),
        told.used.len(),
        told.revoked.len(),
        told.fenced,
        ids.len(),
        told.unavailable
    ));
}

/// Lets faults happen until the end; answers how many crashes there were that may have repeated deliveries.
async fn chaos(site: &mut Site, targets: &Mutex<Targets>, ends: Instant) -> usize {
    let seed = std::process::id().into();
    tell(&format!("the storm's seed is {seed}"));
    let mut rng = StdRng::seed_from_u64(seed);
    let mut crashes = 0;
    while Instant::now() < ends {
        tokio::time::sleep(Duration::from_millis(rng.random_range(1000..5000))).await;
        crashes += site.fault(&mut rng, targets).await;
    }
    crashes
}

/// Makes one key after the other, uses each over all gateways, and shuts every third one off.
async fn lives_of_keys(targets: &Mutex<Targets>, project: &str, told: &Mutex<Told>, ends: Instant) {
    let client = client();
    let mut number = 0;
    while Instant::now() < ends {
        let admin = targets.lock().unwrap().admin.clone();
        let input = json!({"name": "storm", "projectId": project}).to_string();
        let made = admin.try_send(Method::POST, "/api-keys", input).await;
        let Ok(answer) = made else { continue };
        if answer.status() != StatusCode::CREATED {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let Ok(text) = answer.text().await else { continue };
        let Ok(key) = serde_json::from_str::<Value>(&text) else { continue };
        let (id, value) = (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned());
        told.lock().unwrap().created.insert(id.clone(), value.clone());
        for _ in 0..3 {
            use_valid(&client, targets, &id, &value, told).await;
        }
        number += 1;
        if number % 3 == 0 {
            shut_off(&client, targets, &id, &value, told).await;
        }
    }
}

async fn use_valid(client: &Client, targets: &Mutex<Targets>, id: &str, value: &str, told: &Mutex<Told>) {
    let gateways = targets.lock().unwrap().gateways.clone();
    for url in gateways {
        // A gateway may have been killed a moment ago.
        let Ok(answer) = client.get(url).header("x-api-key", value).send().await else { continue };
        let mut told = told.lock().unwrap();
        match answer.status().as_u16() {
            200 => drop(told.used.insert(id.to_owned())),
            503 => told.unavailable += 1,
            other => told.wrong.push(format!("{id} is valid and was answered {other}")),
        }
    }
}

/// Shuts a key off. Where all gateways were reached, none may accept it any more.
async fn shut_off(client: &Client, targets: &Mutex<Targets>, id: &str, value: &str, told: &Mutex<Told>) {
    let admin = targets.lock().unwrap().admin.clone();
    let request = client.delete(format!("http://{}/api-keys/{value}", admin.address));
    let request = request.header("x-api-key", &admin.access_key).header("prefer", "wait=5");
    let Ok(answer) = request.send().await else { return };
    if answer.status() != StatusCode::OK {
        return;
    }
    told.lock().unwrap().revoked.insert(id.to_owned());
    if !reached_all(answer.headers()) {
        return;
    }
    told.lock().unwrap().fenced += 1;
    let gateways = targets.lock().unwrap().gateways.clone();
    for url in gateways {
        let Ok(answer) = client.get(url).header("x-api-key", value).send().await else { continue };
        if answer.status() == 200 {
            told.lock().unwrap().wrong.push(format!("{id} was accepted after its fenced revocation"));
        }
    }
}

#[expect(clippy::print_stderr, reason = "figures for whoever runs the test with --nocapture")]
fn tell(line: &str) {
    eprintln!("{line}");
}
