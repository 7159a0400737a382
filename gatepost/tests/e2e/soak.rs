//! Ten minutes of requests while keys are created, changed and revoked and webhooks are delivered: memory stays flat.

use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::admin::{Admin, client, create_access_key};
use crate::process::Gatepost;

/// Duration of the test.
const SOAK_DURATION: Duration = Duration::from_secs(600);
/// Interval between two memory samples.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// Number of parts of the test. The last is compared with the one before it; caches fill in the first ones.
const PARTS: usize = 4;
/// Maximum growth from the second to last part to the last. Resident memory is not an exact measure.
const MAX_GROWTH_KIB: u64 = 4096;
/// Smaller than the number of keys, so that the cache is soon full.
const CACHE_CAPACITY: (&str, &str) = ("GATEPOST_GATEWAY__CACHE_CAPACITY", "1000");
/// So high that the unknown values of this test, all from one address, are not refused.
const MAX_WRONG_KEYS: (&str, &str) = ("GATEPOST_GATEWAY__MAX_WRONG_KEYS_A_MINUTE", "60000");
/// Number of clients, and number of keys that each has at a time.
const CLIENTS: u64 = 4;
const KEYS_AT_A_TIME: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_during_ten_minutes_of_churn() {
    let (redis, origin, receiver) = (RedisServer::start(), MockServer::start(), MockServer::start());
    let url = redis.url();
    let access_key = create_access_key(&url);
    let directory = std::path::Path::new("/tmp");
    let control_plane = Gatepost::start_with(directory, &["control-plane", "--store", &url], &[]).await;
    let arguments = ["gateway", "--store", &url, "--upstream", &origin.url()];
    let gateway = Gatepost::start_with(directory, &arguments, &[CACHE_CAPACITY, MAX_WRONG_KEYS]).await;
    let admin = Admin::new(control_plane.admin.unwrap(), &access_key);
    admin.create_webhook(&receiver.url()).await;
    let project = admin.create_project().await;
    let deadline = Instant::now() + SOAK_DURATION;
    let churn = (0..CLIENTS).map(|seed| churn_keys(&admin, &gateway, &project, seed, deadline));
    let sampling = async {
        let mut samples = Vec::new();
        while Instant::now() < deadline {
            tokio::time::sleep(SAMPLE_INTERVAL).await;
            // Data that the test collects must not count.
            let _ = (receiver.take_requests(), origin.take_requests());
            gateway.clear_log();
            control_plane.clear_log();
            samples.push((gateway.resident_kib(), control_plane.resident_kib()));
        }
        samples
    };
    let (created, samples) = tokio::join!(futures::future::join_all(churn), sampling);
    let of_gateway: Vec<u64> = samples.iter().map(|(gateway, _)| *gateway).collect();
    let of_control_plane: Vec<u64> = samples.iter().map(|(_, control_plane)| *control_plane).collect();
    let (created, first): (u64, _) = (created.iter().sum(), samples[0]);
    report(&format!(
        "{created} keys created, used, changed and revoked; KiB of gateway and control plane: {first:?} to {:?}",
        samples.last()
    ));
    assert_flat("the gateway", &of_gateway);
    assert_flat("the control plane with its deliverer", &of_control_plane);
}

/// Creates keys, uses and changes them, and revokes the oldest ones. Returns the number of created keys.
async fn churn_keys(admin: &Admin, gateway: &Gatepost, project: &str, seed: u64, deadline: Instant) -> u64 {
    let mut rng = StdRng::seed_from_u64(seed);
    let (client, mut keys, mut created) = (client(), Vec::new(), 0);
    let get_status = async |key: &str| {
        let response = client.get(gateway.url("/x")).header("x-api-key", key).send().await.unwrap();
        response.status().as_u16()
    };
    while Instant::now() < deadline {
        let (key, id) = admin.create_api_key(project).await;
        assert_eq!(get_status(&key).await, 200);
        keys.push((key, id));
        created += 1;
        for _ in 0..5 {
            let (key, _) = &keys[rng.random_range(0..keys.len())];
            assert_eq!(get_status(key).await, 200);
        }
        let (_, id) = &keys[rng.random_range(0..keys.len())];
        let change = json!({"name": format!("changed {created}")}).to_string();
        assert_eq!(admin.send(Method::PATCH, &format!("/api-keys/{id}"), change).await.status(), 200);
        assert_eq!(get_status(&format!("unknown-value-{seed}-{created}")).await, 401);
        if keys.len() > KEYS_AT_A_TIME {
            let (key, _) = keys.remove(0);
            admin.revoke_key(&key).await;
        }
    }
    created
}

fn assert_flat(whose: &str, kib: &[u64]) {
    let part = kib.len() / PARTS;
    let median = |part: &[u64]| {
        let mut sorted = part.to_vec();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    let (before, last) = (median(&kib[kib.len() - 2 * part..kib.len() - part]), median(&kib[kib.len() - part..]));
    assert!(last <= before + MAX_GROWTH_KIB, "{whose} grew from {before} KiB to {last} KiB: {kib:?}");
}

#[expect(clippy::print_stderr, reason = "measurements, shown with --nocapture")]
fn report(line: &str) {
    eprintln!("{line}");
}
