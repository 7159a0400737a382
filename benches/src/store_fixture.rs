//! A Redis with a store in it, and keys that are made through the store's own acts.

use std::sync::Arc;

use anyhow::{Context, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use gatepost_domain::change::{Action, Topic};
use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::key::Secret;
use gatepost_domain::record::{Account, Actor, ApiKey, Project, Role, Status, Webhook, WebhookStatus, WebhookUrl};
use gatepost_store::clock::SystemClock;
use gatepost_store::ops::CommitOutcome;
use gatepost_store::{
    AccountLimits, Change, ClockSkew, Format, MasterKey, RecordWrite, Replicas, Store, StoreErrorKind, StoreOptions,
    StoreUrl, UnsafeRedis, Versioned, os_rng,
};
use gatepost_test_support::{RedisServer, records};
use rand::Rng as _;

use crate::gatepost::MASTER_KEY;
use crate::machine::Core;

/// Commits in flight while a store is filled.
const COMMITS_IN_FLIGHT: usize = 256;
/// How often a change is sent while Redis does not answer in time.
const MAX_TRIES: u32 = 10;
/// Entries that may wait for the fan-out: more than any benchmark makes.
const MAX_ENTRIES: u64 = 5_000_000;

/// A store with one account and one project.
pub(crate) struct StoreFixture {
    pub(crate) redis: RedisServer,
    pub(crate) store: Store,
    pub(crate) project: Project,
    account: Account,
}

/// A key as it stands in the store, with its value.
#[derive(Debug, Clone)]
pub(crate) struct CreatedKey {
    pub(crate) record: ApiKey,
    pub(crate) value: String,
    /// That it was made.
    pub(crate) event: EventId,
}

impl StoreFixture {
    /// Starts a Redis, on the core of the load, and makes a store.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let redis = RedisServer::start();
        let store = open_store(&redis, Replicas::NONE).await?;
        let account = records::account("bench");
        let project = records::project(&account.id);
        commit(&store, Action::AccountCreated, vec![RecordWrite::create(account.clone())], None).await?;
        commit(&store, Action::ProjectCreated, vec![RecordWrite::create(project.clone())], None).await?;
        Ok(Self { redis, store, project, account })
    }

    /// Puts Redis where its work disturbs no proxy.
    pub(crate) fn pin_to_load_core(&self) -> anyhow::Result<()> {
        Core::Load.pin_process(self.redis_pid()?)
    }

    /// The process of Redis.
    pub(crate) fn redis_pid(&self) -> anyhow::Result<u32> {
        let info = self.redis.redis_cli(&["info", "server"]);
        let line = info.lines().find_map(|line| line.strip_prefix("process_id:"));
        line.and_then(|pid| pid.trim().parse().ok()).context("Redis tells no process id")
    }

    /// Makes keys, each with an event as the admin API makes it, and answers their values.
    pub(crate) async fn create_keys(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let created = self.create_keys_with_records(count).await?;
        Ok(created.into_iter().map(|key| key.value).collect())
    }

    /// The same with their records.
    pub(crate) async fn create_keys_with_records(&self, count: usize) -> anyhow::Result<Vec<CreatedKey>> {
        let creations = (0..count).map(|_| self.create_key());
        stream::iter(creations).buffered(COMMITS_IN_FLIGHT).try_collect().await
    }

    async fn create_key(&self) -> anyhow::Result<CreatedKey> {
        self.create_key_in(&self.store).await
    }

    /// The same store once more, whose changes wait for replicas.
    pub(crate) async fn open_store(&self, replicas: Replicas) -> anyhow::Result<Store> {
        open_store(&self.redis, replicas).await
    }

    /// Makes a key through one of the stores of this site.
    pub(crate) async fn create_key_in(&self, store: &Store) -> anyhow::Result<CreatedKey> {
        let secret = records::secret();
        let record = records::api_key(&self.project, &secret, |value| store.digest(value));
        let value = secret.expose().to_owned();
        let write = RecordWrite::create(record.clone());
        let event = commit(store, Action::ApiKeyCreated, vec![write], Some(secret)).await?;
        Ok(CreatedKey { record, value, event })
    }

    /// Changes a key's name: an event, and a look-up for every gateway that has it cached.
    pub(crate) async fn rename(&self, key: &ApiKey, name: String) -> anyhow::Result<()> {
        let old = self.read(key).await?;
        let new = ApiKey { name, ..old.record.clone() };
        commit(&self.store, Action::ApiKeyUpdated, vec![RecordWrite::replace(old, new)], None).await?;
        Ok(())
    }

    /// Shuts a key off.
    pub(crate) async fn revoke(&self, key: &ApiKey) -> anyhow::Result<()> {
        let old = self.read(key).await?;
        let new = ApiKey { status: Status::Inactive, ..old.record.clone() };
        commit(&self.store, Action::ApiKeyDeleted, vec![RecordWrite::replace(old, new)], None).await?;
        Ok(())
    }

    async fn read(&self, key: &ApiKey) -> anyhow::Result<Versioned<ApiKey>> {
        self.store.api_key(&key.id).await?.context("a key of ours is not in the store")
    }

    /// Makes a webhook for the topics at a URL.
    pub(crate) async fn create_webhook(&self, url: String, topics: Vec<Topic>) -> anyhow::Result<()> {
        let id = WebhookId::generate(&mut os_rng());
        let webhook = Webhook {
            secret: self.store.seal_webhook_secret(&id, &[7; 32])?,
            id,
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
            stamps: records::stamps(),
        };
        commit(&self.store, Action::WebhookCreated, vec![RecordWrite::create(webhook)], None).await?;
        Ok(())
    }
}

