//! A verifier on a Redis of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, KeyId};
use gatepost_domain::key::{Env, Secret};
use gatepost_domain::permit::{EnvRule, RequestFacts, Requirement};
use gatepost_domain::record::{Actor, ApiKey, Project, RateLimit, Status};
use gatepost_domain::time::{Clock, Version};
use gatepost_store::act::CommitAnswer;
use gatepost_store::clock::SystemClock;
use gatepost_store::{
    AccountBounds, Change, Format, MasterKey, Replicas, Skew, Store, StoreOptions, StoreUrl, UnsafeRedis, Write, os_rng,
};
use gatepost_test_support::{RedisServer, records};
use gatepost_verify::{Feed, Meters, Source, Verdict, Verifier, VerifyOptions, WhenStoreIsDown};
use prometheus::Registry;

/// Where requests come from.
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// How long anything may take here, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Fixture {
    pub(crate) redis: RedisServer,
    pub(crate) store: Store,
    options: StoreOptions,
    master: MasterKey,
    project: Project,
    registry: Registry,
    feed: Feed,
}

pub(crate) fn options() -> VerifyOptions {
    VerifyOptions {
        cache_capacity: 1000,
        negative_capacity: 100,
        max_stale: Duration::from_secs(60),
        max_lookups: 100,
        max_wrong_keys_a_minute: 600,
    }
}

impl Fixture {
    pub(crate) async fn start(options: VerifyOptions) -> Self {
        let redis = RedisServer::start();
        let port = redis.port();
        Self::on(redis, port, Replicas::NONE, Arc::new(SystemClock), options).await
    }

    /// One whose limits go on like that while the store is away.
    pub(crate) async fn when_store_is_down(when: WhenStoreIsDown) -> Self {
        let fixture = Self::start(options()).await;
        let feed = fixture.another(when).await;
        Self { feed, ..fixture }
    }

    /// The same by another clock, with replicas, and where the verifier reaches Redis at another port.
    pub(crate) async fn on(
        redis: RedisServer,
        port: u16,
        replicas: Replicas,
        clock: Arc<dyn Clock>,
        options: VerifyOptions,
    ) -> Self {
        let store_options = StoreOptions {
            url: StoreUrl::parse(&format!("redis://127.0.0.1:{port}")).unwrap(),
            namespace: "gp".to_owned(),
            unsafe_redis: UnsafeRedis::Refused,
            replicas,
            write_format: Format::LATEST,
            max_entries: 1000,
            account_bounds: AccountBounds::DEFAULT,
            clock: Arc::clone(&clock),
            skew: Skew::default(),
        };
        let master = MasterKey::generate(&mut os_rng());
        let store = Store::open_or_create(&store_options, &master).await.unwrap();
        let project = project(&store).await;
        let registry = Registry::new();
        let meters = Meters::start(store.clone(), Arc::clone(&clock), WhenStoreIsDown::Local, &registry).unwrap();
        let feed = gatepost_verify::start(store.clone(), clock, &options, meters, &registry).await.unwrap();
        Self { redis, store, options: store_options, master, project, registry, feed }
    }

    /// Another gateway on the same store.
    pub(crate) async fn second(&self) -> Feed {
        self.another(WhenStoreIsDown::Local).await
    }

    async fn another(&self, when: WhenStoreIsDown) -> Feed {
        let (clock, registry) = (Arc::new(SystemClock), Registry::new());
        let meters = Meters::start(self.store.clone(), clock.clone(), when, &registry).unwrap();
        gatepost_verify::start(self.store.clone(), clock, &options(), meters, &registry).await.unwrap()
    }

    pub(crate) fn verifier(&self) -> Arc<Verifier> {
        self.feed.verifier()
    }

    pub(crate) async fn check(&self, credential: &str) -> Verdict {
        check(&self.feed, credential).await
    }

    /// The same on a route for keys of env `test`.
    pub(crate) async fn check_for_tests(&self, credential: &str) -> Verdict {
        self.verifier().check(credential, &requirement(Env::Test), &RequestFacts::default()).await
    }

    /// Where the permit of a valid key came from.
    pub(crate) async fn source(&self, credential: &str) -> Source {
        let verdict = self.check(credential).await;
        let Verdict::Permitted(admission) = verdict else { panic!("{verdict:?}") };
        admission.source
    }

