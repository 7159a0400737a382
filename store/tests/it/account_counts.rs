//! Account resources: counted with every commit, and limited.

use gatepost_domain::change::Action;
use gatepost_domain::id::AccessKeyId;
use gatepost_domain::partition::Partition;
use gatepost_domain::record::{AccessKey, Actor, ApiKey, Metadata, Project, Record, Role, Status};
use gatepost_store::CommitOutcome;
use gatepost_store::{AccountLimits, AccountResource, CellStore, Change, Format, RecordWrite, Versioned, os_rng};
use gatepost_test_support::records::{account, project, stamps};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, TestBackend, api_key, change, commit};

const SMALL_BOUNDS: AccountLimits = AccountLimits { api_keys: 2, projects: 2, access_keys: 1, bytes: 0 };

async fn create(store: &CellStore, action: Action, record: impl Into<Record>) -> CommitOutcome {
    create_by(Actor::AccessKey(AccessKeyId::generate_in(Partition::default(), &mut os_rng())), store, action, record)
        .await
}

async fn create_by(actor: Actor, store: &CellStore, action: Action, record: impl Into<Record>) -> CommitOutcome {
    let change = Change { actor, ..change(action, vec![RecordWrite::create(record)], None) };
    store.commit(&change).await.unwrap()
}

async fn create_key(store: &CellStore, project: &Project) -> CommitOutcome {
    create(store, Action::ApiKeyCreated, api_key(store, project).0).await
}

fn is_committed(outcome: &CommitOutcome) -> bool {
    matches!(outcome, CommitOutcome::Committed(_))
}

fn access_key(test: &Fixture) -> AccessKey {
    let id = AccessKeyId::generate_in(Partition::default(), &mut os_rng());
    AccessKey {
        digest: test.store.envelope().digest(id.as_str()),
        id,
        account: test.account.record.id.clone(),
        project: None,
        role: Role::User,
        name: "name".to_owned(),
        status: Status::Active,
        mask: "live_access_00…".to_owned(),
        expires_at: None,
        stamps: stamps(),
    }
}

pub(crate) async fn account_counts_are_bounded(mut backend: TestBackend) {
    backend.options.account_limits = SMALL_BOUNDS;
    let test = backend.fixture().await;
    keys_are_bounded(&test).await;
    projects_are_bounded(&test).await;
    access_keys_are_bounded(&test).await;

    let other = account("other");
    commit(&test.store, Action::AccountCreated, vec![RecordWrite::create(other.clone())], None).await;
    let project = project(&other.id);
    commit(&test.store, Action::ProjectCreated, vec![RecordWrite::create(project.clone())], None).await;
    assert!(is_committed(&create_key(&test.store, &project).await), "another account has its own");
}

async fn keys_are_bounded(test: &Fixture) {
    let (store, project) = (&test.store, &test.project.record);
    let full = CommitOutcome::AccountLimitExceeded(AccountResource::ApiKeys, 2);
    let used = async || {
        let usage = store.account_usage(&test.account.record.id).await.unwrap().unwrap();
        usage.iter().find(|one| one.resource == AccountResource::ApiKeys).map(|one| (one.used, one.limit)).unwrap()
    };
    assert_eq!(used().await, (0, Some(2)));
    let (first, _) = test.key().await;
    assert_eq!(used().await, (1, Some(2)));
    let (last, _) = api_key(store, project);
    let last = change(Action::ApiKeyCreated, vec![RecordWrite::create(last)], None);
    let CommitOutcome::Committed(version) = store.commit(&last).await.unwrap() else { panic!("two keys are allowed") };
    assert_eq!(create_key(store, project).await, full);
    assert_eq!(
        store.commit(&last).await.unwrap(),
        CommitOutcome::AlreadyCommitted(version),
        "a retry is not a new key"
    );

    let renamed = ApiKey { name: "another".to_owned(), ..first.record.clone() };
    commit(store, Action::ApiKeyUpdated, vec![RecordWrite::replace(first.clone(), renamed)], None).await;
    test.revoke(test.reload(&first.record.id).await).await;
    assert_eq!(create_key(store, project).await, full, "a revoked key counts until it is purged");
    let revoked = test.reload(&first.record.id).await;
    commit(store, Action::ApiKeyPurged, vec![RecordWrite::remove(revoked)], None).await;
    assert_eq!(used().await, (1, Some(2)), "a purged key does not count");
    assert!(is_committed(&create_key(store, project).await));
    assert_eq!(create_key(store, project).await, full);
}

