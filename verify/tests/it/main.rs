//! The check of a key on a real Redis, through outages and lost history.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cache_outage_table;
mod cells;
mod fixture;
mod limits;
mod two_streams;
mod wrong_keys;

use std::time::Duration;

use gatepost_domain::denial::Denial;
use gatepost_verify::{Liveness, Source, Unavailable, Verdict};

use fixture::{CLIENT, Fixture, options, wait_until_applied};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_is_fetched_once_then_served_from_cache_until_revoked() {
    let fixture = Fixture::start(options()).await;
    let (key, secret) = fixture.key().await;
    assert_eq!(fixture.source(&secret).await, Source::Store);
    assert_eq!(fixture.source(&secret).await, Source::Cache);
    assert_eq!((fixture.first_uses(), fixture.first_use_client().await), (1, Some(CLIENT)));
    assert!(matches!(fixture.check("no-such-key").await, Verdict::Denied { source: Source::Store, .. }));
    assert!(matches!(fixture.check("no-such-key").await, Verdict::Denied { source: Source::Negative, .. }));
    fixture.revoke(&key).await;
    fixture.wait_until(async |fixture| matches!(fixture.check(&secret).await, Verdict::Denied { .. })).await;
    let verdict = fixture.check(&secret).await;
    assert!(matches!(verdict, Verdict::Denied { denial: Denial::Inactive, source: Source::Cache, .. }), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn value_requested_before_its_creation_is_valid_afterwards() {
    let fixture = Fixture::start(options()).await;
    assert!(matches!(fixture.check("chosen-value").await, Verdict::Denied { denial: Denial::Unknown, .. }));
    fixture.key_of("chosen-value").await;
    fixture.wait_until(async |fixture| matches!(fixture.check("chosen-value").await, Verdict::Permitted(_))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_use_during_an_outage_passes_and_is_claimed_later() {
    let mut fixture = Fixture::start(options()).await;
    let (_, secret) = fixture.key().await;
    // On a route of another env: the key is cached and not used.
    let verdict = fixture.check_on_test_route(&secret).await;
    assert!(matches!(verdict, Verdict::Denied { denial: Denial::WrongEnv, .. }), "{verdict:?}");
    fixture.redis.kill();
    for _ in 0..3 {
        assert!(matches!(fixture.check(&secret).await, Verdict::Permitted(_)));
    }
    assert_eq!(fixture.first_uses(), 0);
    fixture.redis.resume();
    fixture.wait_until(async |fixture| fixture.first_uses() == 1).await;
    assert!(matches!(fixture.check(&secret).await, Verdict::Permitted(_)));
    assert_eq!((fixture.first_uses(), fixture.first_use_client().await), (1, Some(CLIENT)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_max_stale_nothing_is_accepted_during_an_outage() {
    let mut fixture = Fixture::start(gatepost_verify::VerifyOptions { max_stale: Duration::ZERO, ..options() }).await;
    let (_, secret) = fixture.key().await;
    assert_eq!(fixture.source(&secret).await, Source::Store);
    fixture.redis.kill();
    fixture.wait_until(async |fixture| fixture.verifier().liveness() == Liveness::Expired).await;
    assert!(matches!(fixture.check(&secret).await, Verdict::Unavailable(Unavailable::Store)));
    fixture.redis.resume();
    fixture.wait_until(async |fixture| matches!(fixture.check(&secret).await, Verdict::Permitted(_))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_max_lookups_a_request_is_unavailable() {
    let fixture = Fixture::start(gatepost_verify::VerifyOptions { max_lookups: 0, ..options() }).await;
    let (_, secret) = fixture.key().await;
    assert!(matches!(fixture.check(&secret).await, Verdict::Unavailable(Unavailable::Busy)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rewound_history_clears_the_cache() {
    let mut fixture = Fixture::start(options()).await;
    let (_, secret) = fixture.key().await;
    assert_eq!(fixture.source(&secret).await, Source::Store);
    let saved = fixture.redis.save();
    let phantom = fixture.key_of_another_process().await;
    wait_until_applied(&fixture.store).await;
    assert_eq!(fixture.source(&phantom).await, Source::Store);
    assert_eq!(fixture.source(&phantom).await, Source::Cache);
    let last = fixture.store.last_position().await.unwrap();
    fixture.wait_for_metric("gatepost_live", 1.0).await;
    fixture.redis.restore(&saved);
    fixture.wait_until(async |fixture| fixture.store.last_position().await.is_ok_and(|now| now < last)).await;
    // The new history continues at higher positions at once, as if nothing had been lost.
    fixture.key_of("created-after-the-rewind").await;
    fixture.wait_until(async |fixture| matches!(fixture.check(&phantom).await, Verdict::Denied { .. })).await;
    // The other entry belongs to the lost history, so it is fetched again.
    fixture.wait_until(async |fixture| fixture.source(&secret).await == Source::Store).await;
    fixture.wait_until(async |fixture| fixture.verifier().liveness() == Liveness::Live).await;
    let (key, secret) = fixture.key().await;
    assert!(matches!(fixture.check(&secret).await, Verdict::Permitted(_)));
    fixture.revoke(&key).await;
    fixture.wait_until(async |fixture| matches!(fixture.check(&secret).await, Verdict::Denied { .. })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_is_registered_while_it_runs() {
    let fixture = Fixture::start(options()).await;
    assert_eq!(fixture.store.gateways().await.unwrap().len(), 1);
    let second = fixture.start_second_gateway().await;
    assert_eq!(fixture.store.gateways().await.unwrap().len(), 2);
    second.stop().await.unwrap();
    assert_eq!(fixture.store.gateways().await.unwrap().len(), 1);
}
