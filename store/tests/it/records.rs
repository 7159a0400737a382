//! Records: what a commit writes, and what it refuses.

use gatepost_domain::change::{Action, Invalidation};
use gatepost_domain::id::{AccessKeyId, ProjectId};
use gatepost_domain::key::{self, Env, Secret};
use gatepost_domain::partition::Partition;
use gatepost_domain::record::{AccessKey, Account, ApiKey, KeyDigest, Project, Role, Status, Webhook};
use gatepost_domain::time::Version;
use gatepost_store::{
    CommitContext, MasterKey, Page, RecordWrite, ResponseClaim, Store, StoreErrorKind, StoredResponse, Versioned,
    os_rng,
};
use gatepost_store::{CommitOutcome, FirstUseOutcome};
use gatepost_test_support::records::stamps;
use std::time::Duration;

use crate::fixture::{TestBackend, api_key, change, commit, renamed};

pub(crate) async fn a_commit_writes_record_index_digest_and_entry_together(backend: TestBackend) {
    let test = backend.fixture().await;
    let before = test.store.last_position().await.unwrap();
    let (key, secret) = test.key().await;
    let digest = test.store.envelope().digest(secret.expose());
    assert_eq!(test.store.api_key_by_digest(&digest).await.unwrap(), Some(key.clone()));
    let page = test.store.api_keys(&test.project.record.id, "", 10).await.unwrap();
    assert_eq!(page.items, vec![key.clone()]);

    let entries = test.store.audit_feed().read(before, 10, Duration::ZERO).await.unwrap().entries;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].version, key.position.version);
    let content = entries[0].content.clone().unwrap();
    assert_eq!((content.action, content.invalidation), (Action::ApiKeyCreated, Invalidation::Digests(vec![digest])));
    let expected = ApiKey { digests: vec![], ..key.record.clone() };
    assert_eq!(content.new, Some(expected.into()), "the stream does not carry digests");
    assert_eq!(content.old, None);
    assert_eq!(test.store.last_position().await.unwrap(), key.position.version);
}

pub(crate) async fn a_stale_version_is_a_conflict_and_writes_nothing(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, _) = test.key().await;
    let write = |name: &str| RecordWrite { old: Some(key.clone().map(Into::into)), new: Some(renamed(&key, name)) };
    commit(&test.store, Action::ApiKeyUpdated, vec![write("first")], None).await;
    let last = test.store.last_position().await.unwrap();
    let second = change(Action::ApiKeyUpdated, vec![write("second")], None);
    assert_eq!(test.store.commit(&second).await.unwrap(), CommitOutcome::VersionConflict);
    assert_eq!(test.reload(&key.record.id).await.record.name, "first");
    assert_eq!(test.store.last_position().await.unwrap(), last);

    let again = change(Action::ApiKeyCreated, vec![RecordWrite::create(key.record.clone())], None);
    assert_eq!(test.store.commit(&again).await.unwrap(), CommitOutcome::VersionConflict, "the record exists");
    let (absent, _) = api_key(&test.store, &test.project.record);
    let never_read = Versioned { record: absent.clone(), ..key.clone() };
    let replace = change(Action::ApiKeyUpdated, vec![RecordWrite::replace(never_read, absent)], None);
    assert_eq!(test.store.commit(&replace).await.unwrap(), CommitOutcome::VersionConflict, "there is no such record");
}

pub(crate) async fn a_retried_commit_returns_the_same_version_and_writes_once(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, _) = api_key(&test.store, &test.project.record);
    let create = change(Action::ApiKeyCreated, vec![RecordWrite::create(key.clone())], None);
    let CommitOutcome::Committed(position) = test.store.commit(&create).await.unwrap() else { panic!("not committed") };
    assert_eq!(test.store.commit(&create).await.unwrap(), CommitOutcome::AlreadyCommitted(position));
    assert_eq!(test.store.last_position().await.unwrap(), position.version);

    let read = test.reload(&key.id).await;
    let new = renamed(&read, "new");
    let update =
        change(Action::ApiKeyUpdated, vec![RecordWrite { old: Some(read.map(Into::into)), new: Some(new) }], None);
    let CommitOutcome::Committed(position) = test.store.commit(&update).await.unwrap() else { panic!("not committed") };
    assert_eq!(test.store.commit(&update).await.unwrap(), CommitOutcome::AlreadyCommitted(position));
    assert_eq!(test.store.last_position().await.unwrap(), position.version);
}

