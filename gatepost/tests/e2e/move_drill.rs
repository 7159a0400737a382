//! Drill of a move: 100,000 keys go from one process with an embedded store to Redis with `gatepost store copy`, while
//! clients use keys and create and revoke others all the time. No acknowledged write is lost, each key has one first use
//! over both stores, each event is delivered once, and usage goes on.

mod books;
mod load;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use gatepost_test_support::{MockServer, RedisServer};
use serde_json::Value;
use tokio::time::Instant;

use crate::admin::Admin;
use crate::listen::outcome;
use crate::process::{EMPTY_DIRECTORY, Gatepost, run};
use crate::single_process::read_first_access_key;

use books::Books;
use load::{Load, Site};

/// Imported keys.
const KEYS: usize = 100_000;
/// The last imported keys, which only the writers use, and then revoke.
const KEYS_TO_REVOKE: usize = 5_000;
/// What each half of the load has done at least, before and after the move.
const USES: u64 = 20_000;
const WRITES: usize = 500;
/// Deliveries that the receiver refuses before the process stops, so that they wait for their next attempt.
const REFUSED_DELIVERIES: usize = 200;
/// Maximum time without a new delivery until all have arrived.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(60);
/// Clients that check all keys at the end.
const CHECKS_AT_A_TIME: usize = 8;
/// So high that the revoked keys, all from one address, are not refused.
const MAX_WRONG_KEYS: (&str, &str) = ("GATEPOST_GATEWAY__MAX_WRONG_KEYS_A_MINUTE", "60000");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_keys_move_to_redis_under_load_and_nothing_is_lost_or_happens_twice() {
    let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
    let to_refuse = Arc::new(AtomicUsize::new(0));
    let receiver = refusing_receiver(&to_refuse);
    let arguments = ["up", "--upstream", &origin.url()];
    let mut up = Gatepost::start_with(directory.path(), &arguments, &[MAX_WRONG_KEYS]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let project = admin.create_project().await;
    import_keys(directory.path(), &project);
    admin.create_webhook(&receiver.url()).await;

    let load = Arc::new(Load::new(Site { admin: admin.clone(), gateway: up.url("/x") }, &project));
    let clients = load.start();
    load.await_half(USES, WRITES).await;
    let before = Books::read(directory.path(), &admin).await;
    to_refuse.store(REFUSED_DELIVERIES, Ordering::Relaxed);
    await_none_left(&to_refuse).await;

    let began = Instant::now();
    assert_eq!(tokio::task::block_in_place(|| up.terminate()), Some(0));
    let stopped = began.elapsed();
    let redis = RedisServer::start();
    let began = Instant::now();
    let entries = tokio::task::block_in_place(|| copy(directory.path(), &redis.url()));
    let copied = began.elapsed();
    let began = Instant::now();
    let on_redis = [MAX_WRONG_KEYS, ("GATEPOST_STORE__URL", &redis.url())];
    let up = Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &arguments, &on_redis).await;
    let admin = Admin::new(up.admin.unwrap(), &admin.access_key);
    load.move_to(Site { admin: admin.clone(), gateway: up.url("/x") });
    let started = began.elapsed();

    load.await_half(USES, WRITES).await;
    load.stop();
    for client in clients {
        client.await.unwrap();
    }
    check_keys(&load).await;
    let (after, observed) = (Books::read(directory.path(), &admin).await, load.observed());
    let deliveries = await_deliveries(&receiver, &after.event_ids(&observed)).await;
    before.check_kept_in(&after);
    after.check_against(&observed);
    after.check_usage(&admin, &project, &observed).await;
    let downtime = |half: [&Option<Instant>; 2]| half[1].unwrap().duration_since(half[0].unwrap()).as_secs_f64();
    report(&format!(
        "{KEYS} keys and {entries} entries moved to Redis: {:.1} s from the last 200 of the gateway to the first one on \
         Redis, {:.1} s from the last write to the next (stop {:.1} s, copy {:.1} s, start {:.1} s); {} and {} uses, {} \
         keys created and {} revoked, {} first uses, {deliveries} events delivered once; no acknowledged write lost, no \
         first use twice",
        downtime([&observed.halves[0].last_use, &observed.halves[1].first_use]),
        downtime([&observed.halves[0].last_write, &observed.halves[1].first_write]),
        stopped.as_secs_f64(),
        copied.as_secs_f64(),
        started.as_secs_f64(),
        observed.halves[0].uses,
        observed.halves[1].uses,
        observed.created.len(),
        observed.revoked.len(),
        after.first_uses.len(),
    ));
}

