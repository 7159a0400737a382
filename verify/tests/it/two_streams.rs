//! The stream that a gateway reads, before and after the format of the store is raised.

use gatepost_domain::denial::Denial;
use gatepost_store::Format;
use gatepost_verify::{Liveness, Source, Verdict};

use crate::fixture::{Fixture, wait_until};

async fn wait_until_applied(test: &Fixture) {
    let last = test.store.last_position().await.unwrap();
    wait_until(async || test.store.gateways().await.unwrap()[0].cursor >= last).await;
}

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
    wait_until_applied(&test).await;

    // It has left the stream of changes. If it read that, it would start over with nothing in its cache.
    test.redis.redis_cli(&["del", "{gp}:stream"]);
    test.revoke(&revoked_id).await;
    let is_denied =
        async |test: &Fixture| matches!(test.check(&revoked).await, Verdict::Denied { denial: Denial::Inactive, .. });
    test.wait_until(is_denied).await;
    wait_until_applied(&test).await;
    assert_eq!(test.source(&kept).await, Source::Cache);
    assert_eq!(test.verifier().liveness(), Liveness::Live);
}
