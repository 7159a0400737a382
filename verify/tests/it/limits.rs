//! Limits of keys on a real Redis.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::denial::Denial;
use gatepost_domain::permit::RequestFacts;
use gatepost_limits::OutagePolicy;
use gatepost_verify::{Unavailable, Verdict};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, check};

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_under_load_pass_exactly_the_limit() {
    let fixture = Fixture::start(crate::fixture::options()).await;
    let second = Arc::new(fixture.start_second_gateway().await);
    let key = fixture.limited_key(200, LONG).await;
    let mut requests = JoinSet::new();
    for number in 0..600 {
        let (key, second, first) = (key.clone(), Arc::clone(&second), fixture.verifier());
        requests.spawn(async move {
            let verdict = match number % 2 {
                0 => first.check(&key, &crate::fixture::live_requirement(), &RequestFacts::default()).await,
                _ => check(&second, &key).await,
            };
            match verdict {
                Verdict::Permitted(admission) => Some(admission.limit_status.unwrap().reset_s()),
                Verdict::Denied { denial: Denial::RateLimited, limit_status: Some(_), .. } => None,
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
async fn leases_of_an_idle_gateway_are_returned() {
    let fixture = Fixture::start(crate::fixture::options()).await;
    let second = fixture.start_second_gateway().await;
    let key = fixture.limited_key(100, LONG).await;
    for _ in 0..10 {
        assert!(matches!(check(&second, &key).await, Verdict::Permitted(_)));
    }
    let passed = std::cell::Cell::new(0);
    fixture
        .wait_until(async |fixture| {
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
async fn stopped_gateway_returns_its_leases() {
    let fixture = Fixture::start(crate::fixture::options()).await;
    let second = fixture.start_second_gateway().await;
    let key = fixture.limited_key(10_000, LONG).await;
    for _ in 0..100 {
        assert!(matches!(check(&second, &key).await, Verdict::Permitted(_)));
    }
    second.stop().await.unwrap();
    let Verdict::Permitted(admission) = fixture.check(&key).await else { panic!("refused") };
    assert_eq!(admission.limit_status.unwrap().used(), 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_an_outage_limits_follow_the_outage_policy() {
    for policy in [OutagePolicy::Open, OutagePolicy::Closed, OutagePolicy::Local] {
        let mut fixture = Fixture::with_outage_policy(policy).await;
        let (limited, (_, free)) = (fixture.limited_key(5, LONG).await, fixture.key().await);
        for key in [&limited, &limited, &free] {
            assert!(matches!(fixture.check(key).await, Verdict::Permitted(_)), "{policy:?}");
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
            assert!(matches!(fixture.check(&free).await, Verdict::Permitted(_)), "{policy:?}");
        }
        let expected = match policy {
            OutagePolicy::Open => ["passes"; 6],
            OutagePolicy::Closed => ["unavailable"; 6],
            // Two of five were used before the outage.
            OutagePolicy::Local => ["passes", "passes", "passes", "too many", "too many", "too many"],
        };
        assert_eq!(outcomes, expected, "{policy:?}");
        fixture.redis.resume();
        // From here on the store's window is used again, in which two were used.
        fixture
            .wait_until(async |fixture| {
                let verdict = fixture.check(&limited).await;
                matches!(verdict, Verdict::Permitted(admission) if admission.limit_status.is_some_and(|it| it.remaining < 5))
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_are_counted_once_while_those_of_other_keys_cannot_be() {
    let fixture = Fixture::start(crate::fixture::options()).await;
    let (refused, refused_secret) = fixture.key().await;
    let (counted, counted_secret) = fixture.key_of_another_group().await;
    assert_ne!(fixture.uses_key(&counted), fixture.uses_key(&refused));
    // As if the server of these keys did not respond.
    fixture.redis.redis_cli(&["set", &fixture.uses_key(&refused), "no hash"]);
    const ROUNDS: u64 = 4;
    for round in 1..=ROUNDS {
        for secret in [&refused_secret, &counted_secret] {
            assert!(matches!(fixture.check(secret).await, Verdict::Permitted(_)));
        }
        fixture.wait_until(async |fixture| fixture.uses(&counted).await >= round).await;
    }
    fixture.redis.redis_cli(&["del", &fixture.uses_key(&refused)]);
    fixture.wait_until(async |fixture| fixture.uses(&refused).await >= ROUNDS).await;
    assert_eq!([fixture.uses(&refused).await, fixture.uses(&counted).await], [ROUNDS; 2]);
}
