//! Records: what a commit writes, and what it refuses.

use gatepost_domain::change::{Action, Scope};
use gatepost_domain::id::{AccessKeyId, ProjectId};
use gatepost_domain::key::{self, Env, Secret};
use gatepost_domain::record::{AccessKey, Account, ApiKey, KeyDigest, Project, Role, Status, Webhook};
use gatepost_domain::time::Version;
use gatepost_store::act::{Claim, CommitAnswer};
use gatepost_store::{MasterKey, Origin, Page, Receipt, ReceiptClaim, Store, StoreErrorKind, Versioned, Write, os_rng};
use gatepost_test_support::records::stamps;
use std::time::Duration;

use crate::fixture::{Place, api_key, change, commit, renamed};

pub(crate) async fn a_commit_writes_record_index_digest_and_entry_together(place: Place) {
    let test = place.fixture().await;
    let before = test.store.last_position().await.unwrap();
    let (key, secret) = test.key().await;
    let digest = test.store.digest(secret.expose());
    assert_eq!(test.store.api_key_by_digest(&digest).await.unwrap(), Some(key.clone()));
    let page = test.store.api_keys(&test.project.record.id, "", 10).await.unwrap();
    assert_eq!(page.items, vec![key.clone()]);

    let entries = test.store.feed(before, 10, Duration::ZERO).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].version, key.version);
    let told = entries[0].told.clone().unwrap();
    assert_eq!((told.action, told.scope), (Action::ApiKeyCreated, Scope::Digests(vec![digest])));
    let expected = ApiKey { digests: vec![], ..key.record.clone() };
    assert_eq!(told.new, Some(expected.into()), "the stream does not carry digests");
    assert_eq!(told.old, None);
    assert_eq!(test.store.last_position().await.unwrap(), key.version);
}

pub(crate) async fn a_stale_version_is_a_conflict_and_writes_nothing(place: Place) {
    let test = place.fixture().await;
    let (key, _) = test.key().await;
    let write = |name: &str| Write { old: Some(key.clone().map(Into::into)), new: Some(renamed(&key, name)) };
    commit(&test.store, Action::ApiKeyUpdated, vec![write("first")], None).await;
    let last = test.store.last_position().await.unwrap();
    let second = change(Action::ApiKeyUpdated, vec![write("second")], None);
    assert_eq!(test.store.commit(&second).await.unwrap(), CommitAnswer::Stale);
    assert_eq!(test.reload(&key.record.id).await.record.name, "first");
    assert_eq!(test.store.last_position().await.unwrap(), last);

    let again = change(Action::ApiKeyCreated, vec![Write::create(key.record.clone())], None);
    assert_eq!(test.store.commit(&again).await.unwrap(), CommitAnswer::Stale, "the record exists");
    let (absent, _) = api_key(&test.store, &test.project.record);
    let never_read = Versioned { record: absent.clone(), ..key.clone() };
    let replace = change(Action::ApiKeyUpdated, vec![Write::replace(never_read, absent)], None);
    assert_eq!(test.store.commit(&replace).await.unwrap(), CommitAnswer::Stale, "there is no such record");
}

pub(crate) async fn a_repeated_commit_answers_the_same_version_and_writes_once(place: Place) {
    let test = place.fixture().await;
    let (key, _) = api_key(&test.store, &test.project.record);
    let create = change(Action::ApiKeyCreated, vec![Write::create(key.clone())], None);
    let CommitAnswer::Committed(version) = test.store.commit(&create).await.unwrap() else { panic!("not committed") };
    assert_eq!(test.store.commit(&create).await.unwrap(), CommitAnswer::Repeated(version));
    assert_eq!(test.store.last_position().await.unwrap(), version);

    let read = test.reload(&key.id).await;
    let new = renamed(&read, "new");
    let update = change(Action::ApiKeyUpdated, vec![Write { old: Some(read.map(Into::into)), new: Some(new) }], None);
    let CommitAnswer::Committed(version) = test.store.commit(&update).await.unwrap() else { panic!("not committed") };
    assert_eq!(test.store.commit(&update).await.unwrap(), CommitAnswer::Repeated(version));
    assert_eq!(test.store.last_position().await.unwrap(), version);
}

pub(crate) async fn a_key_value_belongs_to_one_record(place: Place) {
    let test = place.fixture().await;
    let (first, _) = test.key().await;
    let (second, _) = api_key(&test.store, &test.project.record);
    let thief = ApiKey { digests: first.record.digests.clone(), ..second };
    let create = change(Action::ApiKeyCreated, vec![Write::create(thief.clone())], None);
    assert_eq!(test.store.commit(&create).await.unwrap(), CommitAnswer::DigestTaken);
    assert_eq!(test.store.api_key(&thief.id).await.unwrap(), None);
}