    pub(crate) async fn key(&self) -> (KeyId, String) {
        let secret = records::secret();
        (self.make(&secret).await, secret.expose().to_owned())
    }

    pub(crate) async fn key_of(&self, value: &str) -> KeyId {
        self.make(&Secret::new(value.to_owned())).await
    }

    /// The value of a key that a process made which has ended since.
    pub(crate) async fn key_of_another_process(&self) -> String {
        let store = Store::open(&self.options, &self.master).await.unwrap();
        let secret = records::secret();
        let key = records::api_key(&self.project, &secret, |value| store.digest(value));
        commit(&store, Action::ApiKeyCreated, Write::create(key)).await;
        secret.expose().to_owned()
    }

    /// The value of a key with a limit.
    pub(crate) async fn limited_key(&self, limit: u64, window: Duration) -> String {
        let secret = records::secret();
        let key = ApiKey {
            rate_limit: Some(RateLimit { limit, window }),
            ..records::api_key(&self.project, &secret, |value| self.store.digest(value))
        };
        commit(&self.store, Action::ApiKeyCreated, Write::create(key)).await;
        secret.expose().to_owned()
    }

    async fn make(&self, secret: &Secret) -> KeyId {
        let key = records::api_key(&self.project, secret, |value| self.store.digest(value));
        let id = key.id.clone();
        commit(&self.store, Action::ApiKeyCreated, Write::create(key)).await;
        id
    }

    /// Changes a key without shutting it off, as another process that nothing comes between.
    pub(crate) async fn rename(&self, id: &KeyId) {
        let url = StoreUrl::parse(&self.redis.url()).unwrap();
        let options = StoreOptions { url, replicas: Replicas::NONE, ..self.options.clone() };
        let store = Store::open(&options, &self.master).await.unwrap();
        let key = store.api_key(id).await.unwrap().unwrap();
        let renamed = ApiKey { name: "renamed".to_owned(), ..key.record.clone() };
        commit(&store, Action::ApiKeyUpdated, Write::replace(key, renamed)).await;
    }

    pub(crate) async fn revoke(&self, id: &KeyId) {
        let key = self.store.api_key(id).await.unwrap().unwrap();
        let off = ApiKey { status: Status::Inactive, ..key.record.clone() };
        commit(&self.store, Action::ApiKeyDeleted, Write::replace(key, off)).await;
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, is_so: impl AsyncFn(&Self) -> bool) {
        let waiting = async {
            while !is_so(self).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "it never came to be so");
    }

    pub(crate) async fn until_metric(&self, name: &str, value: f64) {
        self.until(async |fixture| (fixture.metric(name) - value).abs() < f64::EPSILON).await;
    }

    pub(crate) fn first_uses(&self) -> u64 {
        self.metric("gatepost_first_use_total") as u64
    }

    /// The address of the last first use, if it was told.
    pub(crate) async fn first_use_came_from(&self) -> Option<IpAddr> {
        let entries = self.store.feed(Version::ZERO, 100, Duration::ZERO).await.unwrap();
        let told = entries.into_iter().filter_map(|entry| entry.told.ok());
        told.filter(|told| told.action == Action::ApiKeyFirstUsed).last().unwrap().head.address
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }
}

/// The verdict of a gateway on a route for live keys.
pub(crate) async fn check(feed: &Feed, credential: &str) -> Verdict {
    let request = RequestFacts { client: Some(CLIENT), ..RequestFacts::default() };
    feed.verifier().check(credential, &live(), &request).await
}

/// What a route for live keys asks.
pub(crate) fn live() -> Requirement {
    requirement(Env::Live)
}

pub(crate) fn requirement(env: Env) -> Requirement {
    Requirement { projects: vec![], env: EnvRule::Only(env), permissions: vec![] }
}

async fn project(store: &Store) -> Project {
    let account = records::account("account");
    let project = records::project(&account.id);
    commit(store, Action::AccountCreated, Write::create(account)).await;
    commit(store, Action::ProjectCreated, Write::create(project.clone())).await;
    project
}

async fn commit(store: &Store, action: Action, write: Write) {
    let event = EventId::generate(&mut os_rng());
    let change = Change { event, action, actor: Actor::Operator, writes: vec![write], secret: None, receipt: None };
    assert!(matches!(store.commit(&change).await.unwrap(), CommitAnswer::Committed(_)));
}
