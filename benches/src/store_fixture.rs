//! Redis with a store, in which keys are created through store operations.

use std::sync::Arc;

use anyhow::{Context, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use gatepost_domain::change::{Action, Topic};
use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::key::Secret;
use gatepost_domain::partition::{Partition, Position};
use gatepost_domain::record::{
    Account, Actor, ApiKey, DeliverySettings, Project, Role, Status, Webhook, WebhookHealth, WebhookStatus, WebhookUrl,
};
use gatepost_store::CommitOutcome;
use gatepost_store::clock::SystemClock;
use gatepost_store::{
    CellStore, Change, ClockSkew, Format, MasterKey, RecordWrite, Replicas, Store, StoreErrorKind, StoreOptions,
    StoreUrl, Versioned, os_rng,
};
use gatepost_test_support::{RedisServer, records};
use rand::Rng as _;

use crate::gatepost::MASTER_KEY;
use crate::machine::Core;

/// Maximum number of concurrent commits while a store is filled.
const COMMITS_IN_FLIGHT: usize = 256;
/// Maximum number of attempts of a commit while Redis is unavailable.
const MAX_TRIES: u32 = 10;
/// Maximum number of entries that wait for fan-out, more than any benchmark creates.
const MAX_ENTRIES: u64 = 5_000_000;

/// Store with one account and one project.
pub(crate) struct StoreFixture {
    pub(crate) redis: RedisServer,
    pub(crate) store: CellStore,
    pub(crate) project: Project,
    /// Moves the clock of the store.
    pub(crate) clock_skew: ClockSkew,
    account: Account,
}

/// Key in the store, with its value.
#[derive(Debug, Clone)]
pub(crate) struct CreatedKey {
    pub(crate) record: ApiKey,
    pub(crate) value: String,
    /// Event of its creation.
    pub(crate) event: EventId,
}

impl StoreFixture {
    /// Starts a Redis and creates a store.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_in(Format::LATEST).await
    }

    /// Starts a Redis and creates a store in a format.
    pub(crate) async fn start_in(format: Format) -> anyhow::Result<Self> {
        let redis = RedisServer::start();
        let clock_skew = ClockSkew::default();
        let store = open_store(&redis, Replicas::NONE, format, &clock_skew).await?;
        let account = records::account("bench");
        let project = records::project(&account.id);
        commit(&store, Action::AccountCreated, vec![RecordWrite::create(account.clone())], None).await?;
        commit(&store, Action::ProjectCreated, vec![RecordWrite::create(project.clone())], None).await?;
        Ok(Self { redis, store, project, clock_skew, account })
    }

    /// Pins Redis to the core of the load, where it does not disturb the proxy.
    pub(crate) fn pin_to_load_core(&self) -> anyhow::Result<()> {
        Core::Load.pin_process(self.redis_pid()?)
    }

    /// Returns the process id of Redis.
    pub(crate) fn redis_pid(&self) -> anyhow::Result<u32> {
        let info = self.redis.redis_cli(&["info", "server"]);
        let line = info.lines().find_map(|line| line.strip_prefix("process_id:"));
        line.and_then(|pid| pid.trim().parse().ok()).context("Redis reports no process id")
    }

    /// Creates keys, each with an event as in the admin API, and returns their values.
    pub(crate) async fn create_keys(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let created = self.create_keys_with_records(count).await?;
        Ok(created.into_iter().map(|key| key.value).collect())
    }

    /// Creates keys, and returns them with their records.
    pub(crate) async fn create_keys_with_records(&self, count: usize) -> anyhow::Result<Vec<CreatedKey>> {
        let creations = (0..count).map(|_| self.create_key());
        stream::iter(creations).buffered(COMMITS_IN_FLIGHT).try_collect().await
    }

    /// Claims the first use of a key, as a gateway does at the first request with it.
    pub(crate) async fn claim_first_use(&self, value: &str) -> anyhow::Result<()> {
        let digest = self.store.envelope().digest(value);
        let found = self.store.lookup(&digest).await?.found.context("no key has this value")?;
        self.store.claim_first_use(&found.facts, &digest, None).await?;
        Ok(())
    }

    async fn create_key(&self) -> anyhow::Result<CreatedKey> {
        self.create_key_in(&self.store).await
    }

    /// Opens the same store again, with changes that wait for replicas.
    pub(crate) async fn open_store(&self, replicas: Replicas) -> anyhow::Result<CellStore> {
        open_store(&self.redis, replicas, Format::LATEST, &self.clock_skew).await
    }

    /// Creates a key through another instance of the store.
    pub(crate) async fn create_key_in(&self, store: &CellStore) -> anyhow::Result<CreatedKey> {
        let secret = records::secret();
        let record = records::api_key(&self.project, &secret, |value| store.envelope().digest(value));
        let value = secret.expose().to_owned();
        let write = RecordWrite::create(record.clone());
        let (event, _) = commit(store, Action::ApiKeyCreated, vec![write], Some(secret)).await?;
        Ok(CreatedKey { record, value, event })
    }

    /// Changes the name of a key, which creates an event, and a fetch by every gateway that has cached it.
    pub(crate) async fn rename(&self, key: &ApiKey, name: String) -> anyhow::Result<()> {
        let old = self.read(key).await?;
        self.rename_read(&old, name).await?;
        Ok(())
    }

    /// Changes the name of a key that was read, without reading it again, and returns it as it is now.
    pub(crate) async fn rename_read(&self, old: &Versioned<ApiKey>, name: String) -> anyhow::Result<Versioned<ApiKey>> {
        let record = ApiKey { name, ..old.record.clone() };
        let writes = vec![RecordWrite::replace(old.clone(), record.clone())];
        let (event, position) = commit(&self.store, Action::ApiKeyUpdated, writes, None).await?;
        Ok(Versioned { record, position, event, ..old.clone() })
    }

    pub(crate) async fn revoke(&self, key: &ApiKey) -> anyhow::Result<()> {
        let old = self.read(key).await?;
        let new = ApiKey { status: Status::Inactive, ..old.record.clone() };
        commit(&self.store, Action::ApiKeyDeleted, vec![RecordWrite::replace(old, new)], None).await?;
        Ok(())
    }

    pub(crate) async fn read(&self, key: &ApiKey) -> anyhow::Result<Versioned<ApiKey>> {
        self.store.api_key(&key.id).await?.context("a created key is not in the store")
    }

    /// Creates a webhook with a URL and topics.
    pub(crate) async fn create_webhook(&self, url: String, topics: Vec<Topic>) -> anyhow::Result<WebhookId> {
        let id = WebhookId::generate_in(Partition::default(), &mut os_rng());
        let webhook = Webhook {
            secret: self.store.envelope().seal_webhook_secret(&id, &[7; 32])?,
            id: id.clone(),
            account: self.account.id.clone(),
            project: Some(self.project.id.clone()),
            name: "bench".to_owned(),
            url: WebhookUrl::new(url),
            topics,
            method: "POST".to_owned(),
            custom_headers: Vec::new(),
            status: WebhookStatus::Live,
            status_changed_at: None,
            url_set_by: Role::Admin,
            old_secrets: Vec::new(),
            static_token: None,
            delivery: DeliverySettings::default(),
            health: WebhookHealth::default(),
            stamps: records::stamps(),
        };
        commit(&self.store, Action::WebhookCreated, vec![RecordWrite::create(webhook)], None).await?;
        Ok(id)
    }
}

