//! Usage of keys: counts by the hour, day and month, and last uses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::{Grouping, HOUR_MS};
use gatepost_store::clock::ManualClock;
use gatepost_store::{CellStore, Format, PeriodUsage, Store, StoreErrorKind, StoreOptions};

use crate::fixture::{Fixture, TestBackend};

const HOUR: Duration = Duration::from_millis(HOUR_MS);
const DAY_MS: i64 = 24 * HOUR_MS as i64;

fn key(name: &str) -> KeyId {
    KeyId::parse(&format!("key_{name}")).unwrap()
}

/// Keys of different groups of partitions, and of the same.
fn keys() -> [KeyId; 3] {
    ["00a", "01b", "04c"].map(key)
}

impl Fixture {
    async fn add_uses(&self, uses: &[(&KeyId, u64)]) {
        let uses: Vec<_> = uses.iter().map(|(key, count)| ((*key).clone(), *count)).collect();
        self.store.add_usage(&self.project.record.id, &uses).await.unwrap();
    }

    /// Reads all uses of the keys since a time, and checks the other reports against them.
    async fn read_uses(&self, from: Timestamp) -> Vec<PeriodUsage> {
        let (project, to) = (&self.project.record.id, self.now().plus(HOUR));
        let rows = uses_of_keys(&self.store, project, from, to).await;
        let mut sums: BTreeMap<Timestamp, u64> = BTreeMap::new();
        for row in &rows {
            *sums.entry(row.start).or_default() += row.count;
        }
        let together: Vec<_> = self.store.project_usage(project, from, to).await.unwrap();
        assert_eq!(together.into_iter().map(|row| (row.start, row.count)).collect::<BTreeMap<_, _>>(), sums);
        for key in keys() {
            let of_key: Vec<_> = rows.iter().filter(|row| row.key.as_ref() == Some(&key)).cloned().collect();
            assert_eq!(self.store.key_usage(project, &key, from, to).await.unwrap(), of_key, "{key}");
        }
        rows
    }

    async fn roll_up(&self) {
        roll_up(&self.store, &self.project.record.id).await;
    }

    async fn last_used(&self, keys: &[&KeyId]) -> Vec<Option<Timestamp>> {
        self.store.last_used(&self.project.record.id, keys).await.unwrap()
    }
}

async fn roll_up(store: &CellStore, project: &ProjectId) {
    let mut position = None;
    loop {
        position = store.roll_up_usage(project, position).await.unwrap();
        if position.is_none() {
            break;
        }
    }
}

/// Reads the uses of each key, oldest first, each period of a key once.
pub(crate) async fn uses_of_keys(
    store: &CellStore,
    project: &ProjectId,
    from: Timestamp,
    to: Timestamp,
) -> Vec<PeriodUsage> {
    let mut usage = store.usage_of_keys(project, from, to);
    let mut sums: BTreeMap<(Timestamp, Option<KeyId>), u64> = BTreeMap::new();
    while let Some(rows) = usage.next_rows().await.unwrap() {
        for row in rows {
            *sums.entry((row.start, row.key)).or_default() += row.count;
        }
    }
    sums.into_iter().map(|((start, key), count)| PeriodUsage { start, key, count }).collect()
}

fn counts(rows: &[PeriodUsage], key: &KeyId) -> Vec<u64> {
    rows.iter().filter(|row| row.key.as_ref() == Some(key)).map(|row| row.count).collect()
}

pub(crate) async fn uses_are_counted_by_the_hour_and_by_key(backend: TestBackend) {
    count_by_the_hour(backend.fixture().await).await;
}

pub(crate) async fn uses_are_counted_by_the_hour_in_the_first_format(mut backend: TestBackend) {
    backend.options.write_format = Format::FIRST;
    count_by_the_hour(backend.fixture().await).await;
}

