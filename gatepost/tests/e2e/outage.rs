//! Redis gone, and Redis exchanged.

use std::time::Duration;

use gatepost_test_support::Origin;
use tokio::time::Instant;

use crate::cluster::{Cluster, DEADLINE};
use crate::webhooks;

/// A value of our form that no store knows.
fn unknown_key() -> String {
    let mut rng = gatepost_store::os_rng();
    gatepost_domain::key::generate_api_key(gatepost_domain::key::Env::Live, &mut rng).expose().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_seconds_without_redis_cost_no_valid_key_its_access() {
    let mut cluster = Cluster::start(2).await;
    let receiver = Origin::start();
    cluster.admin.webhook(&receiver.url()).await;
    let project = cluster.admin.project().await;
    let (cached, _) = cluster.admin.api_key(&project).await;
    let (uncached, uncached_id) = cluster.admin.api_key(&project).await;
    for gateway in 0..2 {
        assert_eq!(cluster.ask(gateway, &cached).await, 200);
    }
    cluster.redis.kill();
    let down = Instant::now();
    while down.elapsed() < Duration::from_secs(10) {
        for gateway in 0..2 {
            assert_eq!(cluster.ask(gateway, &cached).await, 200, "cached, after {:?}", down.elapsed());
            assert_eq!(cluster.ask(gateway, &uncached).await, 503, "uncached, after {:?}", down.elapsed());
            assert_eq!(cluster.ask(gateway, &unknown_key()).await, 503, "unknown, after {:?}", down.elapsed());
        }
    }
    cluster.redis.resume();
    for gateway in 0..2 {
        cluster.await_status(gateway, &uncached, 200).await;
        cluster.await_status(gateway, &unknown_key(), 401).await;
        assert_eq!(cluster.ask(gateway, &cached).await, 200);
    }
    // The control plane and its deliverer recovered as well: two created and two first uses.
    assert_eq!(receiver.await_count(4, DEADLINE), 4);
    let first_uses = webhooks::of_topic(&receiver.take(), "api-key.firstUsed");
    assert_eq!(first_uses.iter().filter(|body| body["data"]["id"] == uncached_id.as_str()).count(), 1);
    cluster.admin.delete_key(&cached).await;
    cluster.await_status(0, &cached, 401).await;
    cluster.await_status(1, &cached, 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchanged_redis_is_an_outage_and_not_a_store_without_keys() {
    let mut cluster = Cluster::start(1).await;
    let project = cluster.admin.project().await;
    let (cached, _) = cluster.admin.api_key(&project).await;
    let (uncached, _) = cluster.admin.api_key(&project).await;
    assert_eq!(cluster.ask(0, &cached).await, 200);
    cluster.redis.erase();
    cluster.redis.resume();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert_eq!(cluster.ask(0, &uncached).await, 503, "after {:?}", began.elapsed());
        assert_eq!(cluster.ask(0, &cached).await, 200, "after {:?}", began.elapsed());
    }
    let answer = cluster.admin.send(reqwest::Method::GET, "/projects", String::new()).await;
    assert_eq!(answer.status(), 503);
    let ready = crate::admin::client().get(format!("http://{}/readyz", cluster.gateways[0].ops)).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains(r#""store":"wrong-store""#));
}
