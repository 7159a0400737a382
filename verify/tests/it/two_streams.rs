//! The streams that a gateway reads: before and after the format of the store is raised, and after a loss of changes.

use gatepost_domain::denial::Denial;
use gatepost_store::{Format, Recovery};
use gatepost_verify::{Liveness, Source, Verdict};

use crate::fixture::{Fixture, wait_until_applied};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_gateway_goes_on_in_the_stream_of_invalidations() {
    let test = Fixture::start_in(Format::FIRST).await;
    let (kept, (revoked_id, revoked)) = (test.key().await.1, test.key().await);
    for credential in [&kept, &revoked] {
        assert_eq!(test.source(credential).await, Source::Store);
        assert_eq!(test.source(credential).await, Source::Cache);
    }
    test.store.upgrade(Format::LATEST, |_| {}).await.unwrap();
    test.key().await;
    wait_until_applied(&test.store).await;

    // It has left the stream of changes. If it read that, it would start over with nothing in its cache.
    test.redis.redis_cli(&["del", "{gp}:stream"]);
    test.revoke(&revoked_id).await;
    let is_denied =
        async |test: &Fixture| matches!(test.check(&revoked).await, Verdict::Denied { denial: Denial::Inactive, .. });
    test.wait_until(is_denied).await;
    wait_until_applied(&test.store).await;
    assert_eq!(test.source(&kept).await, Source::Cache);
    assert_eq!(test.verifier().liveness(), Liveness::Live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_at_a_position_that_was_lost_and_used_again_is_applied() {
    const HOUR_MS: i64 = 3_600_000;
    let mut test = Fixture::start_in(Format::LATEST).await;
    // Positions do not go back with the clock: from here on they only count up.
    test.skew_clock(HOUR_MS);
    let others = [test.key().await.1, test.key().await.1, test.key().await.1];
    let (id, credential) = test.key().await;
    test.skew_clock(-HOUR_MS);
    let saved = test.redis.save();
    for other in &others {
        test.use_in_another_process(other).await;
    }
    assert_eq!(test.source(&credential).await, Source::Store);
    let last = test.store.last_position().await.unwrap();
    test.redis.restore(&saved);
    test.wait_until(async |test| test.store.last_position().await.is_ok_and(|now| now < last)).await;
    test.wait_until(async |test| test.store.recovery() == Recovery::Complete).await;
    // Gateways do not read first uses, so nothing that they have read was lost.
    assert_eq!(test.source(&credential).await, Source::Cache);
    test.revoke(&id).await;
    assert!(test.store.last_position().await.unwrap() < last);
    test.wait_until(async |test| matches!(test.check(&credential).await, Verdict::Denied { .. })).await;
}