async fn count_by_the_hour(test: Fixture) {
    let [a, b, c] = keys();
    let begin = Timestamp::from_ms(test.now().as_ms() / HOUR_MS * HOUR_MS);
    assert_eq!(test.read_uses(begin).await, []);
    for uses in [2, 0, 3] {
        if uses > 0 {
            test.add_uses(&[(&a, uses), (&c, 1)]).await;
        }
        test.add_uses(&[(&b, 7)]).await;
        test.skew.add(HOUR_MS as i64);
    }
    let rows = test.read_uses(begin).await;
    assert_eq!([&a, &b, &c].map(|key| counts(&rows, key)), [vec![2, 3], vec![7, 7, 7], vec![1, 1]]);
    let of_a: Vec<_> = rows.iter().filter(|row| row.key.as_ref() == Some(&a)).collect();
    assert_eq!(of_a[1].start.since(of_a[0].start), 2 * HOUR, "an hour without a use is left out");
    assert_eq!(counts(&test.read_uses(of_a[1].start).await, &a), [3]);
    assert_eq!(counts(&test.read_uses(of_a[1].start.plus(Duration::from_millis(1))).await, &a), Vec::<u64>::new());
    let last = test.last_used(&[&b, &key("00never"), &a]).await;
    assert!(last[0] >= last[2] && last[2].is_some_and(|at| at >= of_a[1].start && at <= test.now()), "{last:?}");
    assert_eq!(last[1], None);
    let other = ProjectId::parse("prj_00other").unwrap();
    assert_eq!(uses_of_keys(&test.store, &other, begin, test.now()).await, []);
}

pub(crate) async fn old_hours_become_days_and_old_days_months(backend: TestBackend) {
    let test = backend.fixture().await;
    let used = test.key().await.0.record.id;
    let gone = key("03gone");
    let begin = test.now();
    for _ in 0..4 {
        test.add_uses(&[(&used, 1), (&gone, 2)]).await;
        test.skew.add(DAY_MS / 4);
    }
    let last_used = test.last_used(&[&used]).await;
    for (days, grouping, periods) in
        [(0, Grouping::Hour, 4..=4), (10, Grouping::Day, 1..=2), (150, Grouping::Month, 1..=2)]
    {
        test.skew.add(days * DAY_MS);
        let rows = test.read_uses(Timestamp::from_ms(0)).await;
        for key in [&used, &gone] {
            assert!(periods.contains(&counts(&rows, key).len()), "{rows:?}");
        }
        assert!(rows.iter().all(|row| grouping.bucket_start(row.start) == row.start), "{rows:?}");
        assert!(rows.iter().all(|row| grouping.bucket_start(begin) <= row.start), "{rows:?}");
        assert_eq!([&used, &gone].map(|key| counts(&rows, key).iter().sum::<u64>()), [4, 8]);
        test.roll_up().await;
        assert_eq!(test.read_uses(Timestamp::from_ms(0)).await, rows, "a roll-up changes no answer");
    }
    test.skew.add(900 * DAY_MS);
    assert_eq!(test.read_uses(Timestamp::from_ms(0)).await, []);
    test.roll_up().await;
    assert_eq!(test.last_used(&[&used]).await, last_used);
    assert_eq!(test.last_used(&[&gone]).await, [None], "a key without a record is forgotten");
    test.add_uses(&[(&used, 5)]).await;
    assert_eq!(counts(&test.read_uses(Timestamp::from_ms(0)).await, &used), [5]);
}

pub(crate) async fn uses_that_are_added_during_a_roll_up_are_kept(backend: TestBackend) {
    let test = backend.fixture().await;
    let key = test.key().await.0.record.id;
    let begin = Timestamp::from_ms(test.now().as_ms() / HOUR_MS * HOUR_MS);
    let adding = async {
        for _ in 0..40 {
            test.add_uses(&[(&key, 1)]).await;
            test.skew.add(HOUR_MS as i64);
        }
    };
    let rolling_up = async {
        for _ in 0..40 {
            test.roll_up().await;
        }
    };
    tokio::join!(adding, rolling_up);
    assert_eq!(counts(&test.read_uses(begin).await, &key), [1; 40]);
}

pub(crate) async fn uses_from_before_an_upgrade_are_still_reported(mut backend: TestBackend) {
    backend.options.write_format = Format::FIRST;
    let test = backend.fixture().await;
    let [a, b, _] = keys();
    let begin = Timestamp::from_ms(test.now().as_ms() / HOUR_MS * HOUR_MS);
    let used = test.key().await.0.record.id;
    test.add_uses(&[(&a, 2), (&b, 1), (&used, 6)]).await;
    let before = test.last_used(&[&b, &used]).await;
    test.store.upgrade(Format::LATEST, |_| ()).await.unwrap();
    test.add_uses(&[(&a, 3)]).await;
    test.skew.add(HOUR_MS as i64);
    test.add_uses(&[(&a, 4)]).await;
    let rows = test.read_uses(begin).await;
    assert_eq!((counts(&rows, &a).iter().sum::<u64>(), counts(&rows, &b)), (9, vec![1]));
    let after = test.last_used(&[&a, &b, &used]).await;
    assert!(after[0] > before[0] && after[1..] == before[..], "{after:?}");
    test.roll_up().await;
    let moved = test.last_used(&[&a, &b, &used]).await;
    assert_eq!((moved[0], moved[2]), (after[0], after[2]), "last uses are stored once");
    assert_eq!(counts(&test.read_uses(begin).await, &used), [6]);
    test.roll_up().await;
    assert_eq!(test.last_used(&[&a, &b, &used]).await, moved);
}

