//! Clients that use keys, and create and revoke others, without a pause. Each remembers what it was told.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::admin::{Admin, client};

use super::{KEYS, KEYS_TO_REVOKE, imported_value};

/// Clients that use keys, and clients that create and revoke them.
const USERS: u64 = 4;
const WRITERS: u64 = 2;
/// Half of the uses are of so many keys, the others of any.
const BUSY_KEYS: usize = 1_000;
/// Pause after a request without a response. The process may be down.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Where the process is.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) admin: Admin,
    pub(super) gateway: String,
}

/// What happened before the move, or after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Half {
    pub(super) uses: u64,
    pub(super) first_use: Option<Instant>,
    pub(super) last_use: Option<Instant>,
    writes: usize,
    pub(super) first_write: Option<Instant>,
    pub(super) last_write: Option<Instant>,
}

/// What clients have observed.
#[derive(Debug, Clone, Default)]
pub(super) struct Observations {
    pub(super) halves: [Half; 2],
    /// Values of keys whose creation was acknowledged, by id.
    pub(super) created: HashMap<String, String>,
    /// Values of keys whose revocation was acknowledged.
    pub(super) revoked: HashSet<String>,
    /// Values of keys with a response 200.
    pub(super) used: HashSet<String>,
    pub(super) used_in_first_half: HashSet<String>,
    /// Values of keys with a request that was sent and has no response: it may be a use.
    pub(super) unanswered: HashMap<String, u64>,
    pub(super) violations: Vec<String>,
}

pub(super) struct Load {
    /// The half, 0 or 1, and the process of it.
    site: Mutex<(usize, Site)>,
    project: String,
    client: Client,
    observed: Mutex<Observations>,
    is_over: AtomicBool,
    /// Number of the next idempotency key.
    next_write: AtomicU64,
    /// Number of the next imported key to revoke.
    next_revoked: AtomicU64,
}

impl Load {
    pub(super) fn new(site: Site, project: &str) -> Self {
        Self {
            site: Mutex::new((0, site)),
            project: project.to_owned(),
            client: client(),
            observed: Mutex::default(),
            is_over: AtomicBool::new(false),
            next_write: AtomicU64::new(0),
            next_revoked: AtomicU64::new((KEYS - KEYS_TO_REVOKE) as u64),
        }
    }

    /// Starts all clients.
    pub(super) fn start(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let users = (0..USERS).map(|seed| {
            let load = Arc::clone(self);
            tokio::spawn(async move { load.use_keys(seed).await })
        });
        let writers = (0..WRITERS).map(|_| {
            let load = Arc::clone(self);
            tokio::spawn(async move { load.write_keys().await })
        });
        users.chain(writers).collect()
    }

    /// Begins the second half.
    pub(super) fn move_to(&self, site: Site) {
        let used = &mut *self.observed.lock().unwrap();
        used.used_in_first_half = used.used.clone();
        *self.site.lock().unwrap() = (1, site);
    }

    pub(super) fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn observed(&self) -> Observations {
        self.observed.lock().unwrap().clone()
    }

