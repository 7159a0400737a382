//! Allocations of each step of a cache hit. Each number above zero is justified in `docs/performance.md`.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use allocation_counter::measure;
use futures::FutureExt;

use super::{Fixture, STEPS};

/// Expected number of allocations of each step.
const EXPECTED: [u64; STEPS.len()] = [0, 0, 0, 0, 0, 0, 0, 0, 4, 11, 0, 0, 0];
/// Number of hits before the first measured one, so that the limit of the key is leased for all that follow.
const WARM_UP_HITS: usize = 1000;
/// Number of measurements, of which the minimum counts: a buffer that requests share may grow in one of them.
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