pub(crate) async fn many_keys_are_reported_once_each(backend: TestBackend) {
    let test = backend.fixture().await;
    let keys: Vec<KeyId> = (0..3000).map(|number| key(&format!("{:02}many{number}", number % 40))).collect();
    let uses: Vec<_> = keys.iter().zip(1..).collect();
    test.add_uses(&uses).await;
    let rows = uses_of_keys(&test.store, &test.project.record.id, Timestamp::from_ms(0), test.now().plus(HOUR)).await;
    let found: BTreeMap<_, _> = rows.iter().map(|row| (row.key.as_ref().unwrap(), row.count)).collect();
    assert_eq!(found, uses.into_iter().collect());
    assert_eq!(rows.len(), keys.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_that_cannot_be_decoded_are_left_and_the_others_rolled_up() {
    let test = TestBackend::redis().fixture().await;
    let [a, b, c] = keys();
    test.add_uses(&[(&a, 1), (&b, 2), (&c, 3)]).await;
    test.skew.add(2 * DAY_MS);
    test.add_uses(&[(&a, 1), (&b, 2)]).await;
    let redis = test.backend.redis.as_ref().unwrap();
    let of_group = |kind: &str| format!("{{gp:{}:0}}:{kind}", test.project.record.id);
    redis.redis_cli(&["hset", &of_group("key-usage"), a.as_str(), "?"]);
    test.roll_up().await;
    assert_eq!(redis.redis_cli(&["hget", &of_group("key-usage"), a.as_str()]), "?");
    let other = of_group("past-usage").replace(":0}", ":1}");
    assert_eq!(redis.redis_cli(&["hexists", &other, b.as_str()]), "1");
    let error = test.store.last_used(&test.project.record.id, &[&a]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    test.add_uses(&[(&a, 5)]).await;
    assert_eq!(test.last_used(&[&a]).await.len(), 1, "the next use replaces it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_last_uses_of_many_keys_are_moved_and_their_hours_expire() {
    let mut backend = TestBackend::redis();
    backend.options.write_format = Format::FIRST;
    let test = backend.fixture().await;
    let used = test.key().await.0.record.id;
    let keys: Vec<KeyId> = (0..20_000).map(|number| key(&format!("{:02}many{number}", number % 40))).collect();
    test.add_uses(&keys.iter().chain([&used]).map(|key| (key, 1)).collect::<Vec<_>>()).await;
    let before = test.last_used(&[&used]).await;
    test.store.upgrade(Format::LATEST, |_| ()).await.unwrap();
    test.roll_up().await;
    let redis = test.backend.redis.as_ref().unwrap();
    let of_project = |kind: &str| format!("{{gp:{}}}:{kind}", test.project.record.id);
    assert_eq!(redis.redis_cli(&["hlen", &of_project("last-used")]), "0");
    assert_eq!(test.last_used(&[&used]).await, before);
    let ttl_ms: i64 = redis.redis_cli(&["pttl", &of_project("usage-hours")]).parse().unwrap();
    assert!(ttl_ms > 90 * DAY_MS - DAY_MS, "{ttl_ms}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_up_forgets_by_the_clock_of_the_store_and_forgets_all() {
    let test = TestBackend::redis().fixture().await;
    let used = test.key().await.0.record.id;
    test.add_uses(&[(&used, 3)]).await;
    test.skew.add(2 * HOUR_MS as i64);
    test.add_uses(&[(&used, 4)]).await;
    let from = Timestamp::from_ms(0);
    let rows = test.read_uses(from).await;
    let group = used.partition().group().number();
    let past = format!("{{gp:{}:{group}}}:past-usage", test.project.record.id);
    let redis = test.backend.redis.as_ref().unwrap();

    let options = StoreOptions {
        clock: Arc::new(ManualClock::at(test.now().plus(900 * 24 * HOUR))),
        ..test.backend.options.clone()
    };
    let ahead = Store::open(&options, &test.backend.master).await.unwrap().single_cell().clone();
    roll_up(&ahead, &test.project.record.id).await;
    assert_eq!(test.read_uses(from).await, rows);
    assert_eq!(redis.redis_cli(&["hlen", &past]), "2", "of the key, and of all keys together");

    test.skew.add(900 * DAY_MS);
    test.roll_up().await;
    assert_eq!(redis.redis_cli(&["hlen", &past]), "0");
}
