//! A million events while no deliverer runs: the stream stays inside its cap, keys are accepted as ever, and of what was
//! written every event is delivered or counted as given up.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use gatepost_test_support::{MockServer, RedisServer};
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::admin::{Admin, client, create_access_key};
use crate::process::Gatepost;
use crate::test_cluster::get_status;

/// Entries of the stream, all of which wait for a deliverer.
const MAX_ENTRIES: usize = 1_000_000;
/// Clients that write at the same time.
const WRITERS: usize = 64;
/// How long the stream may take to fill, and how long a deliverer may take to empty it.
const DEADLINE: Duration = Duration::from_secs(1200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_events_wait_inside_the_cap_and_none_is_lost_uncounted() {
    let (redis, origin, receiver) = (RedisServer::start(), MockServer::start(), MockServer::start());
    let url = redis.url();
    let access_key = create_access_key(&url);
    let limit = [("GATEPOST_EVENTS__MAX_ENTRIES", MAX_ENTRIES.to_string())];
    let limit = [(limit[0].0, limit[0].1.as_str())];
    let control_plane =
        Gatepost::start_with(Path::new("/tmp"), &["control-plane", "--no-deliverer", "--store", &url], &limit).await;
    let gateway = Gatepost::start_on_store(&url, &["gateway", "--upstream", &origin.url()]).await;
    let admin = Admin::new(control_plane.admin.unwrap(), &access_key);
    let webhook = json!({"name": "w", "url": receiver.url(), "topics": ["api-key.updated"]});
    admin.post("/webhooks", webhook).await;
    let project = admin.create_project().await;
    let (steady, _) = admin.create_api_key(&project).await;
    let mut keys = Vec::new();
    for _ in 0..WRITERS {
        keys.push(admin.create_api_key(&project).await);
    }

    let (written, is_full) = (AtomicUsize::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let writing = async {
        join_all(keys.iter().map(|(_, id)| write(&admin, id, &written, &is_full))).await;
    };
    let (_, idle) = (get_status(&gateway.url("/x"), &steady).await, latency(&gateway, &steady).await);
    let (waits, _) = tokio::join!(slowest_request_until_full(&gateway, &steady, &is_full), writing);
    let written = written.into_inner();
    let entries: usize = redis.redis_cli(&["xlen", "{gp}:stream"]).parse().unwrap();
    assert!(entries <= MAX_ENTRIES, "{entries} entries");
    assert!(written > MAX_ENTRIES - 1000, "only {written} were written");
    // A revocation goes on.
    admin.revoke_key(&keys[0].0).await;
    let refusing = async { while get_status(&gateway.url("/x"), &keys[0].0).await != 401 {} };
    assert!(tokio::time::timeout(Duration::from_secs(20), refusing).await.is_ok());
    report(&format!(
        "{written} events in {:.0} s, {entries} entries; a request with a key took {:.1} ms before, at the most {:.1} ms \
         while they were written, {:.1} ms at the cap",
        began.elapsed().as_secs_f64(),
        to_ms(idle),
        to_ms(waits),
        to_ms(latency(&gateway, &steady).await),
    ));

    let deliverer = Gatepost::start_on_store(&url, &["deliverer"]).await;
    await_all(&receiver, &deliverer, written).await;
}

/// Waits until every event was delivered, or counted as fallen out of the full queue.
async fn await_all(receiver: &MockServer, deliverer: &Gatepost, written: usize) {
    let began = Instant::now();
    let received = Mutex::new(HashSet::new());
    let emptied = async {
        loop {
            let new = receiver.take_requests();
            let ids = new.iter().flat_map(|request| request.header("webhook-id")).map(str::to_owned);
            received.lock().unwrap().extend(ids);
            let dropped = deliverer.metric("gatepost_overflowed_total").await as usize;
            if received.lock().unwrap().len() + dropped >= written {
                return dropped;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let dropped = tokio::time::timeout(DEADLINE, emptied).await;
    let received = received.into_inner().unwrap().len();
    let dropped = dropped.unwrap_or_else(|_| panic!("only {received} of {written} came"));
    assert!(received + dropped >= written, "what was not delivered is counted as fallen out of the full queue");
    report(&format!(
        "{received} delivered and {dropped} given up for the queue's bound, all counted, in {:.0} s",
        began.elapsed().as_secs_f64()
    ));
}

/// Changes a key again and again until the stream is full.
async fn write(admin: &Admin, id: &str, written: &AtomicUsize, is_full: &AtomicBool) {
    for number in 0.. {
        let body = json!({"name": format!("n{number}")}).to_string();
        let response = admin.send(Method::PATCH, &format!("/api-keys/{id}"), body).await;
        match response.status().as_u16() {
            200 => drop(written.fetch_add(1, Ordering::Relaxed)),
            503 => break,
            other => panic!("{other}: {}", response.text().await.unwrap()),
        }
    }
    is_full.store(true, Ordering::Relaxed);
}

/// Uses a key all the while, and answers how long the slowest request took.
async fn slowest_request_until_full(gateway: &Gatepost, key: &str, is_full: &AtomicBool) -> Duration {
    let mut slowest = Duration::ZERO;
    while !is_full.load(Ordering::Relaxed) {
        slowest = slowest.max(latency(gateway, key).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    slowest
}

async fn latency(gateway: &Gatepost, key: &str) -> Duration {
    let (client, url) = (client(), gateway.url("/x"));
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let began = Instant::now();
        let response = client.get(&url).header("x-api-key", key).send().await.unwrap();
        assert_eq!(response.status(), 200);
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

fn to_ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[expect(clippy::print_stderr, reason = "figures for whoever runs the test with --nocapture")]
fn report(line: &str) {
    eprintln!("{line}");
}