async fn open_store(
    redis: &RedisServer,
    replicas: Replicas,
    format: Format,
    clock_skew: &ClockSkew,
) -> anyhow::Result<CellStore> {
    let url = StoreUrl::parse(&redis.url()).map_err(|error| anyhow::anyhow!("{error}"))?;
    let defaults = StoreOptions::new(url, Arc::new(SystemClock));
    let options = StoreOptions {
        replicas,
        write_format: format,
        max_fan_out_backlog: MAX_ENTRIES,
        clock_skew: clock_skew.clone(),
        ..defaults
    };
    let master = MasterKey::parse(MASTER_KEY).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(Store::open_or_create(&options, &master).await?.single_cell().clone())
}

async fn commit(
    store: &CellStore,
    action: Action,
    writes: Vec<RecordWrite>,
    secret: Option<Secret>,
) -> anyhow::Result<(EventId, Position)> {
    let event = EventId::generate_in(Partition::default(), &mut os_rng());
    let change = Change { event: event.clone(), action, actor: Actor::Operator, writes, secret, stored_response: None };
    match commit_with_retries(store, &change).await? {
        CommitOutcome::Committed(position) | CommitOutcome::AlreadyCommitted(position) => Ok((event, position)),
        other @ (CommitOutcome::VersionConflict
        | CommitOutcome::DigestTaken
        | CommitOutcome::StreamFull
        | CommitOutcome::AccountLimitExceeded(..)) => {
            bail!("a commit failed: {other:?}")
        }
    }
}

/// Retries a commit while the store is unavailable. The event id makes it idempotent.
async fn commit_with_retries(store: &CellStore, change: &Change) -> anyhow::Result<CommitOutcome> {
    let mut attempts = 1;
    loop {
        match store.commit(change).await {
            Err(error) if error.kind() == StoreErrorKind::Unavailable && attempts < MAX_TRIES => attempts += 1,
            result => return Ok(result?),
        }
    }
}

/// Returns generated keys that do not exist.
pub(crate) fn unknown_keys(count: usize) -> Vec<String> {
    (0..count).map(|_| records::secret().expose().to_owned()).collect()
}

pub(crate) fn random_seed() -> u64 {
    os_rng().next_u64()
}