pub(crate) async fn a_receipt_is_kept_with_its_change_for_its_time(place: Place) {
    let test = place.fixture().await;
    let (key, _) = test.key().await;
    let receipt = |answer: &str| Receipt {
        name: "name".to_owned(),
        answer: Secret::new(answer.to_owned()),
        kept: Duration::from_secs(600),
    };
    let told = async || test.store.receipt("name").await.unwrap().map(|answer| answer.expose().to_owned());
    assert_eq!(told().await, None);
    let write = Write { old: Some(key.clone().map(Into::into)), new: Some(renamed(&key, "new")) };
    let mut update = change(Action::ApiKeyUpdated, vec![write], None);
    update.receipt = Some(receipt("first"));
    assert!(matches!(test.store.commit(&update).await.unwrap(), CommitAnswer::Committed(_)));
    assert_eq!(told().await.as_deref(), Some("first"));
    assert!(test.store.receipt("other").await.unwrap().is_none());

    // What is refused keeps nothing.
    let write = Write { old: Some(key.clone().map(Into::into)), new: Some(renamed(&key, "newer")) };
    let mut stale = change(Action::ApiKeyUpdated, vec![write], None);
    stale.receipt = Some(receipt("second"));
    assert_eq!(test.store.commit(&stale).await.unwrap(), CommitAnswer::Stale);
    assert_eq!(told().await.as_deref(), Some("first"));

    test.skew.add(599_000);
    assert_eq!(told().await.as_deref(), Some("first"));
    test.skew.add(1_001);
    assert_eq!(told().await, None);
}

pub(crate) async fn a_receipts_name_is_claimed_once_and_given_back_only_unanswered(place: Place) {
    let test = place.fixture().await;
    let receipt = |answer: &str, kept_s: u64| Receipt {
        name: "name".to_owned(),
        answer: Secret::new(answer.to_owned()),
        kept: Duration::from_secs(kept_s),
    };
    let claim = async || match test.store.claim_receipt(&receipt("claimed", 60)).await.unwrap() {
        ReceiptClaim::Mine(mark) => Ok(mark),
        ReceiptClaim::Taken(standing) => Err(standing.expose().to_owned()),
    };
    let mark = claim().await.unwrap();
    assert_eq!(claim().await.unwrap_err(), "claimed");
    test.store.drop_receipt(&mark).await.unwrap();
    let mark = claim().await.unwrap();
    test.store.put_receipt(&receipt("answered", 600)).await.unwrap();
    test.store.drop_receipt(&mark).await.unwrap();
    assert_eq!(claim().await.unwrap_err(), "answered");
    test.skew.add(600_001);
    // A claim whose maker has died is free after its time, and its maker cannot give back what is another's.
    let late = claim().await.unwrap();
    test.skew.add(60_001);
    claim().await.unwrap();
    test.store.drop_receipt(&late).await.unwrap();
    assert_eq!(claim().await.unwrap_err(), "claimed");
}

pub(crate) async fn a_change_tells_from_where_it_came_and_keeps_its_answer(place: Place) {
    let test = place.fixture().await;
    let before = test.store.last_position().await.unwrap();
    let (key, _) = api_key(&test.store, &test.project.record);
    let kept = |name: &str| Receipt {
        name: name.to_owned(),
        answer: Secret::new(name.to_uppercase()),
        kept: Duration::from_secs(60),
    };
    let mut create = change(Action::ApiKeyCreated, vec![Write::create(key)], None);
    create.receipt = Some(kept("one"));
    let address = Some("192.0.2.7".parse().unwrap());
    let origin = Origin { address, answer: Some(kept("other")), ..Origin::default() };
    test.store.commit_from(&create, &origin).await.unwrap();
    let entries = test.store.feed(before, 10, Duration::ZERO).await.unwrap();
    assert_eq!(entries[0].told.as_ref().unwrap().head.address, origin.address);
    for name in ["one", "other"] {
        let answer = test.store.receipt(name).await.unwrap().unwrap();
        assert_eq!(answer.expose(), name.to_uppercase());
    }
}

