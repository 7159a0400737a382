//! Receivers that hang, drip, flood, reset, redirect, or ask to wait: none of them delays a healthy webhook, each ends
//! in a dead letter that says why, and none makes the deliverer do what it must not.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gatepost_test_support::MockServer;
use serde_json::{Value, json};

use super::bad_receivers::{self, Forbidden};
use super::checker::{Evidence, Health};
use super::evidence;
use super::load::Account;
use crate::fair_share::create_account;
use crate::test_cluster::TestCluster;

/// Number of keys that are created in each account.
const KEYS: usize = if cfg!(feature = "long") { 6 } else { 4 };
/// Maximum time for the first attempt at each receiver, 15 s each; in the long form also for all later ones, of which a
/// slow receiver gets one at a time.
const ATTEMPTS_DEADLINE: Duration = Duration::from_secs(if cfg!(feature = "long") { 400 } else { 60 });
/// Seconds after which a receiver that is busy wants to be asked again.
const BUSY_S: u64 = 3;
/// Maximum number of bytes that are in flight between two sockets.
const MAX_BUFFERED_BYTES: u64 = 64 << 20;
/// Maximum growth of the process, which would be 1 GiB if it read a whole body.
const MAX_GROWTH_KIB: u64 = 128 << 10;

/// Classes of the errors that attempts at faulty receivers end with.
const ERROR_CLASSES: [(&str, &str); 9] = [
    ("hangs", "timeout"),
    ("drips the head", "timeout"),
    ("drips an error", "status"),
    ("floods an error", "status"),
    ("bombs an error", "status"),
    ("resets", "reset"),
    ("redirects", "status"),
    ("is not trusted", "tls"),
    ("is gone", "status"),
];
/// Receivers whose status says that they accept, whatever follows it.
const ACCEPTING: [&str; 3] = ["drips", "floods", "bombs"];

/// Adds webhooks for receivers that accept nothing, each with two attempts.
async fn add_rejecting(account: &mut Account, elsewhere: &Forbidden, bomb: &[u8], sent: &Arc<AtomicU64>) {
    let redirecting = bad_receivers::redirecting(&format!("http://{}/", elsewhere.address));
    let drips_error = "HTTP/1.1 500 Status\r\ncontent-type: text/plain\r\ncontent-length: 9000\r\n\r\n";
    for (name, receiver) in [
        ("hangs", bad_receivers::hanging()),
        ("drips the head", bad_receivers::dripping("HTTP/1.1 200 OK\r\nx-slow: ", 0)),
        ("drips an error", bad_receivers::dripping(drips_error, 500)),
        ("floods an error", bad_receivers::huge(500, sent)),
        ("bombs an error", bad_receivers::bombing(500, bomb)),
        ("redirects", redirecting),
        ("is gone", MockServer::with_statuses(|_| (410, Duration::ZERO))),
    ] {
        account.add(name, Health::Faulty, receiver, json!({"retrySchedule": [1]})).await;
    }
    for (name, url) in [("resets", bad_receivers::resetting()), ("is not trusted", bad_receivers::untrusted())] {
        let members = json!({"retrySchedule": [1], "url": url});
        account.add(name, Health::Faulty, MockServer::start(), members).await;
    }
}

/// Adds webhooks for receivers that accept in an unusual way.
async fn add_accepting(account: &mut Account, bomb: &[u8], sent: &Arc<AtomicU64>) {
    let drip = "HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n";
    for (name, receiver) in [
        ("drips", bad_receivers::dripping(drip, 200)),
        ("floods", bad_receivers::huge(200, sent)),
        ("bombs", bad_receivers::bombing(200, bomb)),
        ("is busy for seconds", bad_receivers::busy(KEYS, || BUSY_S.to_string())),
        ("is busy until a date", bad_receivers::busy(KEYS, || bad_receivers::http_date_in(BUSY_S + 1))),
    ] {
        account.add(name, Health::Healthy, receiver, json!({"retrySchedule": [1, 1, 1, 1, 1, 1]})).await;
    }
}