pub(crate) async fn a_key_value_belongs_to_one_record(backend: TestBackend) {
    let test = backend.fixture().await;
    let (first, _) = test.key().await;
    let (second, _) = api_key(&test.store, &test.project.record);
    let conflicting = ApiKey { digests: first.record.digests.clone(), ..second };
    let create = change(Action::ApiKeyCreated, vec![RecordWrite::create(conflicting.clone())], None);
    assert_eq!(test.store.commit(&create).await.unwrap(), CommitOutcome::DigestTaken);
    assert_eq!(test.store.api_key(&conflicting.id).await.unwrap(), None);
}

pub(crate) async fn a_stored_response_is_kept_with_its_change_until_it_expires(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, _) = test.key().await;
    let response = |body: &str| StoredResponse {
        name: "name".to_owned(),
        response: Secret::new(body.to_owned()),
        ttl: Duration::from_secs(600),
    };
    let stored =
        async || test.store.stored_response("name").await.unwrap().map(|response| response.expose().to_owned());
    assert_eq!(stored().await, None);
    let write = RecordWrite { old: Some(key.clone().map(Into::into)), new: Some(renamed(&key, "new")) };
    let mut update = change(Action::ApiKeyUpdated, vec![write], None);
    update.stored_response = Some(response("first"));
    assert!(matches!(test.store.commit(&update).await.unwrap(), CommitOutcome::Committed(_)));
    assert_eq!(stored().await.as_deref(), Some("first"));
    assert!(test.store.stored_response("other").await.unwrap().is_none());

    // A refused commit stores no response.
    let write = RecordWrite { old: Some(key.clone().map(Into::into)), new: Some(renamed(&key, "newer")) };
    let mut stale = change(Action::ApiKeyUpdated, vec![write], None);
    stale.stored_response = Some(response("second"));
    assert_eq!(test.store.commit(&stale).await.unwrap(), CommitOutcome::VersionConflict);
    assert_eq!(stored().await.as_deref(), Some("first"));

    test.skew.add(599_000);
    assert_eq!(stored().await.as_deref(), Some("first"));
    test.skew.add(1_001);
    assert_eq!(stored().await, None);
}

pub(crate) async fn an_idempotency_slot_is_claimed_once_and_released_only_while_unanswered(backend: TestBackend) {
    let test = backend.fixture().await;
    let response = |body: &str, retention_s: u64| StoredResponse {
        name: "name".to_owned(),
        response: Secret::new(body.to_owned()),
        ttl: Duration::from_secs(retention_s),
    };
    let claim = async || match test.store.claim_response(&response("claimed", 60)).await.unwrap() {
        ResponseClaim::Claimed(mark) => Ok(mark),
        ResponseClaim::Taken(current) => Err(current.expose().to_owned()),
    };
    let mark = claim().await.unwrap();
    assert_eq!(claim().await.unwrap_err(), "claimed");
    test.store.release_response_claim(&mark).await.unwrap();
    let mark = claim().await.unwrap();
    test.store.put_response(&response("answered", 600)).await.unwrap();
    test.store.release_response_claim(&mark).await.unwrap();
    assert_eq!(claim().await.unwrap_err(), "answered");
    test.skew.add(600_001);
    // A claim whose owner has died is free after its TTL, and its owner cannot release the claim of another.
    let late = claim().await.unwrap();
    test.skew.add(60_001);
    claim().await.unwrap();
    test.store.release_response_claim(&late).await.unwrap();
    assert_eq!(claim().await.unwrap_err(), "claimed");
}

pub(crate) async fn a_stored_response_is_taken_once(backend: TestBackend) {
    let test = backend.fixture().await;
    let response = StoredResponse {
        name: "link".to_owned(),
        response: Secret::new("once".to_owned()),
        ttl: Duration::from_secs(60),
    };
    let take = async || test.store.take_response("link").await.unwrap().map(|taken| taken.expose().to_owned());
    assert_eq!(take().await, None);
    test.store.put_response(&response).await.unwrap();
    let (first, second) = tokio::join!(take(), take());
    assert_eq!([first, second].into_iter().flatten().collect::<Vec<_>>(), ["once"]);
    test.store.put_response(&response).await.unwrap();
    test.skew.add(60_001);
    assert_eq!(take().await, None);
}

