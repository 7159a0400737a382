//! Allowances and counters.

use std::collections::HashMap;
use std::time::Duration;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::time::Timestamp;
use gatepost_domain::window::{Period, Span};
use gatepost_store::Store;
use gatepost_store::act::UsageOf;
use gatepost_store::options::USAGE_KEPT;

use crate::fixture::Place;

const LENGTH: Duration = Duration::from_secs(3600);
const WINDOW: Span = Span::Rolling(LENGTH);

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
    assert!(first.remaining <= LENGTH && first.remaining > LENGTH - Duration::from_secs(60));
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

async fn leased(store: &Store, meter: &str, span: Span, want: u64) -> (u64, u64, Timestamp) {
    let allowance = store.lease_allowance(meter, 10, span, want).await.unwrap();
    (allowance.granted, allowance.left, allowance.reset)
}

pub(crate) async fn what_is_given_back_can_be_leased_again_in_its_window_only(place: Place) {
    let test = place.fixture().await;
    let (_, _, reset) = leased(&test.store, "key_1", WINDOW, 10).await;
    test.store.return_allowance("key_1", reset, 3).await.unwrap();
    assert_eq!(leased(&test.store, "key_1", WINDOW, 10).await, (3, 0, reset));
    test.store.return_allowance("key_1", reset.plus(Duration::from_millis(1)), 3).await.unwrap();
    test.store.return_allowance("key_never", reset, 3).await.unwrap();
    assert_eq!(leased(&test.store, "key_1", WINDOW, 10).await, (0, 0, reset));
    test.skew.add(3_600_001);
    let (_, _, next) = leased(&test.store, "key_1", WINDOW, 10).await;
    test.store.return_allowance("key_1", reset, 3).await.unwrap();
    assert_eq!(leased(&test.store, "key_1", WINDOW, 10).await, (0, 0, next));
    // What cannot have been leased is not given.
    test.store.return_allowance("key_1", next, 1000).await.unwrap();
    assert_eq!(leased(&test.store, "key_1", WINDOW, 100).await, (10, 0, next));
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
