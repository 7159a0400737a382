//! A verifier on a Redis server of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, KeyId};
use gatepost_domain::key::{Env, Secret};
use gatepost_domain::partition::Partition;
use gatepost_domain::permit::{EnvRule, RequestFacts, Requirement};
use gatepost_domain::record::{Actor, ApiKey, Project, RateLimit, Status};
use gatepost_domain::time::{Clock, Timestamp, Version};
use gatepost_limits::{OutagePolicy, RateLimiter};
use gatepost_store::CommitOutcome;
use gatepost_store::clock::SystemClock;
use gatepost_store::{
    CellStore, Change, FirstUseOutcome, Format, MasterKey, RecordWrite, Replicas, Store, StoreOptions, StoreUrl, os_rng,
};
use gatepost_test_support::{RedisServer, records};
use gatepost_verify::{ReplicaSync, Source, Verdict, Verifier, VerifyOptions};
use prometheus::Registry;

/// Client address of the requests.
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// A change makes all cached keys of its watermark stripe stale. With this many stripes, two keys of a test share one
/// about once in a million runs.
const CACHE_CAPACITY: u64 = 1 << 20;
/// Maximum duration of any wait, for a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Fixture {
    pub(crate) redis: RedisServer,
    pub(crate) store: CellStore,
    options: StoreOptions,
    master: MasterKey,
    project: Project,
    registry: Registry,
    replica_sync: ReplicaSync,
}

pub(crate) fn options() -> VerifyOptions {
    VerifyOptions {
        cache_capacity: CACHE_CAPACITY,
        negative_capacity: 100,
        max_stale: Duration::from_secs(60),
        max_lookups: 100,
        max_wrong_keys_a_minute: 600,
        name: "test".to_owned(),
    }
}

/// Returns options for a store on a port of this machine.
pub(crate) fn store_options(port: u16, replicas: Replicas, clock: Arc<dyn Clock>) -> StoreOptions {
    let url = StoreUrl::parse(&format!("redis://127.0.0.1:{port}")).unwrap();
    StoreOptions { replicas, ..StoreOptions::new(url, clock) }
}

impl Fixture {
    pub(crate) async fn start(options: VerifyOptions) -> Self {
        let redis = RedisServer::start();
        let port = redis.port();
        Self::start_on(redis, port, Replicas::NONE, Arc::new(SystemClock), options).await
    }

    /// Starts a fixture whose verifier follows this outage policy.
    pub(crate) async fn with_outage_policy(policy: OutagePolicy) -> Self {
        let mut fixture = Self::start(options()).await;
        let replica_sync = fixture.start_gateway(policy).await;
        std::mem::replace(&mut fixture.replica_sync, replica_sync).stop().await.unwrap();
        fixture
    }

    /// Starts a fixture on another clock, with replicas, and with the verifier connected to another port.
    pub(crate) async fn start_on(
        redis: RedisServer,
        port: u16,
        replicas: Replicas,
        clock: Arc<dyn Clock>,
        options: VerifyOptions,
    ) -> Self {
        let store_options = store_options(port, replicas, Arc::clone(&clock));
        Self::start_with(redis, store_options, clock, options).await
    }

    /// Starts a fixture on a store of an earlier format.
    pub(crate) async fn start_in(format: Format) -> Self {
        let (redis, clock) = (RedisServer::start(), Arc::new(SystemClock));
        let store_options = store_options(redis.port(), Replicas::NONE, clock.clone());
        Self::start_with(redis, StoreOptions { write_format: format, ..store_options }, clock, options()).await
    }

    async fn start_with(
        redis: RedisServer,
        store_options: StoreOptions,
        clock: Arc<dyn Clock>,
        options: VerifyOptions,
    ) -> Self {
        let master = MasterKey::generate(&mut os_rng());
        let store = Store::open_or_create(&store_options, &master).await.unwrap().single_cell().clone();
        let project = project(&store).await;
        let registry = Registry::new();
        let rate_limiter =
            RateLimiter::start(store.clone(), Arc::clone(&clock), OutagePolicy::Local, &registry).unwrap();
        let replica_sync =
            gatepost_verify::start(vec![store.clone()], clock, &options, rate_limiter, &registry).await.unwrap();
        Self { redis, store, options: store_options, master, project, registry, replica_sync }
    }

