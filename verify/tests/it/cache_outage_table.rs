//! The outage table of ARCHITECTURE.md: cache state × store state → response, each case on a real Redis.

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
/// Longer than that plus `max_stale`.
const EXPIRED_MS: u64 = 65_000;

/// A state of the store, with the expected response for each state of the cache.
struct Scenario {
    name: &'static str,
    fault: fn(&ProxiedVerifier),
    elapsed_ms: u64,
    expected: [(&'static str, &'static str); 6],
}

/// A verifier behind a proxy, on a clock that does not advance by itself.
struct ProxiedVerifier {
    fixture: Fixture,
    proxy: FaultProxy,
    clock: Arc<ManualClock>,
    replica: Option<RedisServer>,
}

impl ProxiedVerifier {
    async fn start(replicas: u32) -> Self {
        let redis = RedisServer::start();
        let replica = (replicas > 0).then(|| redis.start_replica());
        let proxy = FaultProxy::start(redis.port());
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let port = proxy.port();
        let replicas = Replicas { count: replicas, timeout: Duration::from_secs(5) };
        let fixture = Fixture::start_on(redis, port, replicas, Arc::<ManualClock>::clone(&clock), options()).await;
        fixture.wait_until(async |fixture| fixture.verifier().liveness() == Liveness::Live).await;
        Self { fixture, proxy, clock, replica }
    }
}

/// Creates a credential for each state of the cache.
async fn credentials_by_cache_state(fixture: &Fixture) -> [(&'static str, String); 6] {
    let (_, valid) = fixture.key().await;
    let (changed, below_watermark) = fixture.key().await;
    let (revoked, inactive) = fixture.key().await;
    let (_, unseen) = fixture.key().await;
    for key in [&valid, &below_watermark] {
        assert_eq!(fixture.source(key).await, Source::Store);
        assert_eq!(fixture.source(key).await, Source::Cache);
    }
    fixture.revoke(&revoked).await;
    for denied in [&inactive, "absent-value"] {
        fixture.wait_until(async |fixture| outcome(fixture, denied).await == "401 cached").await;
    }
    rename_and_wait_for_sync(fixture, &changed).await;
    [
        ("valid, fresh", valid),
        ("valid, below a watermark", below_watermark),
        ("inactive, fresh", inactive),
        ("not found, fresh", "absent-value".to_owned()),
        ("not cached", unseen),
        ("malformed", "a b".to_owned()),
    ]
}

/// Changes a key and waits until the feed has delivered that, which is certain once a later revocation has
/// arrived.
async fn rename_and_wait_for_sync(fixture: &Fixture, key: &KeyId) {
    let (marker, secret) = fixture.key().await;
    assert_eq!(fixture.source(&secret).await, Source::Store);
    fixture.rename(key).await;
    fixture.revoke(&marker).await;
    fixture.wait_until(async |fixture| matches!(fixture.check(&secret).await, Verdict::Denied { .. })).await;
}

async fn outcome(fixture: &Fixture, credential: &str) -> &'static str {
    match fixture.check(credential).await {
        Verdict::Permitted(admission) if admission.source == Source::Store => "200 store",
        Verdict::Permitted(_) => "200 cached",
        Verdict::Denied { source: Source::Store, .. } => "401 store",
        Verdict::Denied { .. } => "401 cached",
        Verdict::Unavailable(_) => "503",
    }
}

async fn check(replicas: u32, scenarios: &[Scenario]) {
    for scenario in scenarios {
        let setup = ProxiedVerifier::start(replicas).await;
        let credentials = credentials_by_cache_state(&setup.fixture).await;
        (scenario.fault)(&setup);
        setup.clock.advance_ms(scenario.elapsed_ms);
        for ((cache_state, credential), (expected_state, expected)) in credentials.iter().zip(scenario.expected) {
            assert_eq!(*cache_state, expected_state);
            assert_eq!(
                outcome(&setup.fixture, credential).await,
                expected,
                "{cache_state}, while the store is {}",
                scenario.name
            );
        }
    }
}

/// Makes writes fail. Heartbeats are writes, lookups still succeed.
fn refuse_writes(setup: &ProxiedVerifier) {
    assert_eq!(setup.fixture.redis.redis_cli(&["config", "set", "min-replicas-to-write", "1"]), "OK");
}

fn black_hole(setup: &ProxiedVerifier) {
    setup.proxy.set_fault(Fault::BlackHole);
}

fn reset_connections(setup: &ProxiedVerifier) {
    setup.proxy.set_fault(Fault::Reset);
}

fn stop_replica(setup: &ProxiedVerifier) {
    setup.replica.as_ref().unwrap().signal("-STOP");
}

const FROM_CACHE_ONLY: [(&str, &str); 6] = [
    ("valid, fresh", "200 cached"),
    ("valid, below a watermark", "503"),
    ("inactive, fresh", "401 cached"),
    ("not found, fresh", "503"),
    ("not cached", "503"),
    ("malformed", "401 cached"),
];

