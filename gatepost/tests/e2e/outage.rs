//! Outages of Redis, and a Redis that was replaced by an empty one.

use std::time::Duration;

use gatepost_test_support::MockServer;
use tokio::time::Instant;

use crate::test_cluster::{DEADLINE, TestCluster};
use crate::webhooks;

/// Returns a generated key that no store contains.
fn unknown_key() -> String {
    let mut rng = gatepost_store::os_rng();
    gatepost_domain::key::generate_api_key(gatepost_domain::key::Env::Live, &mut rng).expose().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valid_keys_keep_working_for_ten_seconds_without_redis() {
    let mut cluster = TestCluster::start(2).await;
    let receiver = MockServer::start();
    cluster.admin.create_webhook(&receiver.url()).await;
    let project = cluster.admin.create_project().await;
    let (cached, _) = cluster.admin.create_api_key(&project).await;
    let (uncached, uncached_id) = cluster.admin.create_api_key(&project).await;
    for gateway in 0..2 {
        assert_eq!(cluster.get_status(gateway, &cached).await, 200);
    }
    cluster.redis.kill();
    let down_since = Instant::now();
    while down_since.elapsed() < Duration::from_secs(10) {
        for gateway in 0..2 {
            assert_eq!(cluster.get_status(gateway, &cached).await, 200, "cached, after {:?}", down_since.elapsed());
            assert_eq!(cluster.get_status(gateway, &uncached).await, 503, "uncached, after {:?}", down_since.elapsed());
            assert_eq!(
                cluster.get_status(gateway, &unknown_key()).await,
                503,
                "unknown, after {:?}",
                down_since.elapsed()
            );
            let (status, report) = cluster.gateways[gateway].readiness().await;
            assert_eq!(status, 200, "load balancers would stop using it: {report}");
        }
    }
    for gateway in &cluster.gateways {
        let (_, report) = gateway.readiness().await;
        assert!(report.contains("store: unavailable; keys in the cache are accepted"), "{report}");
    }
    let (status, report) = cluster.control_plane.readiness().await;
    assert_eq!(status, 503);
    assert!(report.contains(r#""store":"unavailable""#), "{report}");
    cluster.redis.resume();
    for gateway in 0..2 {
        cluster.await_status(gateway, &uncached, 200).await;
        cluster.await_status(gateway, &unknown_key(), 401).await;
        assert_eq!(cluster.get_status(gateway, &cached).await, 200);
    }
    // The control plane and its deliverer have recovered too: two creations and two first uses.
    assert_eq!(receiver.await_count(4, DEADLINE), 4);
    let first_uses = webhooks::bodies_of_topic(&receiver.take_requests(), "api-key.firstUsed");
    assert_eq!(first_uses.iter().filter(|body| body["data"]["id"] == uncached_id.as_str()).count(), 1);
    cluster.admin.revoke_key(&cached).await;
    cluster.await_status(0, &cached, 401).await;
    cluster.await_status(1, &cached, 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_redis_is_an_outage_and_not_an_empty_store() {
    let mut cluster = TestCluster::start(1).await;
    let project = cluster.admin.create_project().await;
    let (cached, _) = cluster.admin.create_api_key(&project).await;
    let (uncached, _) = cluster.admin.create_api_key(&project).await;
    assert_eq!(cluster.get_status(0, &cached).await, 200);
    cluster.redis.erase();
    cluster.redis.resume();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert_eq!(cluster.get_status(0, &uncached).await, 503, "after {:?}", began.elapsed());
        assert_eq!(cluster.get_status(0, &cached).await, 200, "after {:?}", began.elapsed());
    }
    let response = cluster.admin.send(reqwest::Method::GET, "/projects", String::new()).await;
    assert_eq!(response.status(), 503);
    let (status, report) = cluster.control_plane.readiness().await;
    assert_eq!(status, 503);
    assert!(report.contains(r#""store":"wrong-store""#), "{report}");
    let (status, report) = cluster.gateways[0].readiness().await;
    assert_eq!(status, 200);
    assert!(report.contains("store: wrong-store; keys in the cache are accepted"), "{report}");
}