    /// Waits until the current half has that many uses and acknowledged writes.
    pub(super) async fn await_half(&self, uses: u64, writes: usize) {
        let half = self.site.lock().unwrap().0;
        loop {
            {
                let observed = self.observed.lock().unwrap();
                assert_eq!(observed.violations, Vec::<String>::new());
                if observed.halves[half].uses >= uses && observed.halves[half].writes >= writes {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Uses a key, again until there is a response 200.
    pub(super) async fn use_key(&self, value: String) {
        while !self.try_use(&value).await {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Checks that a key is not accepted.
    pub(super) async fn reject_key(&self, value: String) {
        let url = self.site.lock().unwrap().1.gateway.clone();
        let status = self.client.get(url).header("x-api-key", &value).send().await.unwrap().status();
        if status != 401 {
            self.observed.lock().unwrap().violations.push(format!("{value} was revoked, and got {status}"));
        }
    }

    async fn use_keys(&self, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        while !self.is_over.load(Ordering::Relaxed) {
            let of = if rng.random_range(0..2) == 0 { BUSY_KEYS } else { KEYS - KEYS_TO_REVOKE };
            if !self.try_use(&imported_value(rng.random_range(0..of))).await {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Uses a valid key once. Returns whether there was a response 200.
    async fn try_use(&self, value: &str) -> bool {
        let (half, url) = self.gateway();
        let sent = self.client.get(url).header("x-api-key", value).send().await;
        let mut observed = self.observed.lock().unwrap();
        match sent {
            Ok(response) if response.status() == 200 => {
                observed.used.insert(value.to_owned());
                let half = &mut observed.halves[half];
                half.uses += 1;
                half.last_use = Some(Instant::now());
                half.first_use = half.first_use.or(half.last_use);
                return true;
            }
            Ok(response) => observed.violations.push(format!("{value} is valid, and got {}", response.status())),
            Err(error) if error.is_connect() => {}
            Err(_) => *observed.unanswered.entry(value.to_owned()).or_default() += 1,
        }
        false
    }

    fn gateway(&self) -> (usize, String) {
        let site = self.site.lock().unwrap();
        (site.0, site.1.gateway.clone())
    }

    /// Creates keys and uses every second one. Revokes every third one, and as many imported ones, of which it has used
    /// every second one.
    async fn write_keys(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.next_write.fetch_add(1, Ordering::Relaxed);
            let value = self.create_key(number).await;
            if number.is_multiple_of(2) {
                self.use_key(value.clone()).await;
            }
            if number.is_multiple_of(3) {
                self.revoke_key(&value).await;
                let imported = self.next_revoked.fetch_add(1, Ordering::Relaxed) as usize;
                if imported >= KEYS {
                    continue;
                }
                if imported.is_multiple_of(2) {
                    self.use_key(imported_value(imported)).await;
                }
                self.revoke_key(&imported_value(imported)).await;
            }
        }
    }

    /// Returns the value of a new key.
    async fn create_key(&self, number: u64) -> String {
        let body = json!({"name": "created", "projectId": self.project}).to_string();
        let text = self.write(Method::POST, "/api-keys", &body, number).await;
        let key: Value = serde_json::from_str(&text).unwrap();
        let (id, value) = (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned());
        self.observed.lock().unwrap().created.insert(id, value.clone());
        value
    }

    async fn revoke_key(&self, value: &str) {
        let number = self.next_write.fetch_add(1, Ordering::Relaxed);
        self.write(Method::DELETE, &format!("/api-keys/{value}"), "", number).await;
        self.observed.lock().unwrap().revoked.insert(value.to_owned());
    }

    /// Sends a change, again with the same idempotency key until it is acknowledged, and returns the body of the response.
    /// An account may have only so many stored responses a second: 429.
    async fn write(&self, method: Method, path: &str, body: &str, number: u64) -> String {
        loop {
            let (half, Site { admin, .. }) = self.site.lock().unwrap().clone();
            let request = self.client.request(method.clone(), format!("http://{}{path}", admin.address));
            let request = request.header("x-api-key", &admin.access_key).header("idempotency-key", format!("{number}"));
            let sent = async { request.body(body.to_owned()).send().await?.error_for_status()?.text().await };
            match sent.await {
                Ok(text) => {
                    let half = &mut self.observed.lock().unwrap().halves[half];
                    half.writes += 1;
                    half.last_write = Some(Instant::now());
                    half.first_write = half.first_write.or(half.last_write);
                    return text;
                }
                Err(error) if error.status().is_some_and(|status| status != 503 && status != 429) => {
                    self.observed.lock().unwrap().violations.push(format!("{method} {path}: {error}"));
                }
                Err(_) => {}
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}
