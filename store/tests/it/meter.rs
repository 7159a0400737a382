//! Allowances and counters.

use std::collections::HashMap;
use std::time::Duration;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::time::Timestamp;
use gatepost_domain::window::{Allowance, Generation, Limit, Period, Span, Unused};
use gatepost_store::Store;
use gatepost_store::act::UsageOf;
use gatepost_store::options::USAGE_KEPT;

use crate::fixture::Place;

const LENGTH: Duration = Duration::from_secs(3600);

/// A limit of `count` requests an hour.
fn hourly(count: u64) -> Limit {
    Limit { count, span: Span::Rolling(LENGTH), generation: 0 }
}

pub(crate) async fn racing_gateways_never_lease_more_than_the_limit(place: Place) {
    let test = place.fixture().await;
    let mut gateways = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = test.store.clone();
        gateways.spawn(async move {
            let mut granted: HashMap<_, u64> = HashMap::new();
            for want in 1..=30 {
                let allowance = store.lease_allowance("key_1", hourly(1000), want).await.unwrap();
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
    let lease = async |meter: &str, want: u64| test.store.lease_allowance(meter, hourly(10), want).await.unwrap();
    let first = lease("key_1", 4).await;
    assert_eq!((first.granted, first.left), (4, 6));
    assert!(first.remaining <= LENGTH && first.remaining > LENGTH - Duration::from_secs(60));
    test.skew.add(1_800_000);
    let second = lease("key_1", 10).await;
    assert_eq!((second.granted, second.left, second.reset), (6, 0, first.reset));
    let third = lease("key_1", 1).await;
    assert_eq!((third.granted, third.reset), (0, first.reset));
    test.skew.add(1_800_001);
    let next = lease("key_1", 1).await;
    assert_eq!((next.granted, next.left), (1, 9));
    assert!(next.reset > first.reset);
    assert_eq!(lease("key_2", 10).await.granted, 10, "meters are apart");
}

async fn leased(store: &Store, meter: &str, span: Span, want: u64) -> (u64, u64, Timestamp) {
    let limit = Limit { count: 10, span, generation: 0 };
    let allowance = store.lease_allowance(meter, limit, want).await.unwrap();
    (allowance.granted, allowance.left, allowance.reset)
}

async fn give_back(store: &Store, meter: &str, reset: Timestamp, count: u64) {
    store.return_allowance(meter, Unused { generation: 0, reset, count }).await.unwrap();
}

pub(crate) async fn what_is_given_back_can_be_leased_again_in_its_window_only(place: Place) {
    let test = place.fixture().await;
    let (store, window) = (&test.store, hourly(10).span);
    let (_, _, reset) = leased(store, "key_1", window, 10).await;
    give_back(store, "key_1", reset, 3).await;
    assert_eq!(leased(store, "key_1", window, 10).await, (3, 0, reset));
    give_back(store, "key_1", reset.plus(Duration::from_millis(1)), 3).await;
    give_back(store, "key_never", reset, 3).await;
    store.return_allowance("key_1", Unused { generation: 1, reset, count: 3 }).await.unwrap();
    assert_eq!(leased(store, "key_1", window, 10).await, (0, 0, reset));
    test.skew.add(3_600_001);
    let (_, _, next) = leased(store, "key_1", window, 10).await;
    give_back(store, "key_1", reset, 3).await;
    assert_eq!(leased(store, "key_1", window, 10).await, (0, 0, next));
    // What cannot have been leased is not given.
    give_back(store, "key_1", next, 1000).await;
    assert_eq!(leased(store, "key_1", window, 100).await, (10, 0, next));
}

pub(crate) async fn a_later_generation_of_a_limit_starts_a_window_at_zero(place: Place) {
    let test = place.fixture().await;
    let day = Period::Day.span(test.now());
    for (meter, first, second) in [
        ("other length", Span::Rolling(LENGTH), Span::Rolling(LENGTH / 2)),
        ("set again", Span::Rolling(LENGTH), Span::Rolling(LENGTH)),
        ("quota set again", day, day),
    ] {
        let lease = async |count: u64, span: Span, generation: Generation, want: u64| -> Allowance {
            test.store.lease_allowance(meter, Limit { count, span, generation }, want).await.unwrap()
        };
        let old = lease(10, first, 0, 10).await;
        let lowered = lease(5, first, 0, 1).await;
        assert_eq!((lowered.granted, lowered.left, lowered.reset), (0, 0, old.reset), "{meter}: the number alone");
        let raised = lease(12, first, 0, 1).await;
        assert_eq!((raised.granted, raised.left, raised.reset), (1, 1, old.reset), "{meter}: the number alone");

        let new = lease(3, second, 1, 2).await;
        assert_eq!((new.granted, new.left), (2, 1), "{meter}");
        let unused = Unused { generation: 0, reset: old.reset, count: 10 };
        test.store.return_allowance(meter, unused).await.unwrap();
        let stale = lease(10, first, 0, 5).await;
        assert_eq!((stale.granted, stale.left, stale.reset), (1, 0, new.reset), "{meter}: held to the newest limit");
        let last = lease(3, second, 1, 1).await;
        assert_eq!((last.granted, last.left, last.reset), (0, 0, new.reset), "{meter}");
    }
}

pub(crate) async fn who_has_not_heard_of_a_later_generation_starts_windows_of_it(place: Place) {
    let test = place.fixture().await;
    for (meter, old, new) in [("shorter", LENGTH, LENGTH / 2), ("longer", LENGTH, LENGTH * 3)] {
        let lease = async |count: u64, length: Duration, generation: Generation, want: u64| {
            let limit = Limit { count, span: Span::Rolling(length), generation };
            test.store.lease_allowance(meter, limit, want).await.unwrap()
        };
        lease(10, old, 1, 10).await;
        let first = lease(3, new, 2, 3).await;
        test.skew.add(i64::try_from(new.as_millis()).unwrap() + 1);
        let uninformed = lease(10, old, 1, 2).await;
        assert_eq!((uninformed.granted, uninformed.left), (2, 1), "{meter}");
        assert!(uninformed.reset > first.reset && uninformed.remaining <= new, "{meter}");
        let informed = lease(3, new, 2, 3).await;
        assert_eq!((informed.granted, informed.left, informed.reset), (1, 0, uninformed.reset), "{meter}");
    }
}

pub(crate) async fn a_clock_that_steps_back_ends_the_windows_it_started(place: Place) {
    const DAY_MS: i64 = 86_400_000;
    let test = place.fixture().await;
    for (meter, of) in [("rate", None), ("quota", Some(Period::Day))] {
        let span = || of.map_or(hourly(10).span, |period| period.span(test.now()));
        let (granted, _, ahead) = leased(&test.store, meter, span(), 10).await;
        assert_eq!(granted, 10);
        test.skew.add(-DAY_MS);
        let (granted, left, reset) = leased(&test.store, meter, span(), 1).await;
        assert_eq!((granted, left, reset < ahead), (1, 9, true), "{meter}");
        test.skew.add(DAY_MS);
    }
}

pub(crate) async fn a_calendars_windows_end_with_its_periods(place: Place) {
    let test = place.fixture().await;
    for (period, days) in [(Period::Day, 1), (Period::Month, 31)] {
        let meter = period.as_str();
        let span = || period.span(test.now());
        let (granted, left, reset) = leased(&test.store, meter, span(), 4).await;
        assert_eq!((granted, left), (4, 6));
        assert!(reset.as_ms() % 86_400_000 == 0 && reset.since(test.now()) <= Duration::from_secs(days * 86_400));
        assert_eq!(leased(&test.store, meter, span(), 10).await, (6, 0, reset));
        let until_then = i64::try_from(reset.since(test.now()).as_millis()).unwrap();
        test.skew.add(until_then + 1000);
        let (granted, _, next) = leased(&test.store, meter, span(), 10).await;
        assert_eq!((granted, next > reset), (10, true));
        test.skew.add(-until_then - 1000);
    }
}

pub(crate) async fn usage_adds_up_by_the_hour_and_is_kept_for_its_time(place: Place) {
    let test = place.fixture().await;
    let project = &test.project.record.id;
    let keys = ["a", "b", "never"].map(|name| KeyId::parse(&format!("key_00{name}")).unwrap());
    let [a, b, _] = &keys;
    let begin = test.now();
    let add = async |usage: &[(KeyId, u64)]| test.store.add_usage(project, usage).await.unwrap();
    let read = async |of: UsageOf| {
        let (from, to) = (Timestamp::from_ms(0), test.now().plus(LENGTH));
        let usage = test.store.usage(project, of, from, to).await.unwrap();
        usage.into_iter().map(|row| (row.key, row.count)).collect::<Vec<_>>()
    };
    add(&[(a.clone(), 2), (b.clone(), 1)]).await;
    add(&[(a.clone(), 3)]).await;
    test.skew.add(3_600_000);
    let later = test.now();
    add(&[(a.clone(), 4)]).await;
    let total: u64 = read(UsageOf::Project).await.into_iter().map(|(_, count)| count).sum();
    assert_eq!(total, 10);
    let of_a = read(UsageOf::Keys).await.into_iter().filter(|(key, _)| key.as_ref() == Some(a));
    assert_eq!(of_a.map(|(_, count)| count).collect::<Vec<_>>().last(), Some(&4));
    let last = test.store.last_used(project, &keys.each_ref()).await.unwrap();
    assert!(last[0].is_some_and(|at| at >= later) && last[1].is_some_and(|at| at >= begin && at < later));
    assert_eq!(last[2], None);
    let other = ProjectId::parse("prj_00other").unwrap();
    assert!(test.store.usage(&other, UsageOf::Keys, begin, later.plus(LENGTH)).await.unwrap().is_empty());

    test.skew.add(i64::try_from(USAGE_KEPT.as_millis()).unwrap() + 3_600_000);
    add(&[(b.clone(), 7)]).await;
    assert_eq!(read(UsageOf::Keys).await, vec![(Some(b.clone()), 7)]);
}