pub(crate) async fn a_change_records_its_origin_and_stores_its_response(backend: TestBackend) {
    let test = backend.fixture().await;
    let before = test.store.last_position().await.unwrap();
    let (key, _) = api_key(&test.store, &test.project.record);
    let response = |name: &str| StoredResponse {
        name: name.to_owned(),
        response: Secret::new(name.to_uppercase()),
        ttl: Duration::from_secs(60),
    };
    let mut create = change(Action::ApiKeyCreated, vec![RecordWrite::create(key)], None);
    create.stored_response = Some(response("one"));
    let address = Some("192.0.2.7".parse().unwrap());
    let origin =
        CommitContext { client_ip: address, stored_response: Some(response("other")), ..CommitContext::default() };
    test.store.commit_with_context(&create, &origin).await.unwrap();
    let entries = test.store.audit_feed().read(before, 10, Duration::ZERO).await.unwrap().entries;
    assert_eq!(entries[0].content.as_ref().unwrap().metadata.address, origin.client_ip);
    for name in ["one", "other"] {
        let stored = test.store.stored_response(name).await.unwrap().unwrap();
        assert_eq!(stored.expose(), name.to_uppercase());
    }
}

pub(crate) async fn a_rotated_key_value_is_no_longer_found(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, old_value) = test.key().await;
    let new_value = key::generate_api_key(Env::Live, &mut os_rng());
    let (old, new) =
        (test.store.envelope().digest(old_value.expose()), test.store.envelope().digest(new_value.expose()));
    let rotated = ApiKey { digests: vec![KeyDigest::current(new)], ..key.record.clone() };
    let before = key.position.version;
    commit(&test.store, Action::ApiKeyUpdated, vec![RecordWrite::replace(key.clone(), rotated)], None).await;
    assert_eq!(test.store.api_key_by_digest(&old).await.unwrap(), None);
    let found = test.store.api_key_by_digest(&new).await.unwrap().unwrap();
    assert_eq!(found.record.id, key.record.id);

    let entries = test.store.audit_feed().read(before, 10, Duration::ZERO).await.unwrap().entries;
    let Invalidation::Digests(mut invalidated) = entries[0].content.clone().unwrap().invalidation else {
        panic!("no digests")
    };
    invalidated.sort_unstable();
    let mut both = vec![old, new];
    both.sort_unstable();
    assert_eq!(invalidated, both, "both values must be invalidated in every cache");
}

pub(crate) async fn a_removed_record_is_gone_from_its_list(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    let read = test.store.webhook(&webhook.id).await.unwrap().unwrap();
    assert_eq!(read.record, Webhook { url: read.record.url.clone(), ..webhook.clone() });
    assert_eq!(test.store.envelope().open_webhook_url(&read.record).unwrap().expose(), "https://example.com/");
    commit(&test.store, Action::WebhookDeleted, vec![RecordWrite::remove(read)], None).await;
    assert_eq!(test.store.webhook(&webhook.id).await.unwrap(), None);
    assert_eq!(test.store.webhooks(&webhook.account, "", 10).await.unwrap().items, vec![]);
}

pub(crate) async fn lists_are_ordered_by_creation_and_paginated(backend: TestBackend) {
    let test = backend.fixture().await;
    let mut made = Vec::new();
    for _ in 0..25 {
        made.push(test.key().await.0.record.id);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = test.store.api_keys(&test.project.record.id, &after, 10).await.unwrap();
        seen.extend(page.items.into_iter().map(|item| item.record.id));
        let Some(next) = page.next else { break };
        after = next;
    }
    assert_eq!(seen, made);
    assert_eq!(test.store.api_key_count(&test.project.record.id).await.unwrap(), 25);
    let other = ProjectId::generate_in(Partition::default(), &mut os_rng());
    assert_eq!(test.store.api_key_count(&other).await.unwrap(), 0);
}

pub(crate) async fn newest_first_is_the_same_list_reversed(backend: TestBackend) {
    let test = backend.fixture().await;
    let mut made = Vec::new();
    for _ in 0..25 {
        made.push(test.key().await.0.record.id);
    }
    let project = &test.project.record.id;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = test.store.newest_api_keys(project, &after, 10).await.unwrap();
        assert!(page.next.is_none() || page.next.as_ref() == page.positions.last());
        seen.extend(page.items.into_iter().map(|item| item.record.id));
        // Records created meanwhile sort before everything that is listed.
        test.key().await;
        let Some(next) = page.next else { break };
        after = next;
    }
    made.reverse();
    assert_eq!(seen, made);
    let none =
        test.store.newest_api_keys(&ProjectId::generate_in(Partition::default(), &mut os_rng()), "", 10).await.unwrap();
    assert_eq!((none.items.len(), none.next), (0, None));
}

