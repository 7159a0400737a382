//! A cache hit allocates nothing, from the view of a request to the decision.

use allocation_counter::measure;
use futures::FutureExt as _;
use gatepost_edge::RequestAction;

use crate::fixture::{Fixture, Request};

/// The first decision fetches the key. The lowest count matters: a background task may allocate during one of them.
const DECISIONS: usize = 16;

#[tokio::test]
async fn cache_hit_allocates_nothing() {
    let fixture = Fixture::start().await;
    let bearer = format!("Bearer {}", fixture.key);
    // The second path is compared with those that look like it.
    for target in ["/v1/items/42?x=1", "/v1/Items/AbC.json./?x=1"] {
        let request = Request::get(target, &[("host", "api.example.com:8080"), ("authorization", &bearer)]);
        let first = fixture.authorizer.authorize(&fixture.policy, &request.view()).await;
        assert!(matches!(first.action, RequestAction::Forward(_)), "{first:?}");
        let count = || {
            let decide = || {
                let decision = fixture.authorizer.authorize(&fixture.policy, &request.view()).now_or_never().unwrap();
                assert!(matches!(decision.action, RequestAction::Forward(_)));
            };
            measure(decide).count_total
        };
        assert_eq!((0..DECISIONS).map(|_| count()).min(), Some(0), "{target}");
    }
}
