//! What accounts have: counted with every commit, and bounded.

use gatepost_domain::change::Action;
use gatepost_domain::id::AccessKeyId;
use gatepost_domain::record::{AccessKey, Actor, ApiKey, Metadata, Project, Record, Role, Status};
use gatepost_store::act::CommitAnswer;
use gatepost_store::{AccountBounds, AccountResource, Change, Format, Store, Versioned, Write, os_rng};
use gatepost_test_support::records::{account, project, stamps};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, Place, api_key, change, commit};

const FEW: AccountBounds = AccountBounds { api_keys: 2, projects: 2, access_keys: 1, bytes: 0 };

async fn create(store: &Store, action: Action, record: impl Into<Record>) -> CommitAnswer {
    create_by(Actor::AccessKey(AccessKeyId::generate(&mut os_rng())), store, action, record).await
}

async fn create_by(actor: Actor, store: &Store, action: Action, record: impl Into<Record>) -> CommitAnswer {
    let change = Change { actor, ..change(action, vec![Write::create(record)], None) };
    store.commit(&change).await.unwrap()
}

async fn create_key(store: &Store, project: &Project) -> CommitAnswer {
    create(store, Action::ApiKeyCreated, api_key(store, project).0).await
}

fn is_written(answer: &CommitAnswer) -> bool {
    matches!(answer, CommitAnswer::Committed(_))
}

