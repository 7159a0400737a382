//! Allowances and counters.

use std::collections::HashMap;
use std::time::Duration;

use crate::fixture::Place;

const WINDOW: Duration = Duration::from_secs(3600);

pub(crate) async fn racing_gateways_never_lease_more_than_the_limit(place: Place) {
    let test = place.fixture().await;
    let mut gateways = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = test.store.clone();
        gateways.spawn(async move {
            let mut granted: HashMap<_, u64> = HashMap::new();
            for want in 1..=30 {
                let allowance = store.lease_allowance("key_1", 1000, WINDOW, want).await.unwrap();
                assert!(allowance.granted <= want);
                *granted.entry(allowance.reset).or_default() += allowance.granted;
            }
            granted
        });
    }
    let mut total: HashMap<_, u64> = HashMap::new();
    for granted in gateways.join_all().await {
        for (window, count) in granted {
            *total.entry(window).or_default() += count;
        }
    }
    assert_eq!(total.into_values().collect::<Vec<_>>(), vec![1000], "8 × 465 were wanted in one window");
}

pub(crate) async fn a_window_starts_with_the_first_consumption(place: Place) {
    let test = place.fixture().await;
    let first = test.store.lease_allowance("key_1", 10, WINDOW, 4).await.unwrap();
    assert_eq!((first.granted, first.left), (4, 6));
    assert!(first.remaining <= WINDOW && first.remaining > WINDOW - Duration::from_secs(60));
    test.skew.add(1_800_000);
    let second = test.store.lease_allowance("key_1", 10, WINDOW, 10).await.unwrap();
    assert_eq!((second.granted, second.left, second.reset), (6, 0, first.reset));
    let third = test.store.lease_allowance("key_1", 10, WINDOW, 1).await.unwrap();
    assert_eq!((third.granted, third.reset), (0, first.reset));
    test.skew.add(1_800_001);
    let next = test.store.lease_allowance("key_1", 10, WINDOW, 1).await.unwrap();
    assert_eq!((next.granted, next.left), (1, 9));
    assert!(next.reset > first.reset);
    let other = test.store.lease_allowance("key_2", 10, WINDOW, 10).await.unwrap();
    assert_eq!(other.granted, 10, "meters are apart");
}

pub(crate) async fn usage_adds_up(place: Place) {
    let test = place.fixture().await;
    test.store.add_usage(vec![("a".to_owned(), 2), ("b".to_owned(), 1)]).await.unwrap();
    test.store.add_usage(vec![("a".to_owned(), 3)]).await.unwrap();
    let names = ["a", "b", "never"].map(str::to_owned).to_vec();
    assert_eq!(test.store.usage(names).await.unwrap(), vec![5, 1, 0]);
}
