//! The table of ARCHITECTURE: cache state × store state → answer, each cell on a real Redis.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::KeyId;
use gatepost_domain::time::Clock;
use gatepost_store::Replicas;
use gatepost_store::clock::{ManualClock, SystemClock};
use gatepost_test_support::{Fault, FaultProxy, RedisServer};
use gatepost_verify::{Liveness, Source, Verdict};
use tokio::time::Instant;

use crate::fixture::{Fixture, options};

/// Longer than a heartbeat keeps a gateway live.
const STALE_MS: u64 = 3_000;
/// Longer than that and `max_stale` together.
const EXPIRED_MS: u64 = 65_000;

/// A state of the store, and what each state of the cache is answered in it.
struct Column {
    name: &'static str,
    fault: fn(&Site),
    passed_ms: u64,
    answers: [(&'static str, &'static str); 6],
}

/// A verifier behind a proxy, by a clock that stands.
struct Site {
    fixture: Fixture,
    proxy: FaultProxy,
    clock: Arc<ManualClock>,
    replica: Option<RedisServer>,
}

impl Site {
    async fn start(replicas: u32) -> Self {
        let redis = RedisServer::start();
        let replica = (replicas > 0).then(|| redis.start_replica());
        let proxy = FaultProxy::start(redis.port());
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let port = proxy.port();
        let replicas = Replicas { count: replicas, wait: Duration::from_secs(5) };
        let fixture = Fixture::on(redis, port, replicas, Arc::<ManualClock>::clone(&clock), options()).await;
        fixture.until(async |fixture| fixture.verifier().liveness() == Liveness::Live).await;
        Self { fixture, proxy, clock, replica }
    }
}

/// A credential in each state of the cache.
async fn states(fixture: &Fixture) -> [(&'static str, String); 6] {
    let (_, valid) = fixture.key().await;
    let (changed, below_a_floor) = fixture.key().await;
    let (off, inactive) = fixture.key().await;
    let (_, unseen) = fixture.key().await;
    for key in [&valid, &below_a_floor] {
        assert_eq!(fixture.source(key).await, Source::Store);
        assert_eq!(fixture.source(key).await, Source::Cache);
    }
    fixture.revoke(&off).await;
    for denied in [&inactive, "absent-value"] {
        fixture.until(async |fixture| answer(fixture, denied).await == "401 cached").await;
    }
    rename_and_see(fixture, &changed).await;
    [
        ("valid, counts", valid),
        ("valid, below a floor", below_a_floor),
        ("inactive, counts", inactive),
        ("absent, counts", "absent-value".to_owned()),
        ("nothing", unseen),
        ("malformed", "a b".to_owned()),
    ]
}

/// Changes a key, and waits until the feed has brought that, which a later revocation tells.
async fn rename_and_see(fixture: &Fixture, key: &KeyId) {
    let (marker, secret) = fixture.key().await;
    assert_eq!(fixture.source(&secret).await, Source::Store);
    fixture.rename(key).await;
    fixture.revoke(&marker).await;
    fixture.until(async |fixture| matches!(fixture.check(&secret).await, Verdict::Denied { .. })).await;
}

async fn answer(fixture: &Fixture, credential: &str) -> &'static str {
    match fixture.check(credential).await {
        Verdict::Permitted(admission) if admission.source == Source::Store => "200 store",
        Verdict::Permitted(_) => "200 cached",
        Verdict::Denied { source: Source::Store, .. } => "401 store",
        Verdict::Denied { .. } => "401 cached",
        Verdict::Unavailable(_) => "503",
    }
}

async fn check(replicas: u32, columns: &[Column]) {
    for column in columns {
        let site = Site::start(replicas).await;
        let states = states(&site.fixture).await;
        (column.fault)(&site);
        site.clock.advance_ms(column.passed_ms);
        for ((state, credential), (expected_state, expected)) in states.iter().zip(column.answers) {
            assert_eq!(*state, expected_state);
            assert_eq!(
                answer(&site.fixture, credential).await,
                expected,
                "{state}, while the store is {}",
                column.name
            );
        }
    }
}

/// Heartbeats are writes: they fail, while look-ups are answered.
fn no_writes(site: &Site) {
    assert_eq!(site.fixture.redis.ask(&["config", "set", "min-replicas-to-write", "1"]), "OK");
}

fn silent(site: &Site) {
    site.proxy.set(Fault::BlackHole);
}

fn gone(site: &Site) {
    site.proxy.set(Fault::Reset);
}

fn replica_stopped(site: &Site) {
    site.replica.as_ref().unwrap().signal("-STOP");
}

const WITHOUT_STORE: [(&str, &str); 6] = [
    ("valid, counts", "200 cached"),
    ("valid, below a floor", "503"),
    ("inactive, counts", "401 cached"),
    ("absent, counts", "503"),
    ("nothing", "503"),
    ("malformed", "401 cached"),
];

