//! What a cache hit allocates, step by step. Each one that is not zero is justified in `docs/performance.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use allocation_counter::measure;
use futures::FutureExt;

use super::{Fixture, STEPS};

/// How often each step allocates.
const EXPECTED: [u64; STEPS.len()] = [0, 0, 0, 0, 0, 0, 0, 0, 4, 10, 0, 0];
/// Hits before the first that is counted, so that the key's limit is leased for all that follow.
const WARM_UP_HITS: usize = 1000;
/// It is counted so often, and the least counts: a buffer that many requests share may grow in one of them.
const RUNS: usize = 16;

#[tokio::test]
async fn cache_hit_allocates_only_what_goes_upstream() {
    let fixture = Fixture::start().await.unwrap();
    for _ in 0..WARM_UP_HITS {
        fixture.hit(&fixture.limited).await;
    }
    let mut counted = Vec::new();
    for step in STEPS {
        let count = || measure(|| fixture.run(step).now_or_never().unwrap().unwrap()).count_total;
        counted.push((step, (0..RUNS).map(|_| count()).min().unwrap()));
    }
    let expected: Vec<(&str, u64)> = STEPS.into_iter().zip(EXPECTED).collect();
    assert_eq!(counted, expected);
}
