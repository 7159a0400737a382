//! Crashes and stops of the process that delivers.

use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer};
use serde_json::json;
use tokio::time::Instant;

use super::checker::{Crash, Evidence, Health};
use super::evidence;
use super::load::Account;
use crate::admin::{Admin, create_access_key};
use crate::fair_share::create_account;
use crate::process::Gatepost;

/// Duration of the crashes.
const CRASHING: Duration = Duration::from_secs(if cfg!(feature = "long") { 60 } else { 6 });
/// Interval between two crashes.
const CRASH_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum time for which a process is ready before it is killed, on a machine on which it starts slowly.
const MIN_LIFE: Duration = Duration::from_millis(500);
/// Maximum time until everything is delivered afterwards: leases of 30 s, on a loaded machine.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(120);
/// Number of stops in the middle of deliveries.
const STOPS: usize = if cfg!(feature = "long") { 10 } else { 2 };

/// Two accounts: one with receivers that answer at once, slowly, and not always; and another one.
async fn prepare_accounts(admin: &Admin) -> [Account; 2] {
    let (other, _) = create_account(admin).await;
    let (mut first, mut second) = (Account::new(admin).await, Account::new(&other).await);
    let slow = MockServer::with_statuses(|_| (200, Duration::from_millis(300)));
    let flaky = MockServer::with_statuses(|number| (if number % 3 == 0 { 500 } else { 200 }, Duration::ZERO));
    first.add("quick", Health::Healthy, MockServer::start(), json!({})).await;
    first.add("slow", Health::Healthy, slow, json!({})).await;
    first.add("flaky", Health::Healthy, flaky, json!({"retrySchedule": [1, 1, 1, 1, 1, 1]})).await;
    second.add("of another account", Health::Healthy, MockServer::start(), json!({})).await;
    [first, second]
}

/// Starts the control plane and kills it, until a deadline. Then starts it for good.
async fn crash_until(deadline: Instant, url: &str, accounts: &[Account]) -> (Gatepost, Vec<Crash>) {
    let mut crashes = Vec::new();
    loop {
        let next_crash = Instant::now() + CRASH_INTERVAL;
        let mut process = Gatepost::start_on_store(url, &["control-plane"]).await;
        accounts.iter().for_each(|account| account.use_address(process.admin.unwrap()));
        if Instant::now() >= deadline {
            return (process, crashes);
        }
        tokio::time::sleep_until(next_crash.max(Instant::now() + MIN_LIFE)).await;
        let from = Instant::now();
        process.kill();
        crashes.push(Crash { from, until: Instant::now() });
    }
}

#[cfg_attr(feature = "long", tokio::test(flavor = "multi_thread", worker_threads = 2))]
pub(super) async fn killing_the_control_plane_every_second_repeats_only_what_was_in_flight() {
    let redis = RedisServer::start();
    let (url, access_key) = (redis.url(), create_access_key(&redis.url()));
    let mut process = Gatepost::start_on_store(&url, &["control-plane"]).await;
    let accounts = prepare_accounts(&Admin::new(process.admin.unwrap(), &access_key)).await;
    assert_eq!(process.terminate(), Some(0));
    let deadline = Instant::now() + CRASHING;
    let ((_process, crashes), (), ()) = tokio::join!(
        crash_until(deadline, &url, &accounts),
        accounts[0].create_keys_until(deadline),
        accounts[1].create_keys_until(deadline)
    );
    let known = Evidence { crashes, faults_ended_at: Some(Instant::now()), ..Evidence::default() };
    evidence::check("crashes", &accounts.each_ref(), known, &[], DELIVERY_DEADLINE).await;
}

#[cfg_attr(feature = "long", tokio::test(flavor = "multi_thread", worker_threads = 2))]
pub(super) async fn stopping_the_control_plane_in_the_middle_of_deliveries_repeats_none() {
    let redis = RedisServer::start();
    let (url, access_key) = (redis.url(), create_access_key(&redis.url()));
    let mut process = Gatepost::start_on_store(&url, &["control-plane"]).await;
    let mut account = Account::new(&Admin::new(process.admin.unwrap(), &access_key)).await;
    // Shorter than what a stop waits for attempts.
    let slow = MockServer::with_statuses(|_| (200, Duration::from_secs(1)));
    account.add("slow", Health::Healthy, slow.clone(), json!({})).await;
    account.add("quick", Health::Healthy, MockServer::start(), json!({})).await;
    for _ in 0..STOPS {
        let received = slow.request_count();
        account.create_keys(20).await;
        assert!(slow.await_count(received + 1, DELIVERY_DEADLINE) > received, "no delivery is in flight");
        assert_eq!(process.terminate(), Some(0));
        process = Gatepost::start_on_store(&url, &["control-plane"]).await;
        account.use_address(process.admin.unwrap());
    }
    evidence::check("stops", &[&account], Evidence::default(), &[], DELIVERY_DEADLINE).await;
}