fn access_key(test: &Fixture) -> AccessKey {
    let id = AccessKeyId::generate(&mut os_rng());
    AccessKey {
        digest: test.store.digest(id.as_str()),
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

pub(crate) async fn no_account_gets_more_than_it_may_have(mut place: Place) {
    place.options.account_bounds = FEW;
    let test = place.fixture().await;
    keys_are_bounded(&test).await;
    projects_are_bounded(&test).await;
    access_keys_are_bounded(&test).await;

    let other = account("other");
    commit(&test.store, Action::AccountCreated, vec![Write::create(other.clone())], None).await;
    let project = project(&other.id);
    commit(&test.store, Action::ProjectCreated, vec![Write::create(project.clone())], None).await;
    assert!(is_written(&create_key(&test.store, &project).await), "another account has its own");
}

async fn keys_are_bounded(test: &Fixture) {
    let (store, project) = (&test.store, &test.project.record);
    let full = CommitAnswer::OverBound(AccountResource::ApiKeys, 2);
    let (first, _) = test.key().await;
    let (last, _) = api_key(store, project);
    let last = change(Action::ApiKeyCreated, vec![Write::create(last)], None);
    let CommitAnswer::Committed(version) = store.commit(&last).await.unwrap() else { panic!("it may have two") };
    assert_eq!(create_key(store, project).await, full);
    assert_eq!(store.commit(&last).await.unwrap(), CommitAnswer::Repeated(version), "this one was made before");

    let renamed = ApiKey { name: "another".to_owned(), ..first.record.clone() };
    commit(store, Action::ApiKeyUpdated, vec![Write::replace(first.clone(), renamed)], None).await;
    test.revoke(test.reload(&first.record.id).await).await;
    assert_eq!(create_key(store, project).await, full, "a revoked key is still there");
    let revoked = test.reload(&first.record.id).await;
    commit(store, Action::ApiKeyPurged, vec![Write::remove(revoked)], None).await;
    assert!(is_written(&create_key(store, project).await));
    assert_eq!(create_key(store, project).await, full);
}

async fn projects_are_bounded(test: &Fixture) {
    let (store, account) = (&test.store, &test.account.record.id);
    let full = CommitAnswer::OverBound(AccountResource::Projects, 2);
    let second = project(account);
    assert!(is_written(&create(store, Action::ProjectCreated, second.clone()).await));
    assert_eq!(create(store, Action::ProjectCreated, project(account)).await, full);
    let found = store.project(&second.id).await.unwrap().unwrap();
    let deleted = Project { status: Status::Inactive, ..second };
    commit(store, Action::ProjectDeleted, vec![Write::replace(found, deleted)], None).await;
    assert!(is_written(&create(store, Action::ProjectCreated, project(account)).await), "a deleted one does not count");
    assert_eq!(create(store, Action::ProjectCreated, project(account)).await, full);
}

async fn access_keys_are_bounded(test: &Fixture) {
    let store = &test.store;
    let full = CommitAnswer::OverBound(AccountResource::AccessKeys, 1);
    let first = access_key(test);
    assert!(is_written(&create(store, Action::AccessKeyCreated, first.clone()).await));
    assert_eq!(create(store, Action::AccessKeyCreated, access_key(test)).await, full);
    let with_status = async |status, action| {
        let found = store.access_key(&first.id).await.unwrap().unwrap();
        let new = AccessKey { status, ..found.record.clone() };
        store.commit(&change(action, vec![Write::replace(found, new)], None)).await.unwrap()
    };
    assert!(is_written(&with_status(Status::Inactive, Action::AccessKeyDeleted).await));
    assert!(is_written(&create(store, Action::AccessKeyCreated, access_key(test)).await));
    assert_eq!(with_status(Status::Active, Action::AccessKeyUpdated).await, full, "one that comes back counts too");
    let by_operator = create_by(Actor::Operator, store, Action::AccessKeyCreated, access_key(test)).await;
    assert!(is_written(&by_operator), "the way back in");
}

fn of_size(key: &Versioned<ApiKey>, size: usize) -> Record {
    Record::ApiKey(ApiKey { metadata: Metadata(format!("{{\"a\":\"{}\"}}", "b".repeat(size))), ..key.record.clone() })
}

pub(crate) async fn bytes_of_records_have_a_bound_and_changes_a_quarter_more(mut place: Place) {
    place.options.account_bounds = AccountBounds { bytes: 20_000, ..AccountBounds::DEFAULT };
    let test = place.fixture().await;
    let (key, _) = test.key().await;
    let mut made = 1;
    while is_written(&create_key(&test.store, &test.project.record).await) {
        made += 1;
    }
    assert!((20..60).contains(&made), "{made} keys of some hundred bytes");
    let resize = async |size| {
        let found = test.reload(&key.record.id).await;
        let new = of_size(&found, size);
        let write = Write { old: Some(found.map(Record::ApiKey)), new: Some(new) };
        test.store.commit(&change(Action::ApiKeyUpdated, vec![write], None)).await.unwrap()
    };
    assert!(is_written(&resize(3000).await), "what is there may still be changed");
    assert_eq!(resize(9000).await, CommitAnswer::OverBound(AccountResource::Bytes, 20_000));
    assert!(is_written(&resize(10).await));
    assert_eq!(
        create_key(&test.store, &test.project.record).await,
        CommitAnswer::OverBound(AccountResource::Bytes, 20_000)
    );
    test.revoke(test.reload(&key.record.id).await).await;
}

/// More than a page, so that the counting is interrupted by what others do.
const KEYS_BEFORE: usize = 1100;
/// Of these, removed while it goes on; as many are made.
const REPLACED: usize = 100;
/// Left when it has ended.
const LEFT: usize = 5;

pub(crate) async fn what_was_there_before_is_counted_while_commits_go_on(mut place: Place) {
    place.options.write_format = Format::FIRST;
    place.options.max_entries = 10_000;
    let most = (KEYS_BEFORE + LEFT) as u64;
    place.options.account_bounds = AccountBounds { api_keys: most, projects: 2, access_keys: 1, bytes: 0 };
    let test = place.fixture().await;
    let deleted = Project { status: Status::Inactive, ..project(&test.account.record.id) };
    for record in [Record::Project(deleted), access_key(&test).into(), access_key(&test).into()] {
        assert!(is_written(&create(&test.store, Action::ProjectCreated, record).await), "nothing is counted yet");
    }
    make_keys(&test, KEYS_BEFORE).await;

    let (counted, ()) = tokio::join!(test.store.upgrade(Format::LATEST, |_| {}), replace(&test));
    // A webhook, a project and an access key that were there are the others.
    let counted = usize::try_from(counted.unwrap().counted).unwrap();
    assert!((KEYS_BEFORE - REPLACED..=KEYS_BEFORE + REPLACED + 4).contains(&counted), "{counted}");
    assert_eq!(test.store.upgrade(Format::LATEST, |_| {}).await.unwrap().counted, 0, "once");

    for _ in 0..LEFT {
        assert!(is_written(&create_key(&test.store, &test.project.record).await));
    }
    assert_eq!(
        create_key(&test.store, &test.project.record).await,
        CommitAnswer::OverBound(AccountResource::ApiKeys, most)
    );
    let account = &test.account.record.id;
    assert!(is_written(&create(&test.store, Action::ProjectCreated, project(account)).await));
    let full = CommitAnswer::OverBound(AccountResource::Projects, 2);
    assert_eq!(create(&test.store, Action::ProjectCreated, project(account)).await, full);
    let full = CommitAnswer::OverBound(AccountResource::AccessKeys, 1);
    assert_eq!(create(&test.store, Action::AccessKeyCreated, access_key(&test)).await, full);
}

async fn make_keys(test: &Fixture, count: usize) {
    let mut made = JoinSet::new();
    for _ in 0..count {
        let (store, project) = (test.store.clone(), test.project.record.clone());
        made.spawn(async move { create_key(&store, &project).await });
        if made.len() == 50 {
            assert!(is_written(&made.join_next().await.unwrap().unwrap()));
        }
    }
    while let Some(answer) = made.join_next().await {
        assert!(is_written(&answer.unwrap()));
    }
}

/// Removes keys all over the index, and makes as many.
async fn replace(test: &Fixture) {
    let (store, project) = (&test.store, &test.project.record);
    let page = store.api_keys(&project.id, "", 1000).await.unwrap();
    for key in page.items.into_iter().step_by(10).take(REPLACED) {
        let found = test.reload(&key.record.id).await;
        commit(store, Action::ApiKeyPurged, vec![Write::remove(found)], None).await;
        assert!(is_written(&create_key(store, project).await));
    }
}