async fn projects_are_bounded(test: &Fixture) {
    let (store, account) = (&test.store, &test.account.record.id);
    let full = CommitOutcome::AccountLimitExceeded(AccountResource::Projects, 2);
    let second = project(account);
    assert!(is_committed(&create(store, Action::ProjectCreated, second.clone()).await));
    assert_eq!(create(store, Action::ProjectCreated, project(account)).await, full);
    let found = store.project(&second.id).await.unwrap().unwrap();
    let deleted = Project { status: Status::Inactive, ..second };
    commit(store, Action::ProjectDeleted, vec![RecordWrite::replace(found, deleted)], None).await;
    assert!(
        is_committed(&create(store, Action::ProjectCreated, project(account)).await),
        "a deleted project does not count"
    );
    assert_eq!(create(store, Action::ProjectCreated, project(account)).await, full);
}

async fn access_keys_are_bounded(test: &Fixture) {
    let store = &test.store;
    let full = CommitOutcome::AccountLimitExceeded(AccountResource::AccessKeys, 1);
    let first = access_key(test);
    assert!(is_committed(&create(store, Action::AccessKeyCreated, first.clone()).await));
    assert_eq!(create(store, Action::AccessKeyCreated, access_key(test)).await, full);
    let with_status = async |status, action| {
        let found = store.access_key(&first.id).await.unwrap().unwrap();
        let new = AccessKey { status, ..found.record.clone() };
        store.commit(&change(action, vec![RecordWrite::replace(found, new)], None)).await.unwrap()
    };
    assert!(is_committed(&with_status(Status::Inactive, Action::AccessKeyDeleted).await));
    assert!(is_committed(&create(store, Action::AccessKeyCreated, access_key(test)).await));
    assert_eq!(with_status(Status::Active, Action::AccessKeyUpdated).await, full, "reactivation counts as well");
    let by_operator = create_by(Actor::Operator, store, Action::AccessKeyCreated, access_key(test)).await;
    assert!(is_committed(&by_operator), "the operator is exempt");
}

fn resized(key: &Versioned<ApiKey>, size: usize) -> Record {
    Record::ApiKey(ApiKey { metadata: Metadata(format!("{{\"a\":\"{}\"}}", "b".repeat(size))), ..key.record.clone() })
}

pub(crate) async fn record_bytes_are_bounded_and_updates_may_exceed_by_a_quarter(mut backend: TestBackend) {
    backend.options.account_limits = AccountLimits { bytes: 20_000, ..AccountLimits::DEFAULT };
    let test = backend.fixture().await;
    let (key, _) = test.key().await;
    let mut created = 1;
    while is_committed(&create_key(&test.store, &test.project.record).await) {
        created += 1;
    }
    assert!((20..60).contains(&created), "{created} keys of a few hundred bytes");
    let resize = async |size| {
        let found = test.reload(&key.record.id).await;
        let new = resized(&found, size);
        let write = RecordWrite { old: Some(found.map(Record::ApiKey)), new: Some(new) };
        test.store.commit(&change(Action::ApiKeyUpdated, vec![write], None)).await.unwrap()
    };
    assert!(is_committed(&resize(3000).await), "existing records may exceed the limit by a quarter");
    assert_eq!(resize(9000).await, CommitOutcome::AccountLimitExceeded(AccountResource::Bytes, 20_000));
    assert!(is_committed(&resize(10).await));
    assert_eq!(
        create_key(&test.store, &test.project.record).await,
        CommitOutcome::AccountLimitExceeded(AccountResource::Bytes, 20_000)
    );
    test.revoke(test.reload(&key.record.id).await).await;
}