    /// Starts another gateway on the same store.
    pub(crate) async fn start_second_gateway(&self) -> ReplicaSync {
        self.start_gateway(OutagePolicy::Local).await
    }

    async fn start_gateway(&self, policy: OutagePolicy) -> ReplicaSync {
        let (clock, registry) = (Arc::new(SystemClock), Registry::new());
        let rate_limiter = RateLimiter::start(self.store.clone(), clock.clone(), policy, &registry).unwrap();
        gatepost_verify::start(vec![self.store.clone()], clock, &options(), rate_limiter, &registry).await.unwrap()
    }

    pub(crate) fn verifier(&self) -> Arc<Verifier> {
        self.replica_sync.verifier()
    }

    pub(crate) async fn check(&self, credential: &str) -> Verdict {
        check(&self.replica_sync, credential).await
    }

    /// Checks a credential on a route for keys of env `test`.
    pub(crate) async fn check_on_test_route(&self, credential: &str) -> Verdict {
        self.verifier().check(credential, &requirement(Env::Test), &RequestFacts::default()).await
    }

    /// Returns the source of the verdict for a valid key.
    pub(crate) async fn source(&self, credential: &str) -> Source {
        let verdict = self.check(credential).await;
        let Verdict::Permitted(admission) = verdict else { panic!("{verdict:?}") };
        admission.source
    }

    /// Creates a key, and waits until the gateway has read of it: a key that is fetched before is fetched once more.
    pub(crate) async fn key(&self) -> (KeyId, String) {
        let secret = records::secret();
        let id = self.create(&secret).await;
        wait_until_applied(&self.store).await;
        (id, secret.expose().to_owned())
    }

    pub(crate) async fn key_of(&self, value: &str) -> KeyId {
        self.create(&Secret::new(value.to_owned())).await
    }

    /// Opens the store as another process does, which replays nothing once this is dropped.
    async fn other_process(&self) -> CellStore {
        Store::open(&self.options, &self.master).await.unwrap().single_cell().clone()
    }

    /// Records the first use of a key by another process, which has ended since.
    pub(crate) async fn use_in_another_process(&self, secret: &str) {
        let store = self.other_process().await;
        let digest = store.envelope().digest(secret);
        let facts = store.lookup(&digest).await.unwrap().found.unwrap().facts;
        let outcome = store.claim_first_use(&facts, &digest, None).await.unwrap();
        assert!(matches!(outcome, FirstUseOutcome::Won(_)), "{outcome:?}");
    }

    /// Returns how many uses of a key are in the store.
    pub(crate) async fn uses(&self, key: &KeyId) -> u64 {
        let (from, to) = (Timestamp::from_ms(0), SystemClock.now().plus(Duration::from_secs(3600)));
        let periods = self.store.key_usage(&self.project.id, key, from, to).await.unwrap();
        periods.into_iter().map(|period| period.count).sum()
    }

    /// Returns the Redis key with the recent uses of the keys with which a key is stored.
    pub(crate) fn uses_key(&self, key: &KeyId) -> String {
        format!("{{gp:{}:{}}}:key-usage", self.project.id, key.partition().group().number())
    }

    /// Moves the clock of the store.
    pub(crate) fn skew_clock(&self, ms: i64) {
        self.options.clock_skew.add(ms);
    }

    /// Returns the value of a key that was created by another process, which has ended since.
    pub(crate) async fn key_of_another_process(&self) -> String {
        let store = self.other_process().await;
        let secret = records::secret();
        let key = records::api_key(&self.project, &secret, |value| store.envelope().digest(value));
        commit(&store, Action::ApiKeyCreated, RecordWrite::create(key)).await;
        secret.expose().to_owned()
    }

    /// Creates a key whose uses are not stored with those of the others.
    pub(crate) async fn key_of_another_group(&self) -> (KeyId, String) {
        let secret = records::secret();
        let id = KeyId::parse("key_01another").unwrap();
        let key = ApiKey {
            id: id.clone(),
            ..records::api_key(&self.project, &secret, |value| self.store.envelope().digest(value))
        };
        commit(&self.store, Action::ApiKeyCreated, RecordWrite::create(key)).await;
        (id, secret.expose().to_owned())
    }