pub(crate) async fn a_changed_value_leads_nowhere_any_more(place: Place) {
    let test = place.fixture().await;
    let (key, old_value) = test.key().await;
    let new_value = key::generate_api_key(Env::Live, &mut os_rng());
    let (old, new) = (test.store.digest(old_value.expose()), test.store.digest(new_value.expose()));
    let rotated = ApiKey { digests: vec![KeyDigest::current(new)], ..key.record.clone() };
    let before = key.version;
    commit(&test.store, Action::ApiKeyUpdated, vec![Write::replace(key.clone(), rotated)], None).await;
    assert_eq!(test.store.api_key_by_digest(&old).await.unwrap(), None);
    let found = test.store.api_key_by_digest(&new).await.unwrap().unwrap();
    assert_eq!(found.record.id, key.record.id);

    let entries = test.store.feed(before, 10, Duration::ZERO).await.unwrap();
    let Scope::Digests(mut touched) = entries[0].told.clone().unwrap().scope else { panic!("no digests") };
    touched.sort_unstable();
    let mut both = vec![old, new];
    both.sort_unstable();
    assert_eq!(touched, both, "both values must leave every cache");
}

pub(crate) async fn a_removed_record_is_gone_from_its_list(place: Place) {
    let test = place.fixture().await;
    let webhook = test.webhook().await;
    let read = test.store.webhook(&webhook.id).await.unwrap().unwrap();
    assert_eq!(read.record, Webhook { url: read.record.url.clone(), ..webhook.clone() });
    assert_eq!(test.store.open_webhook_url(&read.record).unwrap().expose(), "https://example.com/");
    commit(&test.store, Action::WebhookDeleted, vec![Write::remove(read)], None).await;
    assert_eq!(test.store.webhook(&webhook.id).await.unwrap(), None);
    assert_eq!(test.store.webhooks(&webhook.account, "", 10).await.unwrap().items, vec![]);
}

pub(crate) async fn lists_are_in_order_of_creation_and_page(place: Place) {
    let test = place.fixture().await;
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
}

pub(crate) async fn newest_first_is_the_same_list_backwards(place: Place) {
    let test = place.fixture().await;
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
        // What is made meanwhile comes before all that is listed.
        test.key().await;
        let Some(next) = page.next else { break };
        after = next;
    }
    made.reverse();
    assert_eq!(seen, made);
    let none = test.store.newest_api_keys(&ProjectId::generate(&mut os_rng()), "", 10).await.unwrap();
    assert_eq!((none.items.len(), none.next), (0, None));
}

pub(crate) async fn a_list_goes_on_after_any_record_of_it_also_one_that_is_gone(place: Place) {
    let test = place.fixture().await;
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
    commit(&test.store, Action::WebhookDeleted, vec![Write::remove(read)], None).await;
    assert_eq!(ids(test.store.webhooks(account, &position, 10).await.unwrap()), made[2..]);
    assert_eq!(ids(test.store.webhooks(account, &whole.positions[0], 10).await.unwrap()), made[2..]);
}

pub(crate) async fn versions_rise_when_the_clock_goes_back(place: Place) {
    let test = place.fixture().await;
    let (first, _) = test.key().await;
    test.skew.add(-3_600_000);
    let (second, _) = test.key().await;
    let (third, _) = test.key().await;
    assert!(first.version < second.version && second.version < third.version);
    assert_eq!(second.version.moment(), first.version.moment());
    test.skew.add(2 * 3_600_000);
    let (fourth, _) = test.key().await;
    assert!(fourth.version.moment() > first.version.moment());
    let entries = test.store.feed(Version::ZERO, 100, Duration::ZERO).await.unwrap();
    assert!(entries.windows(2).all(|pair| pair[0].version < pair[1].version));
}

pub(crate) async fn a_wrong_master_key_is_refused(place: Place) {
    let mut test = place.fixture().await;
    let options = test.place.options.clone();
    let right = test.place.master.clone();
    let (key, _) = test.key().await;
    drop(test.store);
    if options.url == gatepost_store::StoreUrl::Memory {
        return; // Nothing is left to open.
    }
    let wrong = MasterKey::generate(&mut os_rng());
    let refusal = Store::open(&options, &wrong).await.unwrap_err();
    assert_eq!(refusal.kind(), StoreErrorKind::Refused, "{refusal}");
    test.store = Store::open(&options, &right).await.unwrap();
    assert_eq!(test.reload(&key.record.id).await, key);
}

pub(crate) async fn unknown_fields_survive_a_rewrite(place: Place) {
    let test = place.fixture().await;
    let (key, _) = test.key().await;
    let newer = key.unknown.with_public("shoe_size", 43);
    let from_newer = Versioned { unknown: newer.clone(), ..key.clone() };
    let write = Write { old: Some(from_newer.map(Into::into)), new: Some(renamed(&key, "by a newer process")) };
    commit(&test.store, Action::ApiKeyUpdated, vec![write], None).await;
    let read = test.reload(&key.record.id).await;
    assert_eq!(read.unknown, newer);
    let write = Write { old: Some(read.clone().map(Into::into)), new: Some(renamed(&read, "by an older one")) };
    commit(&test.store, Action::ApiKeyUpdated, vec![write], None).await;
    let read = test.reload(&key.record.id).await;
    assert_eq!((read.record.name.as_str(), read.unknown), ("by an older one", newer));
}

