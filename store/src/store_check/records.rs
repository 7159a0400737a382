//! Trial of records, the stream, gateways, rate limits and usage.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccountId, EventId, GatewayId, KeyId, ProjectId};
use gatepost_domain::key::{self, Env, Secret};
use gatepost_domain::partition::{Partition, PartitionGroup};
use gatepost_domain::record::{Account, Actor, ApiKey, CreationContext, KeyDigest, Metadata, Project, Stamps, Status};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_domain::window::{Generations, Limit, UnusedLease, WindowKind};

use super::removal::TrialName;
use super::trial::Trial;
use crate::backend::Backend;
use crate::cell_store::CellStore;
use crate::change::{Change, RecordWrite, StoredResponse};
use crate::error::{Result, StoreErrorKind};
use crate::index::{access_keys_index, accounts_index, api_keys_index, projects_index, webhooks_index};
use crate::ops::{
    CommitOutcome, FeedCursor, GatewayLabel, Heartbeat, KeyGroup, RecordName, RolledUpUses, SortOrder, StoredUses,
    UsageGrouping,
};
use crate::random::os_rng;
use crate::redis::usage::usage_tag;

/// Name of the window of a rate limit, and of a stored response.
pub(super) const NAME: &str = "check";
const TTL: Duration = Duration::from_secs(60);
/// Wait for an entry that does not come: it blocks.
const FEED_WAIT: Duration = Duration::from_millis(10);

/// Records that are written.
pub(super) struct Records {
    account: Account,
    pub(super) project: Project,
    pub(super) key: ApiKey,
    secret: Secret,
    digest: Digest,
}

impl Records {
    pub(super) fn generate(cell: &CellStore) -> Self {
        let mut rng = os_rng();
        let stamps = Stamps::new(Timestamp::from_ms(1), Actor::Operator);
        let account = Account {
            id: AccountId::generate(&mut rng),
            name: NAME.to_owned(),
            status: Status::Active,
            stamps: stamps.clone(),
        };
        let project = Project {
            id: ProjectId::generate_in(Partition::default(), &mut rng),
            account: account.id.clone(),
            name: NAME.to_owned(),
            env: Env::Live,
            status: Status::Active,
            stamps,
        };
        let secret = key::generate_api_key(Env::Live, &mut rng);
        let digest = cell.envelope().digest(secret.expose());
        let key = api_key(&project, &secret, digest);
        Self { account, project, key, secret, digest }
    }

    /// Returns the names that keys on Redis end with.
    pub(super) fn names(&self) -> Vec<TrialName> {
        let (account, project, key) = (&self.account.id, &self.project.id, &self.key.id);
        let indexes = [
            accounts_index(),
            projects_index(account),
            access_keys_index(account),
            webhooks_index(account),
            api_keys_index(project),
        ];
        let records = [account.to_string(), project.to_string(), key.to_string(), NAME.to_owned()];
        let texts = indexes.into_iter().map(|index| index.0).chain(records);
        let names = texts.map(|text| TrialName::Record(text.into_bytes()));
        let digest = TrialName::Record(self.digest.as_bytes().to_vec());
        let groups = PartitionGroup::all()
            .map(|group| usage_tag(&KeyGroup { project: project.to_string(), group }))
            .chain([NAME.to_owned(), project.to_string()]);
        names.chain([digest]).chain(groups.map(TrialName::Meter)).collect()
    }

    pub(super) async fn try_all(&self, trial: &mut Trial, cell: &CellStore) {
        if trial.note("commit", self.commit_all(cell).await).is_some() {
            self.try_reads(trial, cell).await;
            self.try_lookup(trial, cell).await;
        }
        try_responses(trial, cell).await;
        try_stream(trial, cell).await;
        self.try_meters(trial, cell).await;
    }

