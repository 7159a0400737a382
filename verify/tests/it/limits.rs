//! Limits of keys on a real Redis.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::permit::{Denial, RequestFacts};
use gatepost_verify::{Unavailable, Verdict, WhenStoreIsDown};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, check};

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_under_load_pass_exactly_the_limit() {
    let fixture = Fixture::start(crate::fixture::options()).await;
    let second = Arc::new(fixture.second().await);
    let key = fixture.limited_key(200, LONG).await;
    let mut requests = JoinSet::new();
    for number in 0..600 {
        let (key, second, first) = (key.clone(), Arc::clone(&second), fixture.verifier());
        requests.spawn(async move {
            let verdict = match number % 2 {
                0 => first.check(&key, &crate::fixture::live(), &RequestFacts::default()).await,
                _ => check(&second, &key).await,
            };
            match verdict {
                Verdict::Permitted(admission) => Some(admission.reading.unwrap().reset_s()),
                Verdict::Denied { denial: Denial::RateLimited, reading: Some(_), .. } => None,
                verdict @ (Verdict::Denied { .. } | Verdict::Unavailable(_)) => panic!("{verdict:?}"),
            }
        });
    }
    let mut passed: HashMap<u64, u64> = HashMap::new();
    for reset_s in requests.join_all().await.into_iter().flatten() {
        *passed.entry(reset_s).or_default() += 1;
    }
    assert_eq!(passed.into_values().collect::<Vec<_>>(), vec![200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_idle_gateway_holds_comes_back() {
    let fixture = Fixture::start(crate::fixture::options()).await;
    let second = fixture.second().await;
    let key = fixture.limited_key(100, LONG).await;
    for _ in 0..10 {
        assert!(matches!(check(&second, &key).await, Verdict::Permitted(_)));
    }
    let passed = std::cell::Cell::new(0);
    fixture
        .until(async |fixture| {
            while matches!(fixture.check(&key).await, Verdict::Permitted(_)) {
                passed.set(passed.get() + 1);
            }
            passed.get() >= 90
        })
        .await;
    assert!(matches!(check(&second, &key).await, Verdict::Denied { denial: Denial::RateLimited, .. }));
    assert_eq!(passed.get(), 90);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_gateway_gives_back_what_it_holds() {
    let fixture = Fixture::start(crate::fixture::options()).await;
    let second = fixture.second().await;
    let key = fixture.limited_key(10_000, LONG).await;
    for _ in 0..100 {
        assert!(matches!(check(&second, &key).await, Verdict::Permitted(_)));
    }
    second.stop().await.unwrap();
    let Verdict::Permitted(admission) = fixture.check(&key).await else { panic!("refused") };
    assert_eq!(admission.reading.unwrap().consumed(), 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_limits_go_on_as_configured() {
    for when in [WhenStoreIsDown::Open, WhenStoreIsDown::Closed, WhenStoreIsDown::Local] {
        let mut fixture = Fixture::when_store_is_down(when).await;
        let (limited, (_, free)) = (fixture.limited_key(5, LONG).await, fixture.key().await);
        for key in [&limited, &limited, &free] {
            assert!(matches!(fixture.check(key).await, Verdict::Permitted(_)), "{when:?}");
        }
        fixture.redis.kill();
        let mut outcomes = Vec::new();
        for _ in 0..6 {
            outcomes.push(match fixture.check(&limited).await {
                Verdict::Permitted(_) => "passes",
                Verdict::Denied { denial: Denial::RateLimited, .. } => "too many",
                Verdict::Unavailable(Unavailable::Store) => "unavailable",
                verdict @ (Verdict::Denied { .. } | Verdict::Unavailable(_)) => panic!("{verdict:?}"),
            });
            assert!(matches!(fixture.check(&free).await, Verdict::Permitted(_)), "{when:?}");
        }
        let expected = match when {
            WhenStoreIsDown::Open => ["passes"; 6],
            WhenStoreIsDown::Closed => ["unavailable"; 6],
            // Two of five were used before.
            WhenStoreIsDown::Local => ["passes", "passes", "passes", "too many", "too many", "too many"],
        };
        assert_eq!(outcomes, expected, "{when:?}");
        fixture.redis.resume();
        // From then on the store's window counts again, in which two were used.
        fixture
            .until(async |fixture| {
                let verdict = fixture.check(&limited).await;
                matches!(verdict, Verdict::Permitted(admission) if admission.reading.is_some_and(|it| it.remaining < 5))
            })
            .await;
    }
}
