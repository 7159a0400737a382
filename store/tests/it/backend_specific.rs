//! Cases for one backend: another store at the address, several stores on one Redis, stored names, files on disk.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::EventId;
use gatepost_domain::partition::Partition;
use gatepost_domain::time::Version;
use gatepost_runtime::error_chain;
use gatepost_store::{CommitOutcome, CursorState};
use gatepost_store::{RecordWrite, Replicas, Store, StoreErrorKind, os_rng};
use gatepost_test_support::RedisServer;

use crate::fixture::{TestBackend, account, acl_for, change, commit};
use crate::trim::rule;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_store_at_the_address_fails_every_kind_of_operation() {
    let mut test = TestBackend::redis().fixture().await;
    let (key, _) = test.key().await;
    let digest = key.record.digests[0].digest;
    let redis = test.backend.redis.as_mut().unwrap();
    redis.erase();
    redis.resume();
    let store = &test.store;
    // The first operation finds its connection closed; later ones reach the other store.
    drop(store.last_position().await);
    assert_eq!(store.lookup(&digest).await.unwrap_err().kind(), StoreErrorKind::WrongStore);
    assert_eq!(store.last_position().await.unwrap_err().kind(), StoreErrorKind::WrongStore);
    assert_eq!(store.gateways().await.unwrap_err().kind(), StoreErrorKind::WrongStore);
    assert_eq!(store.queue_stats().await.unwrap_err().kind(), StoreErrorKind::WrongStore);
    let write = change(Action::AccountCreated, vec![RecordWrite::create(account("second"))], None);
    assert_eq!(store.commit(&write).await.unwrap_err().kind(), StoreErrorKind::WrongStore);
    let opened = Store::open(&test.backend.options, &test.backend.master).await;
    assert_eq!(opened.unwrap_err().kind(), StoreErrorKind::WrongStore);
    // The same after somebody has created a new store there.
    let _other =
        Store::open_or_create(&test.backend.options, &test.backend.master).await.unwrap().single_cell().clone();
    assert_eq!(store.lookup(&digest).await.unwrap_err().kind(), StoreErrorKind::WrongStore);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_on_one_redis_are_isolated() {
    let redis = RedisServer::start_with_acl(&acl_for(&["gp", "other"]));
    let test = TestBackend::on_server(redis).fixture().await;
    let mut options = test.backend.options.clone();
    options.namespace = "other".to_owned();
    let other = Store::open_or_create(&options, &test.backend.master).await.unwrap();
    let first = Store::open(&test.backend.options, &test.backend.master).await.unwrap();
    assert_ne!(other.id(), first.id());
    let other = other.single_cell().clone();
    assert_eq!(other.accounts("", 10).await.unwrap().items.len(), 0);
    commit(&other, Action::AccountCreated, vec![RecordWrite::create(account("theirs"))], None).await;
    assert_eq!(test.store.accounts("", 10).await.unwrap().items.len(), 1);
    let (key, secret) = test.key().await;
    let digest = key.record.digests[0].digest;
    assert!(other.lookup(&digest).await.unwrap().found.is_none());
    assert_ne!(other.envelope().digest(secret.expose()), digest, "each store has its own pepper");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_may_evict_is_refused_unless_allowed() {
    let test = TestBackend::redis().fixture().await;
    let redis = test.backend.redis.as_ref().unwrap();
    for [setting, value] in [["maxmemory", "1gb"], ["maxmemory-policy", "allkeys-lru"]] {
        assert_eq!(redis.redis_cli(&["config", "set", setting, value]), "OK");
    }
    let refused = Store::open(&test.backend.options, &test.backend.master).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused);
    assert!(error_chain(&refused).contains("noeviction"), "{refused}");
    let mut options = test.backend.options.clone();
    options.unsafe_redis = gatepost_store::UnsafeRedis::Allowed;
    let store = Store::open(&options, &test.backend.master).await.unwrap().single_cell().clone();
    assert_eq!(store.warnings().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_refuses_creates_and_accepts_revocations() {
    let test = TestBackend::redis().fixture().await;
    let (key, _) = test.key().await;
    assert_eq!(test.backend.redis.as_ref().unwrap().redis_cli(&["config", "set", "maxmemory", "1mb"]), "OK");
    let write = change(Action::AccountCreated, vec![RecordWrite::create(account("second"))], None);
    assert_eq!(test.store.commit(&write).await.unwrap_err().kind(), StoreErrorKind::Full);
    let revoked =
        gatepost_domain::record::ApiKey { status: gatepost_domain::record::Status::Inactive, ..key.record.clone() };
    let write = change(Action::ApiKeyDeleted, vec![RecordWrite::replace(key, revoked)], None);
    assert!(matches!(test.store.commit(&write).await.unwrap(), CommitOutcome::Committed(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_has_one_process_at_a_time() {
    let test = TestBackend::disk().fixture().await;
    let refused = Store::open(&test.backend.options, &test.backend.master).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused);
    assert!(error_chain(&refused).contains("in use by another process"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_key_and_field_names_are_stable() {
    let mut backend = TestBackend::redis();
    let _replica = backend.redis.as_ref().unwrap().start_replica();
    backend.options.replicas = Replicas { count: 1, timeout: Duration::from_secs(5) };
    let test = backend.fixture().await;
    let (key, _) = test.key().await;
    let digest = key.record.digests[0].digest;
    let found = test.store.lookup(&digest).await.unwrap().found.unwrap();
    test.store.claim_first_use(&found.facts, &digest, None).await.unwrap();
    let redis = test.backend.redis.as_ref().unwrap();
    let query = |command: &[&str]| redis.redis_cli(command);
    let names = query(&["keys", "*"]);
    // A digest is binary: the name of one that contains a line feed is printed on two lines.
    let names = names.lines().filter(|name| name.starts_with("{gp}:"));
    let mut kinds: Vec<String> = names.map(|name| name.split(':').take(2).collect::<Vec<_>>().join(":")).collect();
    kinds.sort_unstable();
    kinds.dedup();
    insta::assert_snapshot!("redis_keys", kinds.join("\n"));
    let meta = query(&["hkeys", "{gp}:meta"]);
    let mut fields: Vec<&str> = meta.lines().collect();
    fields.sort_unstable();
    insta::assert_snapshot!("redis_meta_fields", fields.join("\n"));
    let entry = query(&["xrange", "{gp}:stream", "-", "+", "count", "1"]);
    let names: Vec<&str> = entry.lines().skip(1).step_by(2).collect();
    insta::assert_snapshot!("redis_entry_fields", names.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trimming_forgets_leases_that_have_ended() {
    let test = TestBackend::redis().fixture().await;
    let redis = test.backend.redis.as_ref().unwrap();
    let webhook = test.webhook().await;
    test.key().await;
    test.fan_out(&webhook).await;
    test.lease(&webhook, 1).await;
    // As the first release wrote each lease.
    redis.redis_cli(&["zadd", "{gp}:leased", "1", "wh_1 evt_1"]);
    let counts = || ["leasing", "leased"].map(|name| redis.redis_cli(&["zcard", &format!("{{gp}}:{name}")]));
    test.store.trim(rule(1000)).await.unwrap();
    assert_eq!(counts(), ["1", "0"]);
    // The lease has ended long ago.
    redis.redis_cli(&["zadd", "{gp}:leasing", "1", webhook.id.as_str()]);
    test.store.trim(rule(1000)).await.unwrap();
    assert_eq!(counts(), ["0", "0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed_scripts_are_reloaded() {
    let test = TestBackend::redis().fixture().await;
    assert_eq!(test.backend.redis.as_ref().unwrap().redis_cli(&["script", "flush"]), "OK");
    let (key, _) = test.key().await;
    let id = key.record.id.clone();
    test.revoke(key).await;
    assert_eq!(test.store.last_used(&test.project.record.id, &[&id]).await.unwrap(), [None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_without_a_readable_event_id_is_matched_by_position() {
    let test = TestBackend::redis().fixture().await;
    let (ms, sequence) = test.store.last_position().await.unwrap().parts();
    let version = Version::from_parts(ms + 1, sequence);
    let (id, redis) = (format!("{}-{sequence}", ms + 1), test.backend.redis.as_ref().unwrap());
    assert_eq!(redis.redis_cli(&["xadd", "{gp}:stream", &id, "v", "2"]), id);
    redis.redis_cli(&["hset", "{gp}:meta", "last", &id]);
    assert_eq!(
        test.store.audit_feed().read(Version::ZERO, 100, Duration::ZERO).await.unwrap().entries.last().unwrap().event,
        None
    );
    assert_eq!(test.store.check_cursor(version, None).await.unwrap().state, CursorState::Present);
    let other = EventId::generate_in(Partition::default(), &mut os_rng());
    assert_eq!(test.store.check_cursor(version, Some(other)).await.unwrap().state, CursorState::Diverged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_on_disk_are_private_to_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let test = TestBackend::disk().fixture().await;
    let gatepost_store::StoreUrl::Embedded(directory) = &test.backend.options.url else { panic!("not embedded") };
    for (path, mode) in [(directory.clone(), 0o700), (directory.join("gatepost.redb"), 0o600)] {
        let found = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{}", path.display());
    }
}