pub(crate) async fn an_access_key_is_found_with_the_state_of_its_account(place: Place) {
    let test = place.fixture().await;
    let secret = key::generate_access_key(&mut os_rng());
    let digest = test.store.digest(secret.expose());
    let access_key = AccessKey {
        id: AccessKeyId::generate(&mut os_rng()),
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
    commit(&test.store, Action::AccessKeyCreated, vec![Write::create(access_key.clone())], None).await;
    let found = test.store.access_key_of_caller(&digest).await.unwrap();
    assert_eq!(found, Some((access_key.clone(), Status::Active)));

    let off = Account { status: Status::Inactive, ..test.account.record.clone() };
    commit(&test.store, Action::AccountDeleted, vec![Write::replace(test.account.clone(), off)], None).await;
    let found = test.store.access_key_of_caller(&digest).await.unwrap();
    assert_eq!(found, Some((access_key, Status::Inactive)));
    let (_, api_key) = test.key().await;
    assert_eq!(test.store.access_key_of_caller(&test.store.digest(api_key.expose())).await.unwrap(), None);
    assert_eq!(test.store.access_key_of_caller(&test.store.digest("nothing")).await.unwrap(), None);
}

pub(crate) async fn a_deleted_project_ends_its_keys_with_one_change(place: Place) {
    let test = place.fixture().await;
    let (key, secret) = test.key().await;
    let renamed = Project { name: "new".to_owned(), ..test.project.record.clone() };
    let write = Write::replace(test.project.clone(), renamed.clone());
    commit(&test.store, Action::ProjectUpdated, vec![write], None).await;
    let read = test.store.project(&renamed.id).await.unwrap().unwrap();
    let off = Project { status: Status::Inactive, ..renamed.clone() };
    let deleted = commit(&test.store, Action::ProjectDeleted, vec![Write::replace(read, off)], None).await;

    let entries = test.store.feed(key.version, 10, Duration::ZERO).await.unwrap();
    let scopes: Vec<Scope> = entries.iter().map(|entry| entry.told.clone().unwrap().scope).collect();
    assert_eq!(scopes, [Scope::None, Scope::Project(renamed.id)], "a new name changes nothing for gateways");
    assert_eq!(entries[1].version, deleted);
    let digest = test.store.digest(secret.expose());
    let found = test.store.lookup(&digest).await.unwrap().found.unwrap();
    assert_eq!((found.facts.status, found.facts.project_status), (Status::Active, Status::Inactive));
    assert_eq!(test.store.claim_first_use(&found.facts, &digest, None).await.unwrap(), Claim::NotActive);
}

pub(crate) async fn a_repeated_removal_answers_the_same_version(place: Place) {
    let test = place.fixture().await;
    let webhook = test.webhook().await;
    let read = test.store.webhook(&webhook.id).await.unwrap().unwrap();
    let removal = change(Action::WebhookDeleted, vec![Write::remove(read.clone())], None);
    let CommitAnswer::Committed(version) = test.store.commit(&removal).await.unwrap() else { panic!("not committed") };
    assert_eq!(test.store.commit(&removal).await.unwrap(), CommitAnswer::Repeated(version));
    let other = change(Action::WebhookDeleted, vec![Write::remove(read)], None);
    assert_eq!(test.store.commit(&other).await.unwrap(), CommitAnswer::Stale, "this one has removed nothing");
    assert_eq!(test.store.last_position().await.unwrap(), version);
}

pub(crate) async fn a_commit_of_several_records_of_which_one_is_stale_writes_none(place: Place) {
    let test = place.fixture().await;
    let (first, _) = test.key().await;
    let (second, _) = test.key().await;
    let write = |key: &Versioned<ApiKey>, name: &str| Write {
        old: Some(key.clone().map(Into::into)),
        new: Some(renamed(key, name)),
    };
    commit(&test.store, Action::ApiKeyUpdated, vec![write(&second, "before")], None).await;
    let last = test.store.last_position().await.unwrap();
    let both = change(Action::ApiKeyUpdated, vec![write(&first, "both"), write(&second, "both")], None);
    assert_eq!(test.store.commit(&both).await.unwrap(), CommitAnswer::Stale);
    assert_eq!(test.reload(&first.record.id).await, first);
    assert_eq!(test.store.last_position().await.unwrap(), last);
}