/// Returns a receiver that refuses as many deliveries as it is told to.
fn refusing_receiver(to_refuse: &Arc<AtomicUsize>) -> MockServer {
    let to_refuse = Arc::clone(to_refuse);
    MockServer::with_statuses(move |_| {
        let left = to_refuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        (if left.is_ok() { 500 } else { 200 }, Duration::ZERO)
    })
}

async fn await_none_left(to_refuse: &AtomicUsize) {
    let refusing = async {
        while to_refuse.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DELIVERY_DEADLINE, refusing).await.unwrap();
}

/// Returns the value of an imported key.
fn imported_value(number: usize) -> String {
    format!("imported-key-{number:012}")
}

/// Imports all keys into the running process.
fn import_keys(directory: &Path, project: &str) {
    let rows: String = (0..KEYS).map(|number| format!("{},{number}\n", imported_value(number))).collect();
    std::fs::write(directory.join("keys.csv"), format!("key,name\n{rows}")).unwrap();
    let import = ["import", "--store", "embedded:gatepost-data", "--format", "csv", "--project", project, "keys.csv"];
    let (code, stdout, stderr) = outcome(&run(directory, &import));
    assert!(code == Some(0) && stdout.starts_with(&format!("{KEYS} rows: {KEYS} created")), "{stdout}{stderr}");
}

/// Copies the store as an operator does, and returns the number of entries that it has.
fn copy(directory: &Path, url: &str) -> u64 {
    let arguments = ["store", "copy", "--from", "embedded:gatepost-data", "--to", url];
    let (code, stdout, stderr) = outcome(&run(directory, &arguments));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let counts =
        stdout.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()?.parse::<u64>().ok());
    counts.sum()
}

/// Checks that each created key and each key of the first half is accepted, and that no revoked one is.
async fn check_keys(load: &Load) {
    let observed = load.observed();
    let accepted = observed.created.values().chain(&observed.used_in_first_half);
    let accepted: Vec<String> = accepted.filter(|value| !observed.revoked.contains(*value)).cloned().collect();
    futures::stream::iter(accepted).for_each_concurrent(CHECKS_AT_A_TIME, |value| load.use_key(value)).await;
    let revoked = futures::stream::iter(observed.revoked);
    revoked.for_each_concurrent(CHECKS_AT_A_TIME, |value| load.reject_key(value)).await;
    assert_eq!(load.observed().violations, Vec::<String>::new());
}

/// Waits until the receiver has accepted every event of the store, and returns their number. None was accepted twice, and
/// none is unknown.
async fn await_deliveries(receiver: &MockServer, expected: &HashSet<String>) -> usize {
    let (mut progress_at, mut most) = (Instant::now(), 0);
    loop {
        let receipts = receiver.receipts();
        let mut accepted: HashMap<String, usize> = HashMap::new();
        for receipt in receipts.into_iter().filter(|receipt| receipt.status == 200) {
            *accepted.entry(receipt.webhook_id).or_default() += 1;
        }
        let twice: BTreeMap<&String, &usize> = accepted.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "accepted more than once: {twice:?}");
        let missing = expected.iter().filter(|id| !accepted.contains_key(*id)).count();
        if missing == 0 {
            let unknown: HashSet<&String> = accepted.keys().filter(|id| !expected.contains(*id)).collect();
            assert!(unknown.is_empty(), "not in the store: {unknown:?}");
            return accepted.len();
        }
        if accepted.len() > most {
            (progress_at, most) = (Instant::now(), accepted.len());
        }
        assert!(progress_at.elapsed() < DELIVERY_DEADLINE, "{missing} of {} events are missing", expected.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Runs a command of an operator over the admin API, and returns its lines of JSON.
fn export(directory: &Path, admin: &Admin, what: &str) -> Vec<Value> {
    let mut command = crate::process::command(directory, &["export", what]);
    command.env("GATEPOST_ADMIN_URL", format!("http://{}", admin.address));
    command.env("GATEPOST_ACCESS_KEY", &admin.access_key);
    let (code, stdout, stderr) = outcome(&tokio::task::block_in_place(|| command.output().unwrap()));
    assert_eq!(code, Some(0), "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[expect(clippy::print_stderr, reason = "measurements, shown with --nocapture")]
fn report(line: &str) {
    eprintln!("{line}");
}