    async fn commit_all(&self, cell: &CellStore) -> Result<()> {
        commit(cell, Action::AccountCreated, RecordWrite::create(self.account.clone()), None).await?;
        commit(cell, Action::ProjectCreated, RecordWrite::create(self.project.clone()), None).await?;
        let secret = Some(self.secret.clone());
        commit(cell, Action::ApiKeyCreated, RecordWrite::create(self.key.clone()), secret).await
    }

    async fn try_reads(&self, trial: &mut Trial, cell: &CellStore) {
        let (backend, account) = (&cell.backend, &self.account.id);
        trial.note("count_page", backend.count_page(account.clone(), accounts_index(), 10).await);
        trial.note("end_counting", backend.end_counting().await);
        trial.note("account_usage", backend.account_usage(account.clone()).await);
        trial.note("records", backend.records(vec![RecordName(account.to_string())]).await);
        for (index, order) in
            [(accounts_index(), SortOrder::OldestFirst), (api_keys_index(&self.project.id), SortOrder::NewestFirst)]
        {
            let listed = backend.list(index, order, String::new(), 10).await;
            trial.note("list", listed.and_then(|rows| expect(rows.len() == 1, "the record is not in its list")));
        }
        let counted = backend.count_listed(api_keys_index(&self.project.id), 10).await;
        trial.note("count_listed", counted.and_then(|count| expect(count == 1, "the record is not counted")));
    }

    async fn try_lookup(&self, trial: &mut Trial, cell: &CellStore) {
        let Some(found) = trial.note("lookup", cell.lookup(&self.digest).await) else { return };
        let Some(found) = found.found else {
            trial.note::<()>("lookup", expect(false, "the key is not found"));
            return;
        };
        trial.note("claim_first_use", cell.claim_first_use(&found.facts, &self.digest, None).await);
    }

    async fn try_meters(&self, trial: &mut Trial, cell: &CellStore) {
        let (project, key) = (&self.project.id, &self.key.id);
        let limit = Limit { max_requests: 10, window_kind: WindowKind::FromFirstUse(TTL), generation: 0 };
        if let Some(lease) = trial.note("lease_allowance", cell.lease_allowance(NAME, limit, 2).await) {
            let unused = UnusedLease { generation: 0, reset: lease.reset, count: 1 };
            trial.note("return_allowance", cell.return_allowance(NAME, unused).await);
        }
        let (project, key) = (project.to_string(), key.to_string());
        self.try_usage(trial, &cell.backend, &project, &key).await;
        let (from, to) = (0, u64::from(u32::MAX));
        trial.note("add_hourly_usage", cell.backend.add_hourly_usage(project.clone(), vec![(key.clone(), 1)]).await);
        for grouping in [UsageGrouping::Project, UsageGrouping::Keys] {
            trial.note("hourly_usage", cell.backend.hourly_usage(project.clone(), grouping, from, to).await);
        }
        trial.note("hourly_key_usage", cell.backend.hourly_key_usage(project.clone(), key.clone(), from, to).await);
        trial.note("hourly_last_used", cell.backend.hourly_last_used(project.clone(), vec![key.clone()]).await);
        let page = trial.note("last_uses_page", cell.backend.last_uses_page(project.clone(), None, 10).await);
        let uses = page.map(|page| page.uses).unwrap_or_default();
        trial.note("remove_last_uses", cell.backend.remove_last_uses(project, uses).await);
    }

    async fn try_usage(&self, trial: &mut Trial, backend: &Backend, project: &str, key: &str) {
        let group = KeyGroup { project: project.to_owned(), group: self.key.id.partition().group() };
        trial.note("add_usage", backend.add_usage(group.clone(), vec![(key.to_owned(), 1)]).await);
        let read = trial.note("key_uses", backend.key_uses(group.clone(), vec![key.to_owned()]).await);
        let page = backend.uses_page(group.clone(), None, 0, 10).await;
        trial.note("uses_page", page.and_then(|page| expect(!page.uses.is_empty(), "the uses are not listed")));
        let read = read.unwrap_or_default().pop().unwrap_or_default().recent;
        for past in [vec![1], Vec::new()] {
            let new = StoredUses { recent: read.clone(), past };
            let uses = vec![RolledUpUses { key: key.to_owned(), read: read.clone(), new }];
            trial.note("roll_up", backend.roll_up(group.clone(), uses).await);
        }
    }
}

