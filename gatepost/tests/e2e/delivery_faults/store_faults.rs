//! A store that restarts, or stops answering for some seconds.

use std::time::Duration;

use gatepost_test_support::MockServer;
use serde_json::json;
use tokio::time::Instant;

use super::checker::{Crash, Evidence, Health};
use super::evidence;
use super::load::Account;
use crate::test_cluster::TestCluster;

/// Number of restarts, and of pauses of each kind, one after the other.
const FAULTS: u32 = if cfg!(feature = "long") { 5 } else { 1 };
/// Duration of each fault. An operation of the store fails after 5 s, a lease after 30 s.
const FAULT: Duration = Duration::from_secs(7);
/// Time between two faults.
const BETWEEN: Duration = Duration::from_secs(2);
/// Maximum time until everything is delivered afterwards: leases of 30 s, on a loaded machine.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(90);

/// Returns an account with receivers that answer at once and slowly.
async fn prepare_account(cluster: &TestCluster) -> Account {
    let mut account = Account::new(&cluster.admin).await;
    let slow = MockServer::with_statuses(|_| (200, Duration::from_millis(300)));
    account.add("slow", Health::Healthy, slow, json!({})).await;
    account.add("quick", Health::Healthy, MockServer::start(), json!({})).await;
    account
}

/// Returns the end of the load: some time after the last of these faults.
fn load_deadline(faults: u32) -> Instant {
    Instant::now() + (FAULT + BETWEEN) * faults + BETWEEN
}

#[cfg_attr(feature = "long", tokio::test(flavor = "multi_thread", worker_threads = 2))]
pub(super) async fn restarts_of_redis_repeat_only_what_was_in_flight() {
    let mut cluster = TestCluster::start(0).await;
    let account = prepare_account(&cluster).await;
    let load = account.create_keys_until(load_deadline(FAULTS));
    let restarts = async {
        let mut crashes = Vec::new();
        for _ in 0..FAULTS {
            tokio::time::sleep(BETWEEN).await;
            let from = Instant::now();
            // What Redis acknowledges while it syncs its file is lost if it is killed then.
            cluster.redis.kill();
            crashes.push(Crash { from, until: Instant::now() });
            tokio::time::sleep(FAULT).await;
            cluster.redis.resume();
        }
        crashes
    };
    let (crashes, ()) = tokio::join!(restarts, load);
    let known = Evidence { crashes, faults_ended_at: Some(Instant::now()), ..Evidence::default() };
    evidence::check("restarts of Redis", &[&account], known, &[], DELIVERY_DEADLINE).await;
}

#[cfg_attr(feature = "long", tokio::test(flavor = "multi_thread", worker_threads = 2))]
pub(super) async fn pauses_of_redis_repeat_nothing() {
    let cluster = TestCluster::start(0).await;
    let account = prepare_account(&cluster).await;
    let load = account.create_keys_until(load_deadline(2 * FAULTS));
    let pauses = async {
        for _ in 0..FAULTS {
            tokio::time::sleep(BETWEEN).await;
            cluster.redis.signal("-STOP");
            tokio::time::sleep(FAULT).await;
            cluster.redis.signal("-CONT");
            tokio::time::sleep(BETWEEN).await;
            let ms = FAULT.as_millis().to_string();
            assert_eq!(cluster.redis.redis_cli(&["client", "pause", &ms, "all"]), "OK");
            tokio::time::sleep(FAULT).await;
        }
    };
    tokio::join!(pauses, load);
    let known = Evidence { faults_ended_at: Some(Instant::now()), ..Evidence::default() };
    evidence::check("pauses of Redis", &[&account], known, &[], DELIVERY_DEADLINE).await;
}
