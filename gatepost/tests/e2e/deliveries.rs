//! Deliveries during crashes and failures.

use std::collections::HashSet;
use std::time::Duration;

use gatepost_test_support::{Gate, MockServer, Reply};

use crate::process::Gatepost;
use crate::test_cluster::{DEADLINE, TestCluster};
use crate::webhooks;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_control_plane_during_deliveries_loses_none() {
    let mut cluster = TestCluster::start(0).await;
    // The first five get a response. At the kill some are in flight and the others are queued.
    let gate = Gate::default();
    let held = gate.clone();
    let receiver = MockServer::with_script(move |number| Reply {
        status: 200,
        gate: (number >= 5).then(|| held.clone()),
        ..Reply::default()
    });
    let secret = cluster.admin.create_webhook(&receiver.url()).await;
    let project = cluster.admin.create_project().await;
    let mut created = HashSet::new();
    for _ in 0..60 {
        created.insert(cluster.admin.create_api_key(&project).await.1);
    }
    assert!(receiver.await_count(6, DEADLINE) < 60, "all were sent before the kill");
    cluster.control_plane.kill();
    gate.open();
    let before = receiver.take_requests();
    let _again = Gatepost::start_on_store(&cluster.redis.url(), &["control-plane"]).await;
    // Deliveries that were in flight are sent again when their lease of 30 s has expired.
    let deadline = Duration::from_secs(60);
    let mut received = before;
    let mut delivered = created_key_ids(&received);
    let mut count = received.len();
    while delivered != created {
        count += 1;
        assert!(
            receiver.await_count(count, deadline) >= count,
            "{} of {} were received",
            delivered.len(),
            created.len()
        );
        received.extend(receiver.take_requests());
        count = count.max(received.len());
        delivered = created_key_ids(&received);
    }
    webhooks::verify(&secret, &received);
}

fn created_key_ids(requests: &[gatepost_test_support::RecordedRequest]) -> HashSet<String> {
    let created = webhooks::bodies_of_topic(requests, "api-key.created");
    created.iter().map(|body| body["data"]["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_delivery_is_retried_with_the_same_id_and_does_not_delay_others() {
    let cluster = TestCluster::start(0).await;
    let failing = MockServer::with_statuses(|number| (if number == 0 { 500 } else { 200 }, Duration::ZERO));
    let healthy = MockServer::start();
    cluster.admin.create_webhook(&failing.url()).await;
    cluster.admin.create_webhook(&healthy.url()).await;
    let project = cluster.admin.create_project().await;
    cluster.admin.create_api_key(&project).await;
    assert_eq!(healthy.await_count(1, Duration::from_secs(4)), 1);
    assert_eq!(failing.await_count(2, DEADLINE), 2);
    let attempts = failing.take_requests();
    assert_eq!(attempts[0].header("webhook-id"), attempts[1].header("webhook-id"));
    assert_eq!(attempts[0].body, attempts[1].body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_returns_deliveries_at_once() {
    let mut cluster = TestCluster::start(0).await;
    // The first response takes longer than the stop.
    let slow = MockServer::with_statuses(|number| (200, Duration::from_secs(if number == 0 { 14 } else { 0 })));
    cluster.admin.create_webhook(&slow.url()).await;
    let project = cluster.admin.create_project().await;
    cluster.admin.create_api_key(&project).await;
    assert_eq!(slow.await_count(1, DEADLINE), 1);
    assert_eq!(cluster.control_plane.terminate(), Some(0));
    let _again = Gatepost::start_on_store(&cluster.redis.url(), &["control-plane"]).await;
    assert_eq!(slow.await_count(2, Duration::from_secs(10)), 2, "the delivery waited until its lease expired");
    let attempts = slow.take_requests();
    assert_eq!(attempts[0].header("webhook-id"), attempts[1].header("webhook-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_wakes_after_its_lease_acknowledges_nothing() {
    let cluster = TestCluster::start(0).await;
    let slow = MockServer::with_statuses(|number| (200, Duration::from_secs(if number == 0 { 3 } else { 0 })));
    cluster.admin.create_webhook(&slow.url()).await;
    let project = cluster.admin.create_project().await;
    cluster.admin.create_api_key(&project).await;
    assert_eq!(slow.await_count(1, DEADLINE), 1);
    cluster.control_plane.signal("-STOP");
    let other = Gatepost::start_on_store(&cluster.redis.url(), &["deliverer"]).await;
    assert_eq!(slow.await_count(2, Duration::from_secs(45)), 2, "no other worker took it over");
    cluster.control_plane.signal("-CONT");
    let logged = async {
        while !cluster.control_plane.log().iter().any(|line| line.contains("settling failed: the lease has ended")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, logged).await.is_ok(), "{}", cluster.control_plane.log().join("\n"));
    assert!(other.metrics().await.contains("gatepost_deliveries_total{outcome=\"delivered\"} 1"));
    let attempts = slow.take_requests();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].header("webhook-id"), attempts[1].header("webhook-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_sent_before_an_outage_are_acknowledged_after_it_without_resending() {
    let mut cluster = TestCluster::start(0).await;
    let gate = Gate::default();
    let receiver = MockServer::with_gate(&gate);
    cluster.admin.create_webhook(&receiver.url()).await;
    let project = cluster.admin.create_project().await;
    cluster.admin.create_api_key(&project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    cluster.redis.kill();
    gate.open();
    let retried = async {
        while cluster
            .control_plane
            .log()
            .iter()
            .filter(|line| line.contains("settling a delivery failed, retrying in 1 s"))
            .count()
            < 8
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let tried = tokio::time::timeout(Duration::from_secs(28), retried).await;
    assert!(tried.is_ok(), "acknowledging was not retried: {}", cluster.control_plane.log().join("\n"));
    cluster.redis.resume();
    let acknowledged = async {
        loop {
            let metrics = cluster.control_plane.metrics().await;
            let is_none = |state: &str| metrics.contains(&format!("gatepost_delivery_queue{{state=\"{state}\"}} 0"));
            if metrics.contains("gatepost_deliveries_total{outcome=\"delivered\"} 1")
                && is_none("leased")
                && is_none("pending")
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, acknowledged).await.is_ok(), "it was not acknowledged");
    assert_eq!(receiver.request_count(), 1);
}
