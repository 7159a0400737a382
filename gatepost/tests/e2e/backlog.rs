//! A million events without a running deliverer: the stream stays within its limit, keys are still accepted, and every
//! written event is delivered or counted as dropped.

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

/// Maximum number of stream entries, all of which wait for a deliverer.
const MAX_ENTRIES: usize = 1_000_000;
/// Number of concurrent writers.
const WRITERS: usize = 64;
/// Maximum time to fill the stream, and for a deliverer to drain it.
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
    // Revocations are still accepted.
    admin.revoke_key(&keys[0].0).await;
    let refusing = async { while get_status(&gateway.url("/x"), &keys[0].0).await != 401 {} };
    assert!(tokio::time::timeout(Duration::from_secs(20), refusing).await.is_ok());
    report(&format!(
        "{written} events in {:.0} s, {entries} entries; a request with a key took {:.1} ms before, at most {:.1} ms \
         while they were written, {:.1} ms at the limit",
        began.elapsed().as_secs_f64(),
        to_ms(idle),
        to_ms(waits),
        to_ms(latency(&gateway, &steady).await),
    ));

    let deliverer = Gatepost::start_on_store(&url, &["deliverer"]).await;
    await_all(&receiver, &deliverer, written).await;
}

/// Waits until every event was delivered, or counted as dropped from the full queue.
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
    let dropped = dropped.unwrap_or_else(|_| panic!("only {received} of {written} were received"));
    assert!(received + dropped >= written, "every undelivered event is counted as dropped");
    report(&format!(
        "{received} delivered and {dropped} dropped from the full queue, all counted, in {:.0} s",
        began.elapsed().as_secs_f64()
    ));
}

/// Changes a key repeatedly until the stream is full.
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

/// Uses a key until the stream is full, and returns the duration of the slowest request.
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

#[expect(clippy::print_stderr, reason = "measurements, shown with --nocapture")]
fn report(line: &str) {
    eprintln!("{line}");
}
