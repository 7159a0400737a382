//! Failovers of Redis, and a Redis that loses its latest writes.

use std::time::Duration;

use gatepost_domain::change::{Action, Invalidation};
use gatepost_domain::key::{Env, generate_api_key};
use gatepost_domain::record::{ApiKey, KeyDigest, Status};
use gatepost_store::{CellStore, RecordWrite, Recovery, Replicas, Store, StoreErrorKind, Versioned, os_rng};
use gatepost_store::{CursorState, FirstUseOutcome};
use gatepost_test_support::SentinelSet;

use crate::fixture::{Fixture, TestBackend, acl_for, change, commit};

/// Maximum time for any condition, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(30);

async fn rename(store: &CellStore, key: Versioned<ApiKey>, name: &str) {
    let renamed = ApiKey { name: name.to_owned(), ..key.record.clone() };
    commit(store, Action::ApiKeyUpdated, vec![RecordWrite::replace(key, renamed)], None).await;
}

/// Waits until a condition holds. Uses the store meanwhile, because only then a process notices a failover.
async fn wait_until(test: &Fixture, is_met: impl AsyncFn(&Fixture) -> bool) {
    let waiting = async {
        while test.store.last_position().await.is_err() || !is_met(test).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "the condition was not met within the deadline");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_changes_lost_by_redis_are_replayed_under_the_same_ids() {
    let mut test = TestBackend::redis().fixture().await;
    let (revoked, _) = test.key().await;
    let (renamed_twice, _) = test.key().await;
    let (used, secret) = test.key().await;
    let saved = test.backend.redis.as_mut().unwrap().save();

    let (lost, _) = test.key().await;
    let revoked_at = test.revoke(revoked.clone()).await;
    for name in ["one", "two"] {
        rename(&test.store, test.reload(&renamed_twice.record.id).await, name).await;
    }
    let digest = test.store.envelope().digest(secret.expose());
    let found = test.store.lookup(&digest).await.unwrap().found.unwrap();
    assert!(matches!(test.store.claim_first_use(&found.facts, &digest, None).await.unwrap(), FirstUseOutcome::Won(_)));
    let event = test.reload(&revoked.record.id).await.event;

    test.backend.redis.as_mut().unwrap().restore(&saved);
    wait_until(&test, async |test| test.store.replay_stats().await.unwrap().replayed >= 5).await;
    let replays = test.store.replay_stats().await.unwrap();
    assert_eq!((replays.replayed, replays.conflicts), (5, 0));
    assert_eq!(test.reload(&lost.record.id).await.record, lost.record);
    let replayed = test.reload(&revoked.record.id).await;
    assert_eq!((replayed.record.status, &replayed.event), (Status::Inactive, &event));
    assert!(revoked_at < replayed.position.version);
    assert_eq!(test.reload(&renamed_twice.record.id).await.record.name, "two");
    assert!(test.reload(&used.record.id).await.first_used_at.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_revocation_overrides_later_writes_and_a_lost_rename_does_not() {
    let mut test = TestBackend::redis().fixture().await;
    let (revoked, _) = test.key().await;
    let (named, _) = test.key().await;
    let saved = test.backend.redis.as_mut().unwrap().save();
    test.revoke(revoked.clone()).await;
    rename(&test.store, named.clone(), "lost").await;

    // Another process writes before the one that replays.
    let other = test.backend.open().await;
    test.backend.redis.as_mut().unwrap().restore(&saved);
    while other.last_position().await.is_err() {}
    for key in [&revoked, &named] {
        rename(&other, key.clone(), "between").await;
    }
    wait_until(&test, async |test| test.store.replay_stats().await.unwrap().conflicts == 1).await;
    assert_eq!(test.reload(&revoked.record.id).await.record.status, Status::Inactive);
    assert_eq!(test.reload(&named.record.id).await.record.name, "between");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreplicated_writes_are_not_acknowledged() {
    let set = SentinelSet::start_with_acl(&acl_for(&["unconfirmed"]));
    let mut backend = TestBackend::sentinel(&set, "unconfirmed");
    backend.options.replicas = Replicas { count: 2, timeout: Duration::from_millis(200) };
    let test = backend.fixture().await;
    let (key, _) = test.key().await;
    set.servers[1].signal("-STOP");
    let revoked = ApiKey { status: Status::Inactive, ..key.record.clone() };
    let change = change(Action::ApiKeyDeleted, vec![RecordWrite::replace(key.clone(), revoked)], None);
    assert_eq!(test.store.commit(&change).await.unwrap_err().kind(), StoreErrorKind::Unconfirmed);
    let current = test.reload(&key.record.id).await;
    let confirmed = test.store.confirm(current.position.version, &current.event).await;
    assert_eq!(confirmed.unwrap_err().kind(), StoreErrorKind::Unconfirmed, "a retry waits for the replicas as well");
    set.servers[1].signal("-CONT");
    wait_until(&test, async |test| test.store.confirm(current.position.version, &current.event).await.is_ok()).await;
    let confirmed = test.store.confirm(current.position.version, &current.event).await.unwrap();
    assert_eq!(confirmed.state, CursorState::Present);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_redis_confirms_a_revocation_without_a_confirm_key() {
    for prepare in [&["ping"][..], &["del", "{gp}:confirm"]] {
        let mut backend = TestBackend::redis();
        let _replica = backend.redis.as_ref().unwrap().start_replica();
        backend.options.replicas = Replicas { count: 1, timeout: Duration::from_secs(5) };
        let test = backend.fixture().await;
        let (key, _) = test.key().await;
        let redis = test.backend.redis.as_ref().unwrap();
        redis.redis_cli(prepare);
        assert_eq!(redis.redis_cli(&["config", "set", "maxmemory", "1mb"]), "OK");
        assert!(redis.redis_cli(&["set", "x", "1"]).starts_with("OOM "));
        test.revoke(key.clone()).await;
        assert_eq!(test.reload(&key.record.id).await.record.status, Status::Inactive);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_master_confirms_writes_and_does_not_acknowledge_unreplicated_ones() {
    let mut set = SentinelSet::start_with_acl(&acl_for(&["confirmed"]));
    let mut backend = TestBackend::sentinel(&set, "confirmed");
    backend.options.replicas = Replicas { count: 1, timeout: Duration::from_millis(500) };
    let test = backend.fixture().await;
    let (key, _) = test.key().await;
    let first = set.servers[0].port();
    set.servers[0].kill();
    let master = set.await_master_other_than(first);
    wait_until(&test, async |test| test.store.confirm(key.position.version, &key.event).await.is_ok()).await;
    let other = 3 - master;
    set.servers[other].signal("-STOP");
    let confirmed = test.store.confirm(key.position.version, &key.event).await;
    assert_eq!(confirmed.unwrap_err().kind(), StoreErrorKind::Unconfirmed);
    set.servers[other].signal("-CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_revocation_revokes_the_value_set_since() {
    let mut test = TestBackend::redis().fixture().await;
    let (key, _) = test.key().await;
    let saved = test.backend.redis.as_mut().unwrap().save();
    test.revoke(key.clone()).await;

    let other = test.backend.open().await;
    test.backend.redis.as_mut().unwrap().restore(&saved);
    while other.last_position().await.is_err() {}
    let new = other.envelope().digest(generate_api_key(Env::Live, &mut os_rng()).expose());
    let rotated = ApiKey { digests: vec![KeyDigest::current(new)], ..key.record.clone() };
    commit(&other, Action::ApiKeyUpdated, vec![RecordWrite::replace(key.clone(), rotated)], None).await;
    wait_until(&test, async |test| test.store.replay_stats().await.unwrap().replayed == 1).await;
    assert_eq!(test.store.lookup(&new).await.unwrap().found.unwrap().facts.status, Status::Inactive);
    let entries = test.store.audit_feed().read(key.position.version, 10, Duration::ZERO).await.unwrap().entries;
    let content = entries.last().unwrap().content.clone().unwrap();
    assert_eq!((content.action, content.invalidation), (Action::ApiKeyDeleted, Invalidation::Digests(vec![new])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconfirmed_revocation_is_replayed() {
    let mut test = TestBackend::redis().fixture().await;
    let (key, _) = test.key().await;
    let mut options = test.backend.options.clone();
    options.replicas = Replicas { count: 1, timeout: Duration::from_millis(50) };
    let unconfirmed = Store::open(&options, &test.backend.master).await.unwrap().single_cell().clone();
    let saved = test.backend.redis.as_mut().unwrap().save();
    let revoked = ApiKey { status: Status::Inactive, ..key.record.clone() };
    let change = change(Action::ApiKeyDeleted, vec![RecordWrite::replace(key.clone(), revoked)], None);
    assert_eq!(unconfirmed.commit(&change).await.unwrap_err().kind(), StoreErrorKind::Unconfirmed);
    assert_eq!(test.reload(&key.record.id).await.record.status, Status::Inactive);

    test.backend.redis.as_mut().unwrap().restore(&saved);
    wait_until(&test, async |test| {
        // Only then the other process notices the failover.
        drop(unconfirmed.last_position().await);
        let read = test.store.api_key(&key.record.id).await.unwrap();
        read.is_some_and(|read| read.record.status == Status::Inactive)
    })
    .await;
    assert_eq!(test.reload(&key.record.id).await.event, change.event);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recovery_is_complete_once_everything_lost_is_replayed() {
    let mut test = TestBackend::redis().fixture().await;
    let saved = test.backend.redis.as_mut().unwrap().save();
    let (lost, _) = test.key().await;
    assert_eq!(test.store.recovery(), Recovery::Complete);
    test.backend.redis.as_mut().unwrap().restore(&saved);
    while test.store.last_position().await.is_err() {}
    assert_eq!(test.store.recovery(), Recovery::InProgress);
    wait_until(&test, async |test| test.store.recovery() == Recovery::Complete).await;
    assert_eq!(test.store.replay_stats().await.unwrap().replayed, 1);
    assert_eq!(test.reload(&lost.record.id).await.record, lost.record);
}