pub(crate) async fn a_list_resumes_after_any_position_even_of_a_removed_record(backend: TestBackend) {
    let test = backend.fixture().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(test.webhook().await.id);
    }
    let account = &test.account.record.id;
    let ids = |page: Page<Webhook>| page.items.into_iter().map(|item| item.record.id).collect::<Vec<_>>();
    let whole = test.store.webhooks(account, "", 10).await.unwrap();
    assert_eq!(whole.positions.len(), 3);
    let position = whole.positions[1].clone();
    assert_eq!(ids(test.store.webhooks(account, &position, 10).await.unwrap()), made[2..]);
    let read = test.store.webhook(&made[1]).await.unwrap().unwrap();
    commit(&test.store, Action::WebhookDeleted, vec![RecordWrite::remove(read)], None).await;
    assert_eq!(ids(test.store.webhooks(account, &position, 10).await.unwrap()), made[2..]);
    assert_eq!(ids(test.store.webhooks(account, &whole.positions[0], 10).await.unwrap()), made[2..]);
}

pub(crate) async fn versions_increase_when_the_clock_goes_back(backend: TestBackend) {
    let test = backend.fixture().await;
    let (first, _) = test.key().await;
    test.skew.add(-3_600_000);
    let (second, _) = test.key().await;
    let (third, _) = test.key().await;
    assert!(first.position.version < second.position.version && second.position.version < third.position.version);
    assert_eq!(second.position.version.timestamp(), first.position.version.timestamp());
    test.skew.add(2 * 3_600_000);
    let (fourth, _) = test.key().await;
    assert!(fourth.position.version.timestamp() > first.position.version.timestamp());
    let entries = test.store.audit_feed().read(Version::ZERO, 100, Duration::ZERO).await.unwrap().entries;
    assert!(entries.windows(2).all(|pair| pair[0].version < pair[1].version));
}

pub(crate) async fn a_wrong_master_key_is_refused(backend: TestBackend) {
    let mut test = backend.fixture().await;
    let options = test.backend.options.clone();
    let right = test.backend.master.clone();
    let (key, _) = test.key().await;
    drop(test.store);
    if options.url == gatepost_store::StoreUrl::Memory {
        return; // An in-memory store is gone.
    }
    let wrong = MasterKey::generate(&mut os_rng());
    let refusal = Store::open(&options, &wrong).await.unwrap_err();
    assert_eq!(refusal.kind(), StoreErrorKind::Refused, "{refusal}");
    test.store = Store::open(&options, &right).await.unwrap().single_cell().clone();
    assert_eq!(test.reload(&key.record.id).await, key);
}

pub(crate) async fn unknown_fields_survive_a_rewrite(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, _) = test.key().await;
    let newer = key.unknown.with_public("shoe_size", 43);
    let from_newer = Versioned { unknown: newer.clone(), ..key.clone() };
    let write = RecordWrite { old: Some(from_newer.map(Into::into)), new: Some(renamed(&key, "by a newer process")) };
    commit(&test.store, Action::ApiKeyUpdated, vec![write], None).await;
    let read = test.reload(&key.record.id).await;
    assert_eq!(read.unknown, newer);
    let write = RecordWrite { old: Some(read.clone().map(Into::into)), new: Some(renamed(&read, "by an older one")) };
    commit(&test.store, Action::ApiKeyUpdated, vec![write], None).await;
    let read = test.reload(&key.record.id).await;
    assert_eq!((read.record.name.as_str(), read.unknown), ("by an older one", newer));
}