/// Waits until each rejecting receiver has been attempted; in the long form, until all its deliveries are dead. Returns
/// an attempt at each.
async fn await_attempts(account: &Account) -> Vec<(&'static str, Value)> {
    let mut attempts = Vec::new();
    for (name, _) in ERROR_CLASSES {
        let attempted = async {
            loop {
                if let Some(attempt) = find_attempt(account, name).await {
                    return attempt;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let attempt = tokio::time::timeout(ATTEMPTS_DEADLINE, attempted).await;
        attempts.push((name, attempt.unwrap_or_else(|_| panic!("the receiver that {name} was not attempted"))));
    }
    attempts
}

async fn find_attempt(account: &Account, name: &str) -> Option<Value> {
    let (admin, subject) = (account.admin(), account.subject(name));
    let events = account.committed().await;
    if cfg!(feature = "long") {
        let dead = subject.events_with_status(&admin, "dead").await;
        if !events.iter().all(|event| dead.contains(&event.id)) {
            return None;
        }
    }
    for event in events {
        if let Some(last) = subject.history(&admin, &event.id).await.pop() {
            return Some(last);
        }
    }
    None
}

/// Checks that a busy receiver got each delivery again, after the time that it asked for.
fn check_waited(account: &Account, name: &str) {
    let receipts = account.subject(name).receiver.receipts();
    assert_eq!(receipts.iter().filter(|receipt| receipt.status == 429).count(), KEYS, "{name}: {receipts:?}");
    for (number, busy) in receipts.iter().enumerate().filter(|(_, receipt)| receipt.status == 429) {
        let again = receipts[number + 1..].iter().find(|receipt| receipt.webhook_id == busy.webhook_id).unwrap();
        let waited = again.arrived_at - busy.arrived_at;
        assert!(waited >= Duration::from_secs(BUSY_S), "{name}: attempted again after {waited:?}");
    }
}

#[cfg_attr(feature = "long", tokio::test(flavor = "multi_thread", worker_threads = 2))]
pub(super) async fn bad_receivers_delay_no_healthy_webhook_and_end_as_dead_letters() {
    let cluster = TestCluster::start(0).await;
    let (other, _) = create_account(&cluster.admin).await;
    let (mut account, mut other) = (Account::new(&cluster.admin).await, Account::new(&other).await);
    let (elsewhere, sent) = (Forbidden::listen(Ipv4Addr::LOCALHOST, 0), Arc::default());
    let bomb = bad_receivers::gzip_bomb();
    add_rejecting(&mut account, &elsewhere, &bomb, &sent).await;
    add_accepting(&mut account, &bomb, &sent).await;
    account.add("healthy", Health::Healthy, MockServer::start(), json!({})).await;
    other.add("of another account", Health::Healthy, MockServer::start(), json!({})).await;
    let memory_before_kib = cluster.control_plane.resident_kib();
    account.create_keys(KEYS).await;
    other.create_keys(KEYS).await;
    let attempts = await_attempts(&account).await;
    for ((name, class), (_, attempt)) in ERROR_CLASSES.iter().zip(&attempts) {
        assert_eq!(attempt["errorClass"], *class, "{name}: {attempt}");
    }
    let accounts = [&account, &other];
    evidence::check("bad receivers", &accounts, Evidence::default(), &[elsewhere], ATTEMPTS_DEADLINE).await;
    for name in ACCEPTING {
        let receipts = account.subject(name).receiver.receipts();
        assert_eq!(receipts.len(), KEYS, "the receiver that {name} was sent something again");
    }
    check_waited(&account, "is busy for seconds");
    check_waited(&account, "is busy until a date");
    let requests = ["floods", "floods an error"].map(|name| account.subject(name).receiver.request_count() as u64);
    let sent = sent.load(Ordering::Relaxed) / requests.iter().sum::<u64>();
    assert!(sent <= MAX_BUFFERED_BYTES, "{sent} bytes of each response were read");
    let grown_kib = cluster.control_plane.resident_kib().saturating_sub(memory_before_kib);
    assert!(grown_kib <= MAX_GROWTH_KIB, "the process grew by {grown_kib} KiB");
}