    /// Returns the value of a key with a rate limit.
    pub(crate) async fn limited_key(&self, limit: u64, window: Duration) -> String {
        let secret = records::secret();
        let key = ApiKey {
            rate_limit: Some(RateLimit { limit, window }),
            ..records::api_key(&self.project, &secret, |value| self.store.envelope().digest(value))
        };
        commit(&self.store, Action::ApiKeyCreated, RecordWrite::create(key)).await;
        secret.expose().to_owned()
    }

    async fn create(&self, secret: &Secret) -> KeyId {
        let key = records::api_key(&self.project, secret, |value| self.store.envelope().digest(value));
        let id = key.id.clone();
        commit(&self.store, Action::ApiKeyCreated, RecordWrite::create(key)).await;
        id
    }

    /// Renames a key from another process, directly on Redis without the proxy.
    pub(crate) async fn rename(&self, id: &KeyId) {
        let url = StoreUrl::parse(&self.redis.url()).unwrap();
        let options = StoreOptions { url, replicas: Replicas::NONE, ..self.options.clone() };
        let store = Store::open(&options, &self.master).await.unwrap().single_cell().clone();
        let key = store.api_key(id).await.unwrap().unwrap();
        let renamed = ApiKey { name: "renamed".to_owned(), ..key.record.clone() };
        commit(&store, Action::ApiKeyUpdated, RecordWrite::replace(key, renamed)).await;
    }

    pub(crate) async fn revoke(&self, id: &KeyId) {
        let key = self.store.api_key(id).await.unwrap().unwrap();
        let revoked = ApiKey { status: Status::Inactive, ..key.record.clone() };
        commit(&self.store, Action::ApiKeyDeleted, RecordWrite::replace(key, revoked)).await;
    }

    /// Waits until a condition holds.
    pub(crate) async fn wait_until(&self, condition: impl AsyncFn(&Self) -> bool) {
        wait_until(async || condition(self).await).await;
    }

    pub(crate) async fn wait_for_metric(&self, name: &str, value: f64) {
        self.wait_until(async |fixture| (fixture.metric(name) - value).abs() < f64::EPSILON).await;
    }

    pub(crate) fn first_uses(&self) -> u64 {
        self.metric("gatepost_first_use_total") as u64
    }

    /// Returns the address of the latest first use, if it was recorded.
    pub(crate) async fn first_use_client(&self) -> Option<IpAddr> {
        let entries = self.store.audit_feed().read(Version::ZERO, 100, Duration::ZERO).await.unwrap().entries;
        let contents = entries.into_iter().filter_map(|entry| entry.content.ok());
        contents.filter(|content| content.action == Action::ApiKeyFirstUsed).last().unwrap().metadata.address
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }
}

/// Waits until all gateways of a store have applied all changes.
pub(crate) async fn wait_until_applied(store: &CellStore) {
    let last = store.last_position().await.unwrap();
    wait_until(async || store.gateways().await.unwrap().iter().all(|gateway| gateway.cursor >= last)).await;
}

/// Waits until a condition holds.
pub(crate) async fn wait_until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "the condition never held");
}

/// Returns the verdict of a gateway on a route for live keys.
pub(crate) async fn check(replica_sync: &ReplicaSync, credential: &str) -> Verdict {
    let request = RequestFacts { client: Some(CLIENT), ..RequestFacts::default() };
    replica_sync.verifier().check(credential, &live_requirement(), &request).await
}

/// Requirements of a route for live keys.
pub(crate) fn live_requirement() -> Requirement {
    requirement(Env::Live)
}

pub(crate) fn requirement(env: Env) -> Requirement {
    Requirement { projects: vec![], env: EnvRule::Only(env), permissions: vec![] }
}

pub(crate) async fn project(store: &CellStore) -> Project {
    let account = records::account("account");
    let project = records::project(&account.id);
    commit(store, Action::AccountCreated, RecordWrite::create(account)).await;
    commit(store, Action::ProjectCreated, RecordWrite::create(project.clone())).await;
    project
}

pub(crate) async fn commit(store: &CellStore, action: Action, write: RecordWrite) {
    let event = EventId::generate_in(Partition::default(), &mut os_rng());
    let change =
        Change { event, action, actor: Actor::Operator, writes: vec![write], secret: None, stored_response: None };
    assert!(matches!(store.commit(&change).await.unwrap(), CommitOutcome::Committed(_)));
}
