//! An upgrade from the previous release, one process at a time, while keys are created, used and revoked.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer};
use reqwest::Method;
use serde_json::Value;
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::task::JoinSet;

use crate::admin::{Admin, client, create_access_key};
use crate::process::{EMPTY_DIRECTORY, Gatepost, command, command_of};
use crate::release::{LAST_RELEASE, program};
use crate::test_cluster::{DEADLINE, get_status};
use crate::webhooks::{self, Expected};

const USERS: usize = 4;
const LONG_LIVED_KEYS: usize = 20;
/// Time under load before and after each step.
const STEP: Duration = Duration::from_secs(2);
/// A gateway accepts 600 wrong keys a minute from one address.
const WRONG_KEY_INTERVAL: Duration = Duration::from_millis(250);

/// Where requests go. Whoever sends one holds the lock, so that no process ends with one in flight.
struct Fleet {
    gateways: RwLock<Vec<String>>,
    admin: RwLock<Admin>,
    /// Requests that gateways accepted.
    uses: AtomicU64,
    is_over: AtomicBool,
}

impl Fleet {
    async fn status(&self, gateways: &RwLockReadGuard<'_, Vec<String>>, number: usize, key: &str) -> u16 {
        let url = &gateways[number % gateways.len()];
        let status = get_status(url, key).await.as_u16();
        self.uses.fetch_add(u64::from(status == 200), Ordering::Relaxed);
        status
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Uses keys that stay.
async fn use_keys(fleet: Arc<Fleet>, keys: Arc<Vec<String>>, user: usize) {
    let client = client();
    for number in user.. {
        if fleet.is_over() {
            return;
        }
        let gateways = fleet.gateways.read().await;
        let url = &gateways[number % gateways.len()];
        let status = client.get(url).header("x-api-key", &keys[number % keys.len()]).send().await.unwrap().status();
        assert_eq!(status.as_u16(), 200, "request {number}, {url}");
        fleet.uses.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends a key that never was, to each gateway.
async fn send_wrong_key(fleet: Arc<Fleet>) {
    while !fleet.is_over() {
        let gateways = fleet.gateways.read().await;
        for gateway in 0..gateways.len() {
            assert_eq!(fleet.status(&gateways, gateway, "never-a-key-value").await, 401);
        }
        drop(gateways);
        tokio::time::sleep(WRONG_KEY_INTERVAL).await;
    }
}

/// Creates keys, uses each on every gateway, and revokes every other one.
async fn create_and_revoke(fleet: Arc<Fleet>, project: String) -> Expected {
    let mut expected = Expected::default();
    for number in 0.. {
        if fleet.is_over() {
            break;
        }
        let (admin, gateways) = (fleet.admin.read().await, fleet.gateways.read().await);
        let (key, id) = admin.create_api_key(&project).await;
        expected.created.insert(id.clone());
        for gateway in 0..gateways.len() {
            assert_eq!(fleet.status(&gateways, gateway, &key).await, 200, "key {number}");
        }
        expected.used.insert(id.clone());
        if number % 2 == 0 {
            let revoked = admin.send_fenced(Method::DELETE, &format!("/api-keys/{id}"), String::new()).await;
            assert_eq!(revoked.status(), 200);
            for gateway in 0..gateways.len() {
                assert_eq!(fleet.status(&gateways, gateway, &key).await, 401, "key {number}");
            }
            expected.deleted.insert(id);
        }
    }
    expected
}

/// Replaces a gateway: the new one takes requests before the old one ends.
async fn replace_gateway(fleet: &Fleet, old: &mut Gatepost, new: &Gatepost) {
    fleet.gateways.write().await.push(new.url("/x"));
    tokio::time::sleep(STEP).await;
    fleet.gateways.write().await.retain(|url| *url != old.url("/x"));
    assert_eq!(old.terminate(), Some(0));
    tokio::time::sleep(STEP).await;
}

/// Checks that each event of a key has one id, whatever was sent twice.
fn check_each_event_once(bodies: &[Value]) {
    let mut ids: HashMap<(String, String), HashSet<String>> = HashMap::new();
    let text = |body: &Value, pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
    for body in bodies {
        ids.entry((text(body, "/type"), text(body, "/data/id"))).or_default().insert(text(body, "/id"));
    }
    let doubled: Vec<_> = ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
}

async fn await_counted_uses(admin: &Admin, project: &str, uses: u64) {
    let path = format!("/analytics/project-totals?projectId={project}");
    let counting = async {
        loop {
            let report = admin.send(Method::GET, &path, String::new()).await.text().await.unwrap();
            let report: Vec<Value> = serde_json::from_str(&report).unwrap();
            let counted: u64 = report.iter().map(|row| row["total"].as_u64().unwrap()).sum();
            assert!(counted <= uses, "{counted} uses are counted of {uses}");
            if counted == uses {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, counting).await.is_ok(), "fewer than {uses} uses are counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_is_replaced_under_load_without_a_wrong_answer_or_a_lost_event() {
    let (redis, origin, receiver) = (RedisServer::start(), MockServer::start(), MockServer::start());
    let (url, origin) = (redis.url(), origin.url());
    let old_program = program(LAST_RELEASE);
    let directory = Path::new(EMPTY_DIRECTORY);
    let created = command_of(&old_program, directory, &["access-key", "create", "--store", &url]).output().unwrap();
    assert!(created.status.success());
    let access_key = create_access_key(&url);
    let gateway = ["gateway", "--upstream", &origin, "--store", &url];
    let plane = ["control-plane", "--store", &url];
    let mut old_gateways = [
        Gatepost::start_program(&old_program, directory, &gateway, &[]).await,
        Gatepost::start_program(&old_program, directory, &gateway, &[]).await,
    ];
    let mut old_plane = Gatepost::start_program(&old_program, directory, &plane, &[]).await;
    let admin = Admin::new(old_plane.admin.unwrap(), &access_key);
    admin.create_webhook(&receiver.url()).await;
    let project = admin.create_project().await;
    let mut keys = Vec::new();
    for _ in 0..LONG_LIVED_KEYS {
        keys.push(admin.create_api_key(&project).await.0);
    }
    let fleet = Arc::new(Fleet {
        gateways: RwLock::new(old_gateways.iter().map(|gateway| gateway.url("/x")).collect()),
        admin: RwLock::new(admin),
        uses: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    let keys = Arc::new(keys);
    let mut users = JoinSet::new();
    for user in 0..USERS {
        users.spawn(use_keys(Arc::clone(&fleet), Arc::clone(&keys), user));
    }
    users.spawn(send_wrong_key(Arc::clone(&fleet)));
    let writer = tokio::spawn(create_and_revoke(Arc::clone(&fleet), project.clone()));

    tokio::time::sleep(STEP).await;
    let mut new_gateways = Vec::new();
    for old in &mut old_gateways {
        let new = Gatepost::start(directory, &gateway).await;
        replace_gateway(&fleet, old, &new).await;
        new_gateways.push(new);
    }
    let new_plane = Gatepost::start(directory, &plane).await;
    *fleet.admin.write().await = Admin::new(new_plane.admin.unwrap(), &access_key);
    assert_eq!(old_plane.terminate(), Some(0));
    tokio::time::sleep(STEP).await;
    let upgraded = command(directory, &["store", "upgrade", "--store", &url]).output().unwrap();
    assert!(upgraded.status.success(), "{}", String::from_utf8_lossy(&upgraded.stderr));
    tokio::time::sleep(STEP).await;
    let last = Gatepost::start(directory, &gateway).await;
    replace_gateway(&fleet, &mut new_gateways[0], &last).await;

    fleet.is_over.store(true, Ordering::Relaxed);
    users.join_all().await;
    let expected = writer.await.unwrap();
    assert!(expected.created.len() > 20, "{} keys were created", expected.created.len());
    let received = webhooks::await_all(&receiver, &expected, DEADLINE).await;
    check_each_event_once(&received.iter().map(webhooks::body).collect::<Vec<_>>());
    let admin = fleet.admin.read().await;
    await_counted_uses(&admin, &project, fleet.uses.load(Ordering::Relaxed)).await;
}
