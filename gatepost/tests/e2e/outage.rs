//! Redis gone, and Redis exchanged.

use std::time::Duration;

use gatepost_test_support::Origin;
use tokio::time::Instant;

use crate::site::{DEADLINE, Site};
use crate::webhooks;

/// A value of our form that no store knows.
fn unknown_key() -> String {
    let mut rng = gatepost_store::os_rng();
    gatepost_domain::key::generate_api_key(gatepost_domain::key::Env::Live, &mut rng).expose().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_seconds_without_redis_cost_no_valid_key_its_access() {
    let mut site = Site::start(2).await;
    let receiver = Origin::start();
    site.admin.webhook(&receiver.url()).await;
    let project = site.admin.project().await;
    let (cached, _) = site.admin.api_key(&project).await;
    let (uncached, uncached_id) = site.admin.api_key(&project).await;
    for gateway in 0..2 {
        assert_eq!(site.ask(gateway, &cached).await, 200);
    }
    site.redis.kill();
    let down = Instant::now();
    while down.elapsed() < Duration::from_secs(10) {
        for gateway in 0..2 {
            assert_eq!(site.ask(gateway, &cached).await, 200, "cached, after {:?}", down.elapsed());
            assert_eq!(site.ask(gateway, &uncached).await, 503, "uncached, after {:?}", down.elapsed());
            assert_eq!(site.ask(gateway, &unknown_key()).await, 503, "unknown, after {:?}", down.elapsed());
            let (status, report) = site.gateways[gateway].readiness().await;
            assert_eq!(status, 200, "nothing would be sent to it any more: {report}");
        }
    }
    for gateway in &site.gateways {
        let (_, report) = gateway.readiness().await;
        assert!(report.contains("store: unavailable; keys in the cache are accepted"), "{report}");
    }
    let (status, report) = site.control_plane.readiness().await;
    assert_eq!(status, 503);
    assert!(report.contains(r#""store":"unavailable""#), "{report}");
    site.redis.resume();
    for gateway in 0..2 {
        site.await_status(gateway, &uncached, 200).await;
        site.await_status(gateway, &unknown_key(), 401).await;
        assert_eq!(site.ask(gateway, &cached).await, 200);
    }
    // The control plane and its deliverer recovered as well: two created and two first uses.
    assert_eq!(receiver.await_count(4, DEADLINE), 4);
    let first_uses = webhooks::of_topic(&receiver.take(), "api-key.firstUsed");
    assert_eq!(first_uses.iter().filter(|body| body["data"]["id"] == uncached_id.as_str()).count(), 1);
    site.admin.delete_key(&cached).await;
    site.await_status(0, &cached, 401).await;
    site.await_status(1, &cached, 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchanged_redis_is_an_outage_and_not_a_store_without_keys() {
    let mut site = Site::start(1).await;
    let project = site.admin.project().await;
    let (cached, _) = site.admin.api_key(&project).await;
    let (uncached, _) = site.admin.api_key(&project).await;
    assert_eq!(site.ask(0, &cached).await, 200);
    site.redis.erase();
    site.redis.resume();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert_eq!(site.ask(0, &uncached).await, 503, "after {:?}", began.elapsed());
        assert_eq!(site.ask(0, &cached).await, 200, "after {:?}", began.elapsed());
    }
    let answer = site.admin.send(reqwest::Method::GET, "/projects", String::new()).await;
    assert_eq!(answer.status(), 503);
    let (status, report) = site.control_plane.readiness().await;
    assert_eq!(status, 503);
    assert!(report.contains(r#""store":"wrong-store""#), "{report}");
    let (status, report) = site.gateways[0].readiness().await;
    assert_eq!(status, 200);
    assert!(report.contains("store: wrong-store; keys in the cache are accepted"), "{report}");
}