async fn open_store(redis: &RedisServer, replicas: Replicas) -> anyhow::Result<Store> {
    let options = StoreOptions {
        url: StoreUrl::parse(&redis.url()).map_err(|error| anyhow::anyhow!("{error}"))?,
        namespace: "gp".to_owned(),
        unsafe_redis: UnsafeRedis::Refused,
        replicas,
        write_format: Format::LATEST,
        max_fan_out_backlog: MAX_ENTRIES,
        account_limits: AccountLimits::DEFAULT,
        clock: Arc::new(SystemClock),
        clock_skew: ClockSkew::default(),
    };
    let master = MasterKey::parse(MASTER_KEY).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(Store::open_or_create(&options, &master).await?)
}

async fn commit(
    store: &Store,
    action: Action,
    writes: Vec<RecordWrite>,
    secret: Option<Secret>,
) -> anyhow::Result<EventId> {
    let event = EventId::generate(&mut os_rng());
    let change = Change { event: event.clone(), action, actor: Actor::Operator, writes, secret, stored_response: None };
    match commit_with_retries(store, &change).await? {
        CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_) => Ok(event),
        other @ (CommitOutcome::VersionConflict
        | CommitOutcome::DigestTaken
        | CommitOutcome::StreamFull
        | CommitOutcome::AccountLimitExceeded(..)) => {
            bail!("a change was not written: {other:?}")
        }
    }
}

/// Sends a change until it is answered: its event id makes repeating harmless.
async fn commit_with_retries(store: &Store, change: &Change) -> anyhow::Result<CommitOutcome> {
    let mut tries = 1;
    loop {
        match store.commit(change).await {
            Err(error) if error.kind() == StoreErrorKind::Unavailable && tries < MAX_TRIES => tries += 1,
            result => return Ok(result?),
        }
    }
}

/// Values of the right shape that no key has.
pub(crate) fn unknown_keys(count: usize) -> Vec<String> {
    (0..count).map(|_| records::secret().expose().to_owned()).collect()
}

/// A seed that is another one each time.
pub(crate) fn random_seed() -> u64 {
    os_rng().next_u64()
}