async fn commit(cell: &CellStore, action: Action, write: RecordWrite, secret: Option<Secret>) -> Result<()> {
    let change = Change {
        event: EventId::generate_in(Partition::default(), &mut os_rng()),
        action,
        actor: Actor::Operator,
        writes: vec![write],
        secret,
        stored_response: None,
    };
    let outcome = cell.commit(&change).await?;
    expect(matches!(outcome, CommitOutcome::Committed(_)), "the change was not applied")
}

/// Returns an error if an operation has not the effect that it should have.
pub(super) fn expect(is_so: bool, what: &'static str) -> Result<()> {
    if is_so { Ok(()) } else { Err(StoreErrorKind::Corrupt.with(what)) }
}

async fn try_responses(trial: &mut Trial, cell: &CellStore) {
    let response = StoredResponse { name: NAME.to_owned(), response: Secret::new(NAME.to_owned()), ttl: TTL };
    trial.note("swap_response", cell.put_response(&response).await);
    trial.note("stored_response", cell.stored_response(NAME).await);
    trial.note("swap_response", cell.take_response(NAME).await);
}

/// Tries the stream, and what gateways do with it.
async fn try_stream(trial: &mut Trial, cell: &CellStore) {
    let read = cell.audit_feed().read(Version::ZERO, 10, Duration::ZERO).await;
    let last = trial.note("feed", read).and_then(|batch| batch.entries.into_iter().next_back());
    trial.note("last_position", cell.last_position().await);
    trial.note("feed_backwards", cell.audit_feed().search_backwards(Version::MAX, 10, |_| true).await);
    let mut cursor = FeedCursor::default();
    if let Some(last) = last {
        // Nothing follows, so that it blocks.
        trial.note("feed", cell.audit_feed().read(last.version, 10, FEED_WAIT).await);
        if let Some(event) = &last.event {
            trial.note("confirm", cell.confirm(last.version, event).await);
        }
        trial.note("check_cursor", cell.check_cursor(last.version, last.event.clone()).await);
        cursor = FeedCursor::in_changes(last.version, last.event);
    }
    let gateway = GatewayId::generate(&mut os_rng());
    let heartbeat = Heartbeat { gateway: gateway.clone(), cursor, valid_for: TTL, label: GatewayLabel::default() };
    if let Some(reply) = trial.note("heartbeat", cell.heartbeat(heartbeat).await) {
        let end = reply.cursor_check.end;
        let start = FeedCursor { stream: end.stream, ..FeedCursor::default() };
        trial.note("invalidations", cell.invalidation_feed().read(&start, 10, FEED_WAIT).await);
        // Nothing follows, so that it blocks.
        trial.note("invalidations", cell.invalidation_feed().read(&end, 10, FEED_WAIT).await);
    }
    trial.note("gateways", cell.gateways().await);
    trial.note("deregister_gateway", cell.deregister_gateway(&gateway).await);
}

fn api_key(project: &Project, secret: &Secret, digest: Digest) -> ApiKey {
    ApiKey {
        id: KeyId::generate_in(Partition::default(), &mut os_rng()),
        account: project.account.clone(),
        project: project.id.clone(),
        env: project.env,
        name: NAME.to_owned(),
        custom_account_id: None,
        custom_user_id: None,
        metadata: Metadata::default(),
        expires_at: None,
        rate_limit: None,
        quota: None,
        generations: Generations::default(),
        permissions: Vec::new(),
        allowed_domains: Vec::new(),
        allowed_ips: Vec::new(),
        status: Status::Active,
        mask: key::mask(secret.expose()),
        digests: vec![KeyDigest::current(digest)],
        creation_context: CreationContext::default(),
        stamps: project.stamps.clone(),
    }
}
