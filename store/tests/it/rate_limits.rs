//! Rate limit allowances.

use std::collections::HashMap;
use std::time::Duration;

use gatepost_domain::time::Timestamp;
use gatepost_domain::window::{Generation, LeaseGrant, Limit, Period, UnusedLease, WindowKind};
use gatepost_store::CellStore;

use crate::fixture::TestBackend;

const LENGTH: Duration = Duration::from_secs(3600);

/// Returns a limit of `count` requests per hour.
fn hourly(count: u64) -> Limit {
    Limit { max_requests: count, window_kind: WindowKind::FromFirstUse(LENGTH), generation: 0 }
}

pub(crate) async fn racing_gateways_never_lease_more_than_the_limit(backend: TestBackend) {
    let test = backend.fixture().await;
    let mut gateways = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = test.store.clone();
        gateways.spawn(async move {
            let mut granted: HashMap<_, u64> = HashMap::new();
            for requested in 1..=30 {
                let allowance = store.lease_allowance("key_1", hourly(1000), requested).await.unwrap();
                assert!(allowance.granted <= requested);
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
    assert_eq!(total.into_values().collect::<Vec<_>>(), vec![1000], "8 × 465 were requested in one window");
}

pub(crate) async fn a_window_starts_with_the_first_lease(backend: TestBackend) {
    let test = backend.fixture().await;
    let lease =
        async |name: &str, requested: u64| test.store.lease_allowance(name, hourly(10), requested).await.unwrap();
    let first = lease("key_1", 4).await;
    assert_eq!((first.granted, first.left_for_others), (4, 6));
    assert!(first.resets_in <= LENGTH && first.resets_in > LENGTH - Duration::from_secs(60));
    test.skew.add(1_800_000);
    let second = lease("key_1", 10).await;
    assert_eq!((second.granted, second.left_for_others, second.reset), (6, 0, first.reset));
    let third = lease("key_1", 1).await;
    assert_eq!((third.granted, third.reset), (0, first.reset));
    test.skew.add(1_800_001);
    let next = lease("key_1", 1).await;
    assert_eq!((next.granted, next.left_for_others), (1, 9));
    assert!(next.reset > first.reset);
    assert_eq!(lease("key_2", 10).await.granted, 10, "each limit has its own window");
}

async fn leased(store: &CellStore, name: &str, window_kind: WindowKind, requested: u64) -> (u64, u64, Timestamp) {
    let limit = Limit { max_requests: 10, window_kind, generation: 0 };
    let allowance = store.lease_allowance(name, limit, requested).await.unwrap();
    (allowance.granted, allowance.left_for_others, allowance.reset)
}

async fn return_allowance(store: &CellStore, name: &str, reset: Timestamp, count: u64) {
    store.return_allowance(name, UnusedLease { generation: 0, reset, count }).await.unwrap();
}

pub(crate) async fn returned_allowance_can_be_leased_again_only_in_its_window(backend: TestBackend) {
    let test = backend.fixture().await;
    let (store, window) = (&test.store, hourly(10).window_kind);
    let (_, _, reset) = leased(store, "key_1", window, 10).await;
    return_allowance(store, "key_1", reset, 3).await;
    assert_eq!(leased(store, "key_1", window, 10).await, (3, 0, reset));
    return_allowance(store, "key_1", reset.plus(Duration::from_millis(1)), 3).await;
    return_allowance(store, "key_never", reset, 3).await;
    store.return_allowance("key_1", UnusedLease { generation: 1, reset, count: 3 }).await.unwrap();
    assert_eq!(leased(store, "key_1", window, 10).await, (0, 0, reset));
    test.skew.add(3_600_001);
    let (_, _, next) = leased(store, "key_1", window, 10).await;
    return_allowance(store, "key_1", reset, 3).await;
    assert_eq!(leased(store, "key_1", window, 10).await, (0, 0, next));
    // A window never grants more than its limit, whatever is returned.
    return_allowance(store, "key_1", next, 1000).await;
    assert_eq!(leased(store, "key_1", window, 100).await, (10, 0, next));
}

pub(crate) async fn a_later_generation_of_a_limit_starts_a_window_at_zero(backend: TestBackend) {
    let test = backend.fixture().await;
    let day = Period::Day.window_kind(test.now());
    for (name, first, second) in [
        ("other length", WindowKind::FromFirstUse(LENGTH), WindowKind::FromFirstUse(LENGTH / 2)),
        ("set again", WindowKind::FromFirstUse(LENGTH), WindowKind::FromFirstUse(LENGTH)),
        ("quota set again", day, day),
    ] {
        let lease = async |count: u64, span: WindowKind, generation: Generation, requested: u64| -> LeaseGrant {
            test.store
                .lease_allowance(name, Limit { max_requests: count, window_kind: span, generation }, requested)
                .await
                .unwrap()
        };
        let old = lease(10, first, 0, 10).await;
        let lowered = lease(5, first, 0, 1).await;
        assert_eq!(
            (lowered.granted, lowered.left_for_others, lowered.reset),
            (0, 0, old.reset),
            "{name}: only the number changes"
        );
        let raised = lease(12, first, 0, 1).await;
        assert_eq!(
            (raised.granted, raised.left_for_others, raised.reset),
            (1, 1, old.reset),
            "{name}: only the number changes"
        );

        let new = lease(3, second, 1, 2).await;
        assert_eq!((new.granted, new.left_for_others), (2, 1), "{name}");
        let unused = UnusedLease { generation: 0, reset: old.reset, count: 10 };
        test.store.return_allowance(name, unused).await.unwrap();
        let stale = lease(10, first, 0, 5).await;
        assert_eq!(
            (stale.granted, stale.left_for_others, stale.reset),
            (1, 0, new.reset),
            "{name}: the newest limit applies"
        );
        let last = lease(3, second, 1, 1).await;
        assert_eq!((last.granted, last.left_for_others, last.reset), (0, 0, new.reset), "{name}");
    }
}

pub(crate) async fn a_gateway_unaware_of_a_later_generation_starts_windows_of_it(backend: TestBackend) {
    let test = backend.fixture().await;
    for (name, old, new) in [("shorter", LENGTH, LENGTH / 2), ("longer", LENGTH, LENGTH * 3)] {
        let lease = async |count: u64, length: Duration, generation: Generation, requested: u64| {
            let limit = Limit { max_requests: count, window_kind: WindowKind::FromFirstUse(length), generation };
            test.store.lease_allowance(name, limit, requested).await.unwrap()
        };
        lease(10, old, 1, 10).await;
        let first = lease(3, new, 2, 3).await;
        test.skew.add(i64::try_from(new.as_millis()).unwrap() + 1);
        let unaware = lease(10, old, 1, 2).await;
        assert_eq!((unaware.granted, unaware.left_for_others), (2, 1), "{name}");
        assert!(unaware.reset > first.reset && unaware.resets_in <= new, "{name}");
        let aware = lease(3, new, 2, 3).await;
        assert_eq!((aware.granted, aware.left_for_others, aware.reset), (1, 0, unaware.reset), "{name}");
    }
}

pub(crate) async fn a_clock_stepping_back_ends_its_windows(backend: TestBackend) {
    const DAY_MS: i64 = 86_400_000;
    let test = backend.fixture().await;
    for (name, quota_period) in [("rate", None), ("quota", Some(Period::Day))] {
        let span = || quota_period.map_or(hourly(10).window_kind, |period| period.window_kind(test.now()));
        let (granted, _, ahead) = leased(&test.store, name, span(), 10).await;
        assert_eq!(granted, 10);
        test.skew.add(-DAY_MS);
        let (granted, left, reset) = leased(&test.store, name, span(), 1).await;
        assert_eq!((granted, left, reset < ahead), (1, 9, true), "{name}");
        test.skew.add(DAY_MS);
    }
}

pub(crate) async fn calendar_windows_end_with_their_period(backend: TestBackend) {
    let test = backend.fixture().await;
    for (period, days) in [(Period::Day, 1), (Period::Month, 31)] {
        let name = period.as_str();
        let span = || period.window_kind(test.now());
        let (granted, left, reset) = leased(&test.store, name, span(), 4).await;
        assert_eq!((granted, left), (4, 6));
        assert!(reset.as_ms() % 86_400_000 == 0 && reset.since(test.now()) <= Duration::from_secs(days * 86_400));
        assert_eq!(leased(&test.store, name, span(), 10).await, (6, 0, reset));
        let until_then = i64::try_from(reset.since(test.now()).as_millis()).unwrap();
        test.skew.add(until_then + 1000);
        let (granted, _, next) = leased(&test.store, name, span(), 10).await;
        assert_eq!((granted, next > reset), (10, true));
        test.skew.add(-until_then - 1000);
    }
}
