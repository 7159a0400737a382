//! The wall clock of the store and the deliverer moves by an hour, forwards and back, while deliveries are in flight,
//! queued and waiting for a retry.

use std::path::Path;
use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer};
use serde_json::json;
use tokio::time::Instant;

use super::checker::{Crash, Evidence, Health};
use super::evidence;
use super::load::Account;
use super::shifted_clock::ShiftedClock;
use crate::admin::{Admin, create_access_key};
use crate::process::{EMPTY_DIRECTORY, Gatepost};

const HOUR_S: i64 = 3600;
/// Steps of the clock: an hour ahead and back, an hour behind and back.
const OFFSETS_S: [i64; 4] = [HOUR_S, 0, -HOUR_S, 0];
/// Number of times that these steps are made.
const ROUNDS: usize = if cfg!(feature = "long") { 3 } else { 1 };
/// Time between two steps.
const BETWEEN: Duration = Duration::from_secs(3);
/// Maximum time until everything is delivered afterwards.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(90);

/// Moves the clock, and returns the steps forwards: leases end with them, so what is in flight may be repeated.
async fn move_clock(clock: &ShiftedClock) -> Vec<Crash> {
    let (mut forwards, mut last_s) = (Vec::new(), 0);
    for ahead_s in OFFSETS_S.repeat(ROUNDS) {
        tokio::time::sleep(BETWEEN).await;
        let from = Instant::now();
        clock.set_ahead_s(ahead_s);
        if ahead_s > last_s {
            forwards.push(Crash { from, until: Instant::now() });
        }
        last_s = ahead_s;
    }
    forwards
}

#[cfg_attr(feature = "long", tokio::test(flavor = "multi_thread", worker_threads = 2))]
pub(super) async fn an_hour_forwards_and_back_loses_nothing_and_delays_nothing() {
    let clock = ShiftedClock::build();
    let environment = clock.environment();
    let mut redis = RedisServer::start().with_environment(&environment);
    redis.kill();
    redis.resume();
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let access_key = create_access_key(&redis.url());
    let arguments = ["control-plane", "--store", &redis.url()];
    let process = Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &arguments, &environment).await;
    let mut account = Account::new(&Admin::new(process.admin.unwrap(), &access_key)).await;
    let slow = MockServer::with_statuses(|_| (200, Duration::from_millis(500)));
    let flaky = MockServer::with_statuses(|number| (if number % 2 == 0 { 500 } else { 200 }, Duration::ZERO));
    account.add("quick", Health::Healthy, MockServer::start(), json!({})).await;
    account.add("slow", Health::Healthy, slow, json!({"maxInFlight": 8})).await;
    account.add("flaky", Health::Healthy, flaky, json!({"retrySchedule": vec![2; 10]})).await;
    let deadline = Instant::now() + BETWEEN * u32::try_from(OFFSETS_S.len() * ROUNDS + 1).unwrap();
    let (crashes, ()) = tokio::join!(move_clock(&clock), account.create_keys_until(deadline));
    let known = Evidence { crashes, faults_ended_at: Some(Instant::now()), ..Evidence::default() };
    evidence::check("steps of the clock", &[&account], known, &[], DELIVERY_DEADLINE).await;
}