pub(crate) async fn an_access_key_is_returned_with_its_accounts_status(backend: TestBackend) {
    let test = backend.fixture().await;
    let secret = key::generate_access_key(&mut os_rng());
    let digest = test.store.envelope().digest(secret.expose());
    let access_key = AccessKey {
        id: AccessKeyId::generate_in(Partition::default(), &mut os_rng()),
        account: test.account.record.id.clone(),
        project: None,
        role: Role::Admin,
        name: "access".to_owned(),
        status: Status::Active,
        mask: key::mask(secret.expose()),
        digest,
        expires_at: None,
        stamps: stamps(),
    };
    commit(&test.store, Action::AccessKeyCreated, vec![RecordWrite::create(access_key.clone())], None).await;
    let found = test.store.access_key_with_account_status(&digest).await.unwrap();
    assert_eq!(found, Some((access_key.clone(), Status::Active)));

    let deactivated = Account { status: Status::Inactive, ..test.account.record.clone() };
    commit(&test.store, Action::AccountDeleted, vec![RecordWrite::replace(test.account.clone(), deactivated)], None)
        .await;
    let found = test.store.access_key_with_account_status(&digest).await.unwrap();
    assert_eq!(found, Some((access_key, Status::Inactive)));
    let (_, api_key) = test.key().await;
    assert_eq!(
        test.store.access_key_with_account_status(&test.store.envelope().digest(api_key.expose())).await.unwrap(),
        None
    );
    assert_eq!(
        test.store.access_key_with_account_status(&test.store.envelope().digest("nothing")).await.unwrap(),
        None
    );
}

pub(crate) async fn a_deleted_project_deactivates_its_keys_with_one_change(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, secret) = test.key().await;
    let renamed = Project { name: "new".to_owned(), ..test.project.record.clone() };
    let write = RecordWrite::replace(test.project.clone(), renamed.clone());
    commit(&test.store, Action::ProjectUpdated, vec![write], None).await;
    let read = test.store.project(&renamed.id).await.unwrap().unwrap();
    let deactivated = Project { status: Status::Inactive, ..renamed.clone() };
    let deleted =
        commit(&test.store, Action::ProjectDeleted, vec![RecordWrite::replace(read, deactivated)], None).await;

    let entries = test.store.audit_feed().read(key.position.version, 10, Duration::ZERO).await.unwrap().entries;
    let invalidations: Vec<Invalidation> =
        entries.iter().map(|entry| entry.content.clone().unwrap().invalidation).collect();
    assert_eq!(
        invalidations,
        [Invalidation::None, Invalidation::Project(renamed.id)],
        "a new name does not affect gateways"
    );
    assert_eq!(entries[1].version, deleted);
    let digest = test.store.envelope().digest(secret.expose());
    let found = test.store.lookup(&digest).await.unwrap().found.unwrap();
    assert_eq!((found.facts.status, found.facts.project_status), (Status::Active, Status::Inactive));
    assert_eq!(test.store.claim_first_use(&found.facts, &digest, None).await.unwrap(), FirstUseOutcome::NotActive);
}

pub(crate) async fn a_retried_removal_returns_the_same_version(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    let read = test.store.webhook(&webhook.id).await.unwrap().unwrap();
    let removal = change(Action::WebhookDeleted, vec![RecordWrite::remove(read.clone())], None);
    let CommitOutcome::Committed(position) = test.store.commit(&removal).await.unwrap() else {
        panic!("not committed")
    };
    assert_eq!(test.store.commit(&removal).await.unwrap(), CommitOutcome::AlreadyCommitted(position));
    let other = change(Action::WebhookDeleted, vec![RecordWrite::remove(read)], None);
    assert_eq!(
        test.store.commit(&other).await.unwrap(),
        CommitOutcome::VersionConflict,
        "another event did not remove it"
    );
    assert_eq!(test.store.last_position().await.unwrap(), position.version);
}

pub(crate) async fn a_commit_with_one_stale_record_writes_none(backend: TestBackend) {
    let test = backend.fixture().await;
    let (first, _) = test.key().await;
    let (second, _) = test.key().await;
    let write = |key: &Versioned<ApiKey>, name: &str| RecordWrite {
        old: Some(key.clone().map(Into::into)),
        new: Some(renamed(key, name)),
    };
    commit(&test.store, Action::ApiKeyUpdated, vec![write(&second, "before")], None).await;
    let last = test.store.last_position().await.unwrap();
    let both = change(Action::ApiKeyUpdated, vec![write(&first, "both"), write(&second, "both")], None);
    assert_eq!(test.store.commit(&both).await.unwrap(), CommitOutcome::VersionConflict);
    assert_eq!(test.reload(&first.record.id).await, first);
    assert_eq!(test.store.last_position().await.unwrap(), last);
}