const NOTHING: [(&str, &str); 6] = [
    ("valid, counts", "503"),
    ("valid, below a floor", "503"),
    ("inactive, counts", "503"),
    ("absent, counts", "503"),
    ("nothing", "503"),
    ("malformed", "401 cached"),
];

const BY_THE_STORE: [(&str, &str); 6] = [
    ("valid, counts", "200 store"),
    ("valid, below a floor", "200 store"),
    ("inactive, counts", "401 store"),
    ("absent, counts", "401 store"),
    ("nothing", "200 store"),
    ("malformed", "401 cached"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_with_one_copy_of_the_store() {
    let live = [
        ("valid, counts", "200 cached"),
        ("valid, below a floor", "200 store"),
        ("inactive, counts", "401 cached"),
        ("absent, counts", "401 cached"),
        ("nothing", "200 store"),
        ("malformed", "401 cached"),
    ];
    check(
        0,
        &[
            Column { name: "well", fault: |_| {}, passed_ms: 0, answers: live },
            Column { name: "stale and answering", fault: no_writes, passed_ms: STALE_MS, answers: BY_THE_STORE },
            Column { name: "stale and silent", fault: silent, passed_ms: STALE_MS, answers: WITHOUT_STORE },
            Column { name: "stale and gone", fault: gone, passed_ms: STALE_MS, answers: WITHOUT_STORE },
            Column { name: "expired and answering", fault: no_writes, passed_ms: EXPIRED_MS, answers: BY_THE_STORE },
            Column { name: "expired and silent", fault: silent, passed_ms: EXPIRED_MS, answers: NOTHING },
            Column { name: "expired and gone", fault: gone, passed_ms: EXPIRED_MS, answers: NOTHING },
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_with_several_copies_of_which_one_may_be_old() {
    let stale = [
        ("valid, counts", "200 store"),
        ("valid, below a floor", "200 store"),
        ("inactive, counts", "401 store"),
        ("absent, counts", "503"),
        ("nothing", "200 store"),
        ("malformed", "401 cached"),
    ];
    check(
        1,
        &[
            Column { name: "stale and answering", fault: replica_stopped, passed_ms: STALE_MS, answers: stale },
            Column { name: "expired and answering", fault: replica_stopped, passed_ms: EXPIRED_MS, answers: NOTHING },
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_gateway_asks_the_store_once_a_second_for_each_key() {
    let site = Site::start(0).await;
    let (_, key) = site.fixture.key().await;
    assert_eq!(site.fixture.source(&key).await, Source::Store);
    no_writes(&site);
    site.clock.advance_ms(STALE_MS);
    assert_eq!(site.fixture.source(&key).await, Source::Store);
    for _ in 0..10 {
        assert_eq!(site.fixture.source(&key).await, Source::Cache);
    }
    site.clock.advance_ms(1_000);
    assert_eq!(site.fixture.source(&key).await, Source::Store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_redis_turns_no_hit_into_a_look_up() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port());
    let port = proxy.port();
    let fixture = Fixture::on(redis, port, Replicas::NONE, Arc::new(SystemClock), options()).await;
    let (_, key) = fixture.key().await;
    let (other, _) = fixture.key().await;
    assert_eq!(fixture.source(&key).await, Source::Store);
    for latency_ms in [5, 50, 500] {
        proxy.set(Fault::Latency(Duration::from_millis(latency_ms)));
        let ends = Instant::now() + Duration::from_secs(3);
        while Instant::now() < ends {
            // Changes that the feed has to bring all the time.
            fixture.rename(&other).await;
            assert_eq!(fixture.source(&key).await, Source::Cache, "with {latency_ms} ms");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy.set(Fault::BlackHole);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(fixture.source(&key).await, Source::Cache, "in a black hole after {latency_ms} ms");
        proxy.set(Fault::None);
        fixture.until(async |fixture| fixture.verifier().liveness() == Liveness::Live).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_half_open_or_cut_come_back() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port());
    let port = proxy.port();
    let fixture = Fixture::on(redis, port, Replicas::NONE, Arc::new(SystemClock), options()).await;
    for fault in [Fault::HalfOpen, Fault::CutAfter(2000), Fault::Reset] {
        let (_, key) = fixture.key().await;
        assert_eq!(fixture.source(&key).await, Source::Store);
        proxy.set(fault);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(fixture.source(&key).await, Source::Cache, "{fault:?}");
        proxy.set(Fault::None);
        fixture.until(async |fixture| fixture.store.last_position().await.is_ok()).await;
        fixture.until(async |fixture| fixture.verifier().liveness() == Liveness::Live).await;
        assert_eq!(fixture.source(&key).await, Source::Cache, "after {fault:?}");
    }
}
