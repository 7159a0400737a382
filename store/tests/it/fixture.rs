//! Test backends, and fixtures with records.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::{Action, Topic};
use gatepost_domain::id::{EventId, KeyId, WebhookId};
use gatepost_domain::key::Secret;
use gatepost_domain::partition::Partition;
use gatepost_domain::record::{
    Account, Actor, ApiKey, DeliverySettings, Project, Record, Role, Status, Webhook, WebhookHealth, WebhookStatus,
    WebhookUrl,
};
use gatepost_domain::time::{Clock, Timestamp, Version};
use gatepost_store::CommitOutcome;
use gatepost_store::clock::SystemClock;
use gatepost_store::{
    CellStore, Change, ClockSkew, MasterKey, RecordWrite, Replicas, Store, StoreOptions, StoreUrl, Versioned, os_rng,
};
pub(crate) use gatepost_test_support::records::account;
use gatepost_test_support::records::{self, project, stamps};
use gatepost_test_support::{RedisCluster, RedisServer, SentinelSet};
use tempfile::TempDir;

/// The access control list shipped to operators. Every store on Redis is tested with it.
pub(crate) const ACL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/redis/gatepost.acl"));
/// User and placeholder password in the list.
const ACL_CREDENTIALS: &str = "gatepost:CHANGE-ME";

/// Returns the list for other namespaces.
pub(crate) fn acl_for(namespaces: &[&str]) -> String {
    let patterns = namespaces.iter().map(|name| format!("~{{{name}}}:* ~{{{name}:*")).collect::<Vec<_>>().join(" ");
    let acl = ACL.replace("~{gp}:* ~{gp:*", &patterns);
    assert_ne!(acl, ACL);
    acl
}

/// A backend to test, with its options and the resources it needs.
pub(crate) struct TestBackend {
    pub options: StoreOptions,
    pub master: MasterKey,
    _directory: Option<TempDir>,
    pub redis: Option<RedisServer>,
}

/// A store with one account and one project.
pub(crate) struct Fixture {
    pub store: CellStore,
    pub account: Versioned<Account>,
    pub project: Versioned<Project>,
    pub skew: ClockSkew,
    pub backend: TestBackend,
}

impl TestBackend {
    pub(crate) fn memory() -> Self {
        Self::with_url(StoreUrl::Memory, None, None)
    }

    pub(crate) fn disk() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Embedded(directory.path().join("data"));
        Self::with_url(url, Some(directory), None)
    }

    pub(crate) fn redis() -> Self {
        Self::on_server(RedisServer::start_with_acl(ACL))
    }

    /// Uses a server that was started with the list.
    pub(crate) fn on_server(redis: RedisServer) -> Self {
        Self::with_url(with_credentials(&redis.url()), None, Some(redis))
    }

    /// Uses servers that were started with the list for this namespace.
    pub(crate) fn sentinel(set: &SentinelSet, case: &str) -> Self {
        let backend = Self::with_url(with_credentials(&set.url()), None, None);
        backend.with_replicas(case, 2)
    }

    /// Uses servers that were started with the list for this namespace.
    pub(crate) fn cluster(cluster: &RedisCluster, case: &str) -> Self {
        let backend = Self::with_url(with_credentials(&cluster.url()), None, None);
        backend.with_replicas(case, 1)
    }

    /// Sets the namespace and the number of replicas that must confirm writes.
    fn with_replicas(mut self, namespace: &str, replicas: u32) -> Self {
        self.options.namespace = namespace.to_owned();
        self.options.replicas = Replicas { count: replicas, timeout: Duration::from_secs(5) };
        self
    }

    fn with_url(url: StoreUrl, directory: Option<TempDir>, redis: Option<RedisServer>) -> Self {
        let defaults = StoreOptions::new(url, Arc::new(SystemClock));
        let options = StoreOptions { max_fan_out_backlog: 1000, ..defaults };
        Self { options, master: MasterKey::generate(&mut os_rng()), _directory: directory, redis }
    }

    /// Opens the store once more, as another process would.
    pub(crate) async fn open(&self) -> CellStore {
        Store::open(&self.options, &self.master).await.unwrap().single_cell().clone()
    }

    /// Creates a store with one account and one project.
    pub(crate) async fn fixture(self) -> Fixture {
        let store = Store::open_or_create(&self.options, &self.master).await.unwrap().single_cell().clone();
        let account = account("first");
        commit(&store, Action::AccountCreated, vec![RecordWrite::create(account.clone())], None).await;
        let account = store.account(&account.id).await.unwrap().unwrap();
        let project = project(&account.record.id);
        commit(&store, Action::ProjectCreated, vec![RecordWrite::create(project.clone())], None).await;
        let project = store.project(&project.id).await.unwrap().unwrap();
        Fixture { store, account, project, skew: self.options.clock_skew.clone(), backend: self }
    }
}