/// More than one page, so that commits interleave with the counting.
const EXISTING_KEYS: usize = 1100;
/// Keys removed, and as many created, while the counting runs.
const REPLACED: usize = 100;
/// Keys that the limit allows afterwards.
const REMAINING: usize = 5;

pub(crate) async fn existing_records_are_counted_during_commits(mut backend: TestBackend) {
    backend.options.write_format = Format::FIRST;
    backend.options.max_fan_out_backlog = 10_000;
    let max_keys = (EXISTING_KEYS + REMAINING) as u64;
    backend.options.account_limits = AccountLimits { api_keys: max_keys, projects: 2, access_keys: 1, bytes: 0 };
    let test = backend.fixture().await;
    let deleted = Project { status: Status::Inactive, ..project(&test.account.record.id) };
    for record in [Record::Project(deleted), access_key(&test).into(), access_key(&test).into()] {
        assert!(is_committed(&create(&test.store, Action::ProjectCreated, record).await), "nothing is counted yet");
    }
    create_keys(&test, EXISTING_KEYS).await;
    assert_eq!(test.store.account_usage(&test.account.record.id).await.unwrap(), None, "nothing is counted yet");

    let (counted, ()) = tokio::join!(test.store.upgrade(Format::LATEST, |_| {}), replace(&test));
    // The rest are two projects and two access keys.
    let counted = usize::try_from(counted.unwrap().counted).unwrap();
    assert!((EXISTING_KEYS - REPLACED..=EXISTING_KEYS + REPLACED + 4).contains(&counted), "{counted}");
    assert_eq!(test.store.upgrade(Format::LATEST, |_| {}).await.unwrap().counted, 0, "records are counted once");

    for _ in 0..REMAINING {
        assert!(is_committed(&create_key(&test.store, &test.project.record).await));
    }
    assert_eq!(
        create_key(&test.store, &test.project.record).await,
        CommitOutcome::AccountLimitExceeded(AccountResource::ApiKeys, max_keys)
    );
    let account = &test.account.record.id;
    assert!(is_committed(&create(&test.store, Action::ProjectCreated, project(account)).await));
    let full = CommitOutcome::AccountLimitExceeded(AccountResource::Projects, 2);
    assert_eq!(create(&test.store, Action::ProjectCreated, project(account)).await, full);
    let full = CommitOutcome::AccountLimitExceeded(AccountResource::AccessKeys, 1);
    assert_eq!(create(&test.store, Action::AccessKeyCreated, access_key(&test)).await, full);
}

async fn create_keys(test: &Fixture, count: usize) {
    let mut commits = JoinSet::new();
    for _ in 0..count {
        let (store, project) = (test.store.clone(), test.project.record.clone());
        commits.spawn(async move { create_key(&store, &project).await });
        if commits.len() == 50 {
            assert!(is_committed(&commits.join_next().await.unwrap().unwrap()));
        }
    }
    while let Some(outcome) = commits.join_next().await {
        assert!(is_committed(&outcome.unwrap()));
    }
}

/// Removes keys throughout the index, and creates as many.
async fn replace(test: &Fixture) {
    let (store, project) = (&test.store, &test.project.record);
    let page = store.api_keys(&project.id, "", 1000).await.unwrap();
    for key in page.items.into_iter().step_by(10).take(REPLACED) {
        let found = test.reload(&key.record.id).await;
        commit(store, Action::ApiKeyPurged, vec![RecordWrite::remove(found)], None).await;
        assert!(is_committed(&create_key(store, project).await));
    }
}
