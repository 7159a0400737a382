//! Redis that loses its master, or its latest writes.

use std::time::Duration;

use gatepost_domain::change::{Action, Scope};
use gatepost_domain::key::{Env, generate_api_key};
use gatepost_domain::record::{ApiKey, KeyDigest, Status};
use gatepost_store::act::{Claim, CursorState};
use gatepost_store::{Replicas, Settled, Store, StoreErrorKind, Versioned, Write, os_rng};
use gatepost_test_support::SentinelSet;

use crate::fixture::{Fixture, Place, acl_of, change, commit};

/// How long anything may take here, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(30);

async fn rename(store: &Store, key: Versioned<ApiKey>, name: &str) {
    let renamed = ApiKey { name: name.to_owned(), ..key.record.clone() };
    commit(store, Action::ApiKeyUpdated, vec![Write::replace(key, renamed)], None).await;
}

/// Waits until something is so. Meanwhile the store is used: only so a process notices that it changed.
async fn until(test: &Fixture, is_so: impl AsyncFn(&Fixture) -> bool) {
    let waiting = async {
        while test.store.last_position().await.is_err() || !is_so(test).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "it never came to be so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_changes_that_redis_lost_are_repeated_under_the_same_ids() {
    let mut test = Place::redis().fixture().await;
    let (revoked, _) = test.key().await;
    let (renamed_twice, _) = test.key().await;
    let (used, secret) = test.key().await;
    let saved = test.place.redis.as_mut().unwrap().save();

    let (lost, _) = test.key().await;
    let off = test.revoke(revoked.clone()).await;
    for name in ["one", "two"] {
        rename(&test.store, test.reload(&renamed_twice.record.id).await, name).await;
    }
    let digest = test.store.digest(secret.expose());
    let found = test.store.lookup(&digest).await.unwrap().found.unwrap();
    assert!(matches!(test.store.claim_first_use(&found.facts, &digest, None).await.unwrap(), Claim::Won(_)));
    let event = test.reload(&revoked.record.id).await.event;

    test.place.redis.as_mut().unwrap().restore(&saved);
    until(&test, async |test| test.store.repeats().await.unwrap().repeated >= 5).await;
    let repeats = test.store.repeats().await.unwrap();
    assert_eq!((repeats.repeated, repeats.conflicts), (5, 0));
    assert_eq!(test.reload(&lost.record.id).await.record, lost.record);
    let again = test.reload(&revoked.record.id).await;
    assert_eq!((again.record.status, &again.event), (Status::Inactive, &event));
    assert!(off < again.version);
    assert_eq!(test.reload(&renamed_twice.record.id).await.record.name, "two");
    assert!(test.reload(&used.record.id).await.first_used_at.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_revocation_goes_before_what_came_in_between_and_a_lost_renaming_does_not() {
    let mut test = Place::redis().fixture().await;
    let (revoked, _) = test.key().await;
    let (named, _) = test.key().await;
    let saved = test.place.redis.as_mut().unwrap().save();
    test.revoke(revoked.clone()).await;
    rename(&test.store, named.clone(), "lost").await;

    // Another process is faster than the one that remembers.
    let other = test.place.open().await;
    test.place.redis.as_mut().unwrap().restore(&saved);
    while other.last_position().await.is_err() {}
    for key in [&revoked, &named] {
        rename(&other, key.clone(), "between").await;
    }
    until(&test, async |test| test.store.repeats().await.unwrap().conflicts == 1).await;
    assert_eq!(test.reload(&revoked.record.id).await.record.status, Status::Inactive);
    assert_eq!(test.reload(&named.record.id).await.record.name, "between");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_replicas_have_not_got_is_not_acknowledged() {
    let set = SentinelSet::start_guarded(&acl_of(&["unconfirmed"]));
    let mut place = Place::sentinel(&set, "unconfirmed");
    place.options.replicas = Replicas { count: 2, wait: Duration::from_millis(200) };
    let test = place.fixture().await;
    let (key, _) = test.key().await;
    set.servers[1].signal("-STOP");
    let off = ApiKey { status: Status::Inactive, ..key.record.clone() };
    let change = change(Action::ApiKeyDeleted, vec![Write::replace(key.clone(), off)], None);
    assert_eq!(test.store.commit(&change).await.unwrap_err().kind(), StoreErrorKind::Unconfirmed);
    let stands = test.reload(&key.record.id).await;
    let confirmed = test.store.confirm(stands.version, &stands.event).await;
    assert_eq!(confirmed.unwrap_err().kind(), StoreErrorKind::Unconfirmed, "a repetition waits for them as well");
    set.servers[1].signal("-CONT");
    until(&test, async |test| test.store.confirm(stands.version, &stands.event).await.is_ok()).await;
    let confirmed = test.store.confirm(stands.version, &stands.event).await.unwrap();
    assert_eq!(confirmed.state, CursorState::Present);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_redis_confirms_a_revocation_also_where_nothing_was_confirmed_before() {
    for prepare in [&["ping"][..], &["del", "{gp}:confirm"]] {
        let mut place = Place::redis();
        let _replica = place.redis.as_ref().unwrap().start_replica();
        place.options.replicas = Replicas { count: 1, wait: Duration::from_secs(5) };
        let test = place.fixture().await;
        let (key, _) = test.key().await;
        let redis = test.place.redis.as_ref().unwrap();
        redis.ask(prepare);
        assert_eq!(redis.ask(&["config", "set", "maxmemory", "1mb"]), "OK");
        assert!(redis.ask(&["set", "x", "1"]).starts_with("OOM "));
        test.revoke(key.clone()).await;
        assert_eq!(test.reload(&key.record.id).await.record.status, Status::Inactive);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_master_confirms_what_it_writes_and_its_replicas_have_not_got_is_not_acknowledged() {
    let mut set = SentinelSet::start_guarded(&acl_of(&["confirmed"]));
    let mut place = Place::sentinel(&set, "confirmed");
    place.options.replicas = Replicas { count: 1, wait: Duration::from_millis(500) };
    let test = place.fixture().await;
    let (key, _) = test.key().await;
    let first = set.servers[0].port();
    set.servers[0].kill();
    let master = set.await_master_other_than(first);
    until(&test, async |test| test.store.confirm(key.version, &key.event).await.is_ok()).await;
    let other = 3 - master;
    set.servers[other].signal("-STOP");
    let confirmed = test.store.confirm(key.version, &key.event).await;
    assert_eq!(confirmed.unwrap_err().kind(), StoreErrorKind::Unconfirmed);
    set.servers[other].signal("-CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_revocation_shuts_off_the_value_that_a_key_has_got_since() {
    let mut test = Place::redis().fixture().await;
    let (key, _) = test.key().await;
    let saved = test.place.redis.as_mut().unwrap().save();
    test.revoke(key.clone()).await;

    let other = test.place.open().await;
    test.place.redis.as_mut().unwrap().restore(&saved);
    while other.last_position().await.is_err() {}
    let new = other.digest(generate_api_key(Env::Live, &mut os_rng()).expose());
    let rotated = ApiKey { digests: vec![KeyDigest::current(new)], ..key.record.clone() };
    commit(&other, Action::ApiKeyUpdated, vec![Write::replace(key.clone(), rotated)], None).await;
    until(&test, async |test| test.store.repeats().await.unwrap().repeated == 1).await;
    assert_eq!(test.store.lookup(&new).await.unwrap().found.unwrap().facts.status, Status::Inactive);
    let entries = test.store.feed(key.version, 10, Duration::ZERO).await.unwrap();
    let told = entries.last().unwrap().told.clone().unwrap();
    assert_eq!((told.action, told.scope), (Action::ApiKeyDeleted, Scope::Digests(vec![new])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_was_not_confirmed_is_repeated_as_well() {
    let mut test = Place::redis().fixture().await;
    let (key, _) = test.key().await;
    let mut options = test.place.options.clone();
    options.replicas = Replicas { count: 1, wait: Duration::from_millis(50) };
    let unconfirmed = Store::open(&options, &test.place.master).await.unwrap();
    let saved = test.place.redis.as_mut().unwrap().save();
    let off = ApiKey { status: Status::Inactive, ..key.record.clone() };
    let change = change(Action::ApiKeyDeleted, vec![Write::replace(key.clone(), off)], None);
    assert_eq!(unconfirmed.commit(&change).await.unwrap_err().kind(), StoreErrorKind::Unconfirmed);
    assert_eq!(test.reload(&key.record.id).await.record.status, Status::Inactive);

    test.place.redis.as_mut().unwrap().restore(&saved);
    until(&test, async |test| {
        // Only so the other process notices.
        drop(unconfirmed.last_position().await);
        let read = test.store.api_key(&key.record.id).await.unwrap();
        read.is_some_and(|read| read.record.status == Status::Inactive)
    })
    .await;
    assert_eq!(test.reload(&key.record.id).await.event, change.event);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_run_became_the_master_of_is_settled_once_all_was_repeated() {
    let mut test = Place::redis().fixture().await;
    let saved = test.place.redis.as_mut().unwrap().save();
    let (lost, _) = test.key().await;
    assert_eq!(test.store.settled(), Settled::Yes);
    test.place.redis.as_mut().unwrap().restore(&saved);
    while test.store.last_position().await.is_err() {}
    assert_eq!(test.store.settled(), Settled::No);
    until(&test, async |test| test.store.settled() == Settled::Yes).await;
    assert_eq!(test.store.repeats().await.unwrap().repeated, 1);
    assert_eq!(test.reload(&lost.record.id).await.record, lost.record);
}