/// Returns the store's URL with the credentials of the list's user.
fn with_credentials(url: &str) -> StoreUrl {
    StoreUrl::parse(&url.replacen("://", &format!("://{ACL_CREDENTIALS}@"), 1)).unwrap()
}

impl Fixture {
    /// Creates an active key and returns it with its value.
    pub(crate) async fn key(&self) -> (Versioned<ApiKey>, Secret) {
        let (key, secret) = api_key(&self.store, &self.project.record);
        commit(&self.store, Action::ApiKeyCreated, vec![RecordWrite::create(key.clone())], Some(secret.clone())).await;
        (self.reload(&key.id).await, secret)
    }

    /// Returns the time of the store's clock, as near as this process knows it.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_ms(SystemClock.now().as_ms().saturating_add_signed(self.skew.ms()))
    }

    /// Reads the current state of a key.
    pub(crate) async fn reload(&self, id: &KeyId) -> Versioned<ApiKey> {
        self.store.api_key(id).await.unwrap().unwrap()
    }

    /// Revokes a key.
    pub(crate) async fn revoke(&self, key: Versioned<ApiKey>) -> Version {
        let revoked = ApiKey { status: Status::Inactive, ..key.record.clone() };
        commit(&self.store, Action::ApiKeyDeleted, vec![RecordWrite::replace(key, revoked)], None).await
    }

    /// Creates a webhook for all topics of the account.
    pub(crate) async fn webhook(&self) -> Webhook {
        let id = WebhookId::generate_in(Partition::default(), &mut os_rng());
        let webhook = Webhook {
            secret: self.store.envelope().seal_webhook_secret(&id, &[7; 32]).unwrap(),
            id,
            account: self.account.record.id.clone(),
            project: None,
            name: "hook".to_owned(),
            url: WebhookUrl::new("https://example.com/"),
            topics: Topic::ALL.to_vec(),
            method: "POST".to_owned(),
            custom_headers: vec![],
            status: WebhookStatus::Live,
            status_changed_at: None,
            url_set_by: Role::Admin,
            old_secrets: vec![],
            static_token: None,
            delivery: DeliverySettings::default(),
            health: WebhookHealth::default(),
            stamps: stamps(),
        };
        commit(&self.store, Action::WebhookCreated, vec![RecordWrite::create(webhook.clone())], None).await;
        webhook
    }
}

/// Commits a change, which must be applied now.
pub(crate) async fn commit(
    store: &CellStore,
    action: Action,
    writes: Vec<RecordWrite>,
    secret: Option<Secret>,
) -> Version {
    let outcome = store.commit(&change(action, writes, secret)).await.unwrap();
    let CommitOutcome::Committed(position) = outcome else { panic!("{outcome:?}") };
    position.version
}

pub(crate) fn change(action: Action, writes: Vec<RecordWrite>, secret: Option<Secret>) -> Change {
    Change {
        event: EventId::generate_in(Partition::default(), &mut os_rng()),
        action,
        actor: Actor::Operator,
        writes,
        secret,
        stored_response: None,
    }
}

/// Returns a new key that is not stored yet, with its value.
pub(crate) fn api_key(store: &CellStore, project: &Project) -> (ApiKey, Secret) {
    let secret = records::secret();
    (records::api_key(project, &secret, |value| store.envelope().digest(value)), secret)
}

/// Returns the key's record with another name.
pub(crate) fn renamed(key: &Versioned<ApiKey>, name: &str) -> Record {
    Record::ApiKey(ApiKey { name: name.to_owned(), ..key.record.clone() })
}
