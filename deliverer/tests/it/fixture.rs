//! An in-memory store with records, and a deliverer on it.

use std::sync::Arc;
use std::time::Duration;

use gatepost_deliverer::{Deliverer, DelivererOptions, Retention};
use gatepost_domain::change::{Action, Topic};
use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::key::Secret;
use gatepost_domain::partition::Partition;
use gatepost_domain::record::{
    Account, Actor, ApiKey, DeliverySettings, FailureLimits, Project, Role, Webhook, WebhookHealth, WebhookStatus,
    WebhookUrl,
};
use gatepost_domain::time::Clock;
use gatepost_store::clock::SystemClock;
use gatepost_store::{
    CellStore, Change, ClockSkew, MasterKey, RecordWrite, Store, StoreOptions, StoreUrl, Versioned, os_rng,
};
use gatepost_store::{CommitOutcome, DueWebhooks, WebhookNumbers};
use gatepost_test_support::{MockServer, records};
use gatepost_webhook_client::PrivateNetworks;
use prometheus::{Registry, TextEncoder};
use serde_json::Value;

/// Maximum duration of any wait, for a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A store with an account and a project, and a running deliverer.
pub(crate) struct Fixture {
    pub(crate) store: CellStore,
    pub(crate) skew: ClockSkew,
    pub(crate) account: Account,
    pub(crate) project: Project,
    pub(crate) deliverer: Deliverer,
    registry: Registry,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with_max_pending(1000).await
    }

    /// Starts a fixture with this maximum of pending deliveries per webhook.
    pub(crate) async fn with_max_pending(max_pending: u64) -> Self {
        Self::with_options(deliverer_options(max_pending), Arc::new(SystemClock)).await
    }

    /// Starts a fixture whose deliverer has these limits.
    pub(crate) async fn with_failure_limits(failure_limits: FailureLimits) -> Self {
        let options = DelivererOptions { failure_limits, ..deliverer_options(1000) };
        Self::with_options(options, Arc::new(SystemClock)).await
    }

    /// Starts a fixture whose store has this clock.
    pub(crate) async fn with_store_clock(clock: Arc<dyn Clock>) -> Self {
        Self::with_options(deliverer_options(1000), clock).await
    }

    async fn with_options(options: DelivererOptions, clock: Arc<dyn Clock>) -> Self {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let skew = ClockSkew::default();
        let store_options = StoreOptions { clock_skew: skew.clone(), ..StoreOptions::new(StoreUrl::Memory, clock) };
        let store = Store::open_or_create(&store_options, &MasterKey::generate(&mut os_rng()))
            .await
            .unwrap()
            .single_cell()
            .clone();
        let account = records::account("first");
        commit(&store, Action::AccountCreated, vec![RecordWrite::create(account.clone())], None).await;
        let registry = Registry::new();
        let deliverer = Deliverer::start(store.clone(), Arc::new(SystemClock), options, &registry).unwrap();
        let project = records::project(&account.id);
        let test = Self { store, skew, account, project, deliverer, registry };
        test.commit(Action::ProjectCreated, vec![RecordWrite::create(test.project.clone())], None).await;
        test
    }

    pub(crate) async fn commit(&self, action: Action, writes: Vec<RecordWrite>, secret: Option<Secret>) {
        commit(&self.store, action, writes, secret).await;
    }

    /// Creates another project in the account.
    pub(crate) async fn create_project(&self) -> Project {
        let project = records::project(&self.account.id);
        self.commit(Action::ProjectCreated, vec![RecordWrite::create(project.clone())], None).await;
        project
    }

    /// Creates a webhook of an admin for created and deleted keys of the account, modified by `change`.
    pub(crate) async fn create_webhook(
        &self,
        receiver: &MockServer,
        change: impl FnOnce(Webhook) -> Webhook,
    ) -> Webhook {
        let id = WebhookId::generate_in(Partition::default(), &mut os_rng());
        let webhook = Webhook {
            secret: self.store.envelope().seal_webhook_secret(&id, &[7; 32]).unwrap(),
            id,
            account: self.account.id.clone(),
            project: None,
            name: "hook".to_owned(),
            url: WebhookUrl::new(receiver.url()),
            topics: vec![Topic::ApiKeyCreated, Topic::ApiKeyDeleted],
            method: "POST".to_owned(),
            custom_headers: vec![],
            status: WebhookStatus::Live,
            status_changed_at: None,
            url_set_by: Role::Admin,
            old_secrets: vec![],
            static_token: None,
            delivery: DeliverySettings::default(),
            health: WebhookHealth::default(),
            stamps: records::stamps(),
        };
        let webhook = change(webhook);
        self.commit(Action::WebhookCreated, vec![RecordWrite::create(webhook.clone())], None).await;
        webhook
    }

    /// Replaces a webhook.
    pub(crate) async fn replace_webhook(
        &self,
        webhook: &Webhook,
        change: impl FnOnce(Versioned<Webhook>) -> (Versioned<Webhook>, Webhook),
    ) {
        let (old, new) = change(self.store.webhook(&webhook.id).await.unwrap().unwrap());
        self.commit(Action::WebhookUpdated, vec![RecordWrite::replace(old, new)], None).await;
    }

    /// Creates a key in a project. Returns it with its value.
    pub(crate) async fn create_key(&self, project: &Project) -> (ApiKey, Secret) {
        let secret = records::secret();
        let key = records::api_key(project, &secret, |value| self.store.envelope().digest(value));
        self.commit(Action::ApiKeyCreated, vec![RecordWrite::create(key.clone())], Some(secret.clone())).await;
        (key, secret)
    }

    /// Advances the store's clock.
    pub(crate) fn advance_clock(&self, duration: Duration) {
        self.skew.add(i64::try_from(duration.as_millis()).unwrap());
    }

    /// Waits until a condition on the queues holds.
    pub(crate) async fn wait_for_queues(&self, condition: impl Fn(&DueWebhooks) -> bool) {
        let waiting = async {
            while !condition(&self.store.due_webhooks(0, 10).await.unwrap()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(
            tokio::time::timeout(DEADLINE, waiting).await.is_ok(),
            "{:?}",
            self.store.due_webhooks(0, 10).await.unwrap()
        );
    }

    /// Waits until no delivery is due and the next one is due in `from_s` to `to_s` seconds.
    pub(crate) async fn wait_for_next_due_in(&self, from_s: u64, to_s: u64) {
        let is_between = |next: Duration| (Duration::from_secs(from_s)..=Duration::from_secs(to_s)).contains(&next);
        self.wait_for_queues(|queues| queues.webhooks.is_empty() && queues.next_in.is_some_and(is_between)).await;
    }

    /// Waits until no delivery is pending or being sent.
    pub(crate) async fn wait_until_idle(&self) {
        self.wait_for_queues(|queues| queues.webhooks.is_empty() && queues.next_in.is_none()).await;
    }

    /// Waits until a webhook has so many dead letters.
    pub(crate) async fn wait_for_dead(&self, webhook: &Webhook, count: u64) {
        self.wait_for_numbers(webhook, |numbers| numbers.dead == count).await;
    }

    /// Waits until so many deliveries of a webhook were dropped.
    pub(crate) async fn wait_for_dropped(&self, webhook: &Webhook, count: u64) {
        self.wait_for_numbers(webhook, |numbers| numbers.dropped == count).await;
    }

    async fn wait_for_numbers(&self, webhook: &Webhook, condition: impl Fn(&WebhookNumbers) -> bool) {
        let waiting = async {
            while !condition(&self.store.webhook_numbers(&webhook.id).await.unwrap()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let numbers = async || self.store.webhook_numbers(&webhook.id).await.unwrap();
        assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "{:?}", numbers().await);
    }

    /// Returns the value of a metric, named with its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap().to_owned();
        line.parse().unwrap()
    }

    /// Returns the number of deliveries with an outcome.
    pub(crate) fn deliveries_with_outcome(&self, outcome: &str) -> f64 {
        self.metric(&format!("gatepost_deliveries_total{{outcome=\"{outcome}\"}}"))
    }
}

/// Returns the options of a deliverer on loopback.
pub(crate) fn deliverer_options(max_pending: u64) -> DelivererOptions {
    DelivererOptions {
        private_networks: PrivateNetworks::Allowed,
        retention: Retention { max_age: Duration::from_secs(3600), max_entries: 1_000_000 },
        max_pending,
        failure_limits: FailureLimits::default(),
    }
}

/// Returns the body of the only request that a receiver gets.
pub(crate) fn only_body(receiver: &MockServer) -> Value {
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    serde_json::from_slice(&receiver.take_requests()[0].body).unwrap()
}

pub(crate) async fn commit(store: &CellStore, action: Action, writes: Vec<RecordWrite>, secret: Option<Secret>) {
    let event = EventId::generate_in(Partition::default(), &mut os_rng());
    let change = Change { event, action, actor: Actor::Operator, writes, secret, stored_response: None };
    let result = store.commit(&change).await.unwrap();
    assert!(matches!(result, CommitOutcome::Committed(_)), "{result:?}");
}