const ALL_UNAVAILABLE: [(&str, &str); 6] = [
    ("valid, fresh", "503"),
    ("valid, below a watermark", "503"),
    ("inactive, fresh", "503"),
    ("not found, fresh", "503"),
    ("not cached", "503"),
    ("malformed", "401 cached"),
];

const FROM_STORE: [(&str, &str); 6] = [
    ("valid, fresh", "200 store"),
    ("valid, below a watermark", "200 store"),
    ("inactive, fresh", "401 store"),
    ("not found, fresh", "401 store"),
    ("not cached", "200 store"),
    ("malformed", "401 cached"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_without_replicas() {
    let live = [
        ("valid, fresh", "200 cached"),
        ("valid, below a watermark", "200 store"),
        ("inactive, fresh", "401 cached"),
        ("not found, fresh", "401 cached"),
        ("not cached", "200 store"),
        ("malformed", "401 cached"),
    ];
    check(
        0,
        &[
            Scenario { name: "healthy", fault: |_| {}, elapsed_ms: 0, expected: live },
            Scenario { name: "stale and responding", fault: refuse_writes, elapsed_ms: STALE_MS, expected: FROM_STORE },
            Scenario { name: "stale and silent", fault: black_hole, elapsed_ms: STALE_MS, expected: FROM_CACHE_ONLY },
            Scenario {
                name: "stale and gone",
                fault: reset_connections,
                elapsed_ms: STALE_MS,
                expected: FROM_CACHE_ONLY,
            },
            Scenario {
                name: "expired and responding",
                fault: refuse_writes,
                elapsed_ms: EXPIRED_MS,
                expected: FROM_STORE,
            },
            Scenario {
                name: "expired and silent",
                fault: black_hole,
                elapsed_ms: EXPIRED_MS,
                expected: ALL_UNAVAILABLE,
            },
            Scenario {
                name: "expired and gone",
                fault: reset_connections,
                elapsed_ms: EXPIRED_MS,
                expected: ALL_UNAVAILABLE,
            },
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_with_a_replica_that_may_be_stale() {
    let stale = [
        ("valid, fresh", "200 store"),
        ("valid, below a watermark", "200 store"),
        ("inactive, fresh", "401 store"),
        ("not found, fresh", "503"),
        ("not cached", "200 store"),
        ("malformed", "401 cached"),
    ];
    check(
        1,
        &[
            Scenario { name: "stale and responding", fault: stop_replica, elapsed_ms: STALE_MS, expected: stale },
            Scenario {
                name: "expired and responding",
                fault: stop_replica,
                elapsed_ms: EXPIRED_MS,
                expected: ALL_UNAVAILABLE,
            },
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_gateway_rechecks_each_key_once_a_second() {
    let setup = ProxiedVerifier::start(0).await;
    let (_, key) = setup.fixture.key().await;
    assert_eq!(setup.fixture.source(&key).await, Source::Store);
    refuse_writes(&setup);
    setup.clock.advance_ms(STALE_MS);
    assert_eq!(setup.fixture.source(&key).await, Source::Store);
    for _ in 0..10 {
        assert_eq!(setup.fixture.source(&key).await, Source::Cache);
    }
    setup.clock.advance_ms(1_000);
    assert_eq!(setup.fixture.source(&key).await, Source::Store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_redis_never_turns_a_cache_hit_into_a_lookup() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port());
    let port = proxy.port();
    let fixture = Fixture::start_on(redis, port, Replicas::NONE, Arc::new(SystemClock), options()).await;
    let (_, key) = fixture.key().await;
    let (other, _) = fixture.key().await;
    assert_eq!(fixture.source(&key).await, Source::Store);
    for latency_ms in [5, 50, 500] {
        proxy.set_fault(Fault::Latency(Duration::from_millis(latency_ms)));
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            // Changes, so that the feed is always busy.
            fixture.rename(&other).await;
            assert_eq!(fixture.source(&key).await, Source::Cache, "with {latency_ms} ms");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy.set_fault(Fault::BlackHole);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(fixture.source(&key).await, Source::Cache, "in a black hole after {latency_ms} ms");
        proxy.set_fault(Fault::None);
        fixture.wait_until(async |fixture| fixture.verifier().liveness() == Liveness::Live).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_and_cut_connections_recover() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port());
    let port = proxy.port();
    let fixture = Fixture::start_on(redis, port, Replicas::NONE, Arc::new(SystemClock), options()).await;
    for fault in [Fault::HalfOpen, Fault::CutAfter(2000), Fault::Reset] {
        let (_, key) = fixture.key().await;
        assert_eq!(fixture.source(&key).await, Source::Store);
        proxy.set_fault(fault);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(fixture.source(&key).await, Source::Cache, "{fault:?}");
        proxy.set_fault(Fault::None);
        fixture.wait_until(async |fixture| fixture.store.last_position().await.is_ok()).await;
        fixture.wait_until(async |fixture| fixture.verifier().liveness() == Liveness::Live).await;
        assert_eq!(fixture.source(&key).await, Source::Cache, "after {fault:?}");
    }
}
