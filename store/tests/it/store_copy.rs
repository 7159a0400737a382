//! Copies of whole stores, in every direction: everything is there, and goes on; and when a copy is refused.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{GatewayId, KeyId, LeaseToken};
use gatepost_domain::key::Secret;
use gatepost_domain::record::{Account, Project, Webhook};
use gatepost_domain::time::{Clock, Timestamp, Version};
use gatepost_domain::window::{Limit, WindowKind};
use gatepost_runtime::error_chain;
use gatepost_store::clock::SystemClock;
use gatepost_store::{
    CellStore, Change, CommitOutcome, CopyError, CopyProgress, CopyReport, CopyStart, DeliveryKind,
    DeliveryLeaseRequest, Disposition, DroppedDelivery, FeedCursor, FirstUseOutcome, GatewayLabel, Heartbeat,
    RecordWrite, Store, StoreErrorKind, StoreOptions, StoreUrl, StoredResponse, copy_store, os_rng,
};
use gatepost_test_support::{RedisCluster, RedisServer, SentinelSet};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::fixture::{ACL, Fixture, TestBackend, acl_for, change};
use crate::usage;

/// Commands that a copy needs besides those of the list.
const COPY_COMMANDS: &str = " +scan";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Name of a quota's window.
const QUOTA: &str = "key_00a:quota";

/// A store with something of everything that no process uses, and what its copy must still know.
struct FullStore {
    backend: TestBackend,
    account: Account,
    project: Project,
    webhook: Webhook,
    /// Digest of a key that was used, and its id.
    used: (Digest, KeyId),
    /// Digest of a key that was never used.
    unused: Digest,
    quota: Limit,
    /// The removal of a record, and where it happened.
    removal: (Change, Version),
}

fn acl_with_copies() -> String {
    format!("{}{COPY_COMMANDS}\n", acl_for(&["gp", "other"]).trim_end())
}

fn redis_for_copies() -> RedisServer {
    RedisServer::start_with_acl(&acl_with_copies())
}

/// Returns the options of an embedded store in a directory.
fn embedded(directory: &TempDir, name: &str) -> StoreOptions {
    let path: &Path = directory.path();
    StoreOptions::new(StoreUrl::Embedded(path.join(name)), std::sync::Arc::new(SystemClock))
}

/// Returns the options of another namespace on the same server.
fn namespace(options: &StoreOptions, name: &str) -> StoreOptions {
    StoreOptions { namespace: name.to_owned(), ..options.clone() }
}

async fn copy(from: &StoreOptions, to: &StoreOptions) -> CopyReport {
    let copied = copy_store(from, to, |_| {}).await;
    copied.unwrap_or_else(|error| panic!("{} was not copied to {}: {}", from.url, to.url, error_chain(&error)))
}

/// Returns why a copy is refused.
async fn refusal(from: &StoreOptions, to: &StoreOptions) -> CopyError {
    copy_store(from, to, |_| {}).await.unwrap_err()
}

async fn claim(store: &CellStore, digest: &Digest) -> FirstUseOutcome {
    let facts = store.lookup(digest).await.unwrap().found.unwrap().facts;
    store.claim_first_use(&facts, digest, None).await.unwrap()
}

impl FullStore {
    async fn create(backend: TestBackend) -> Self {
        let test = backend.fixture().await;
        let webhook = test.webhook().await;
        let (key, secret) = test.key().await;
        let used = (test.store.envelope().digest(secret.expose()), key.record.id);
        let unused = test.store.envelope().digest(test.key().await.1.expose());
        claim(&test.store, &used.0).await;
        for _ in 0..4 {
            test.key().await;
        }
        test.fan_out(&webhook).await;
        test.settle_three(&webhook).await;
        test.drop_one(&webhook).await;
        test.quarantine_one(&webhook).await;
        test.store.hold_queue(&webhook.id, DAY).await.unwrap();
        let quota = test.lease_quota().await;
        test.store.add_usage(&test.project.record.id, &[(used.1.clone(), 7)]).await.unwrap();
        let response = StoredResponse { name: "slot".to_owned(), response: Secret::new("kept".to_owned()), ttl: DAY };
        test.store.put_response(&response).await.unwrap();
        let removal = test.remove_one().await;
        let Fixture { store, account, project, backend, .. } = test;
        // An embedded store is locked until it is closed.
        drop(store);
        Self { backend, account: account.record, project: project.record, webhook, used, unused, quota, removal }
    }

    fn options(&self) -> &StoreOptions {
        &self.backend.options
    }

    async fn open(&self, options: &StoreOptions) -> CellStore {
        Store::open(options, &self.backend.master).await.unwrap().single_cell().clone()
    }

    /// Returns what people and processes read of the store, as text.
    async fn view(&self, options: &StoreOptions) -> Vec<String> {
        let store = self.open(options).await;
        let (account, project, webhook) = (&self.account.id, &self.project.id, &self.webhook.id);
        let keys = store.api_keys(project, "", 100).await.unwrap();
        let ids: Vec<&KeyId> = keys.items.iter().map(|key| &key.record.id).collect();
        let all_time = (Timestamp::from_ms(0), SystemClock.now().plus(DAY));
        let response = store.stored_response("slot").await.unwrap();
        vec![
            format!("{keys:?}"),
            format!("{:?}", store.accounts("", 100).await.unwrap()),
            format!("{:?}", store.projects(account, "", 100).await.unwrap()),
            format!("{:?}", store.webhooks(account, "", 100).await.unwrap()),
            format!("{:?}", store.account_usage(account).await.unwrap()),
            format!("{:?}", store.lookup(&self.used.0).await.unwrap()),
            format!("{:?}", store.audit_feed().read(Version::ZERO, 1000, Duration::ZERO).await.unwrap()),
            format!(
                "{:?}",
                store.invalidation_feed().read(&FeedCursor::default(), 1000, Duration::ZERO).await.unwrap().entries
            ),
            format!("{:?}", store.fan_out_cursor().await.unwrap()),
            format!("{:?}", store.deliveries(webhook, &DeliveryKind::ALL, None, 100).await.unwrap()),
            format!("{:?}", store.dead_letters(webhook, None, 100).await.unwrap()),
            format!("{:?}", store.attempts(webhook, None, 100).await.unwrap()),
            format!("{:?}", store.webhook_numbers(webhook).await.unwrap()),
            format!("{:?}", store.quarantine(Version::MAX, 100).await.unwrap()),
            format!("{:?}", usage::uses_of_keys(&store, project, all_time.0, all_time.1).await),
            format!("{:?}", store.last_used(project, &ids).await.unwrap()),
            format!("{:?}", response.map(|response| response.expose().to_owned())),
        ]
    }

    /// Copies the store and checks that everybody reads the same of the copy.
    async fn copy(&self, from: &StoreOptions, to: &StoreOptions) -> CopyReport {
        let before = self.view(from).await;
        let report = copy(from, to).await;
        for (copied, original) in self.view(to).await.iter().zip(&before) {
            assert_eq!(copied, original, "{} to {}", from.url, to.url);
        }
        report
    }

    /// Checks that the copy goes on where the original has stopped.
    async fn check_use(&self, options: &StoreOptions) {
        let store = self.open(options).await;
        let (removal, at) = &self.removal;
        let again = store.commit(removal).await.unwrap();
        assert!(matches!(&again, CommitOutcome::AlreadyCommitted(position) if position.version == *at), "{again:?}");
        assert!(matches!(claim(&store, &self.used.0).await, FirstUseOutcome::AlreadyUsed(_)));
        let won = claim(&store, &self.unused).await;
        assert!(matches!(won, FirstUseOutcome::Won(version) if *at < version), "{won:?}");
        assert_eq!(store.lease_allowance(QUOTA, self.quota, 100).await.unwrap().granted, 70);

        assert_eq!(self.lease(&store).await, 0, "the webhook is held");
        store.end_hold(&self.webhook.id).await.unwrap();
        assert!(store.due_webhooks(0, 10).await.unwrap().webhooks.contains(&self.webhook.id));
        let waiting = store.webhook_numbers(&self.webhook.id).await.unwrap().waiting;
        assert_eq!(self.lease(&store).await as u64, waiting - 1, "one waits for its next attempt");
        let letter = store.dead_letters(&self.webhook.id, None, 10).await.unwrap().remove(0);
        store.resend(&self.webhook.id, &letter.event_id).await.unwrap();
        assert_eq!(self.lease(&store).await, 1, "its event and secret are there");
    }

    /// Leases all due deliveries, and returns how many.
    async fn lease(&self, store: &CellStore) -> usize {
        let request = DeliveryLeaseRequest {
            webhook: self.webhook.id.clone(),
            token: LeaseToken::generate(&mut os_rng()),
            max_deliveries: 100,
            in_flight_cap: 100,
            lease_duration: Duration::from_secs(30),
        };
        let leased = store.lease_deliveries(request).await.unwrap().deliveries;
        assert!(leased.iter().all(|leased| store.open_secret(leased).is_ok()));
        leased.len()
    }
}

impl Fixture {
    /// Delivers one delivery, gives one up, and has one wait for its next attempt.
    async fn settle_three(&self, webhook: &Webhook) {
        for disposition in [
            Disposition::Delivered,
            Disposition::DeadLetter("the receiver responded with 500".to_owned()),
            Disposition::Retry(Duration::from_secs(600)),
        ] {
            let (token, leased) = self.lease(webhook, 1).await;
            self.settle(webhook, &leased[0], &token, disposition).await;
        }
    }

    async fn drop_one(&self, webhook: &Webhook) {
        self.key().await;
        let mut step = self.fan_out_step(&webhook.id, 1000).await;
        let event = step.events.pop().unwrap();
        step.dropped = vec![DroppedDelivery {
            webhook: webhook.id.clone(),
            event: event.event.clone(),
            action: event.content.action,
            version: event.version,
        }];
        self.store.fan_out(step).await.unwrap();
    }

    async fn quarantine_one(&self, webhook: &Webhook) {
        self.key().await;
        let mut step = self.fan_out_step(&webhook.id, 1000).await;
        step.events.clear();
        step.quarantined = vec![(step.new_cursor, b"a\nb".to_vec(), "no such action".to_owned())];
        self.store.fan_out(step).await.unwrap();
    }

    async fn lease_quota(&self) -> Limit {
        let now = SystemClock.now();
        let window_kind = WindowKind::Calendar([now.minus(DAY), now.plus(2 * DAY), now.plus(4 * DAY)]);
        let quota = Limit { max_requests: 100, window_kind, generation: 1 };
        assert_eq!(self.store.lease_allowance(QUOTA, quota, 30).await.unwrap().granted, 30);
        quota
    }

    async fn remove_one(&self) -> (Change, Version) {
        let read = self.store.webhook(&self.webhook().await.id).await.unwrap().unwrap();
        let removal = change(Action::WebhookDeleted, vec![RecordWrite::remove(read)], None);
        let outcome = self.store.commit(&removal).await.unwrap();
        let CommitOutcome::Committed(position) = outcome else { panic!("{outcome:?}") };
        (removal, position.version)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_moves_from_embedded_to_redis_to_another_namespace_and_back() {
    let (redis, directory) = (redis_for_copies(), tempfile::tempdir().unwrap());
    let full = FullStore::create(TestBackend::disk()).await;
    let on_redis = TestBackend::on_server(redis);
    let other = namespace(&on_redis.options, "other");
    let back = embedded(&directory, "back");
    let reports = [
        full.copy(full.options(), &on_redis.options).await,
        full.copy(&on_redis.options, &other).await,
        full.copy(&other, &back).await,
    ];
    for report in &reports {
        assert_eq!((&report.store, report.start), (&reports[0].store, CopyStart::New));
        assert_eq!((&report.counts, &report.checksum), (&reports[0].counts, &reports[0].checksum));
    }
    for kind in ["records", "first uses", "changes", "waiting deliveries", "dead letters", "rate limit windows"] {
        assert!(reports[0].counts.iter().any(|found| found.kind == kind), "{kind}: {:?}", reports[0].counts);
    }
    for options in [&on_redis.options, &other, &back] {
        full.check_use(options).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_moves_to_a_cluster_and_to_sentinel_and_back() {
    let acl = acl_with_copies();
    let (cluster, set) = (RedisCluster::start_with_acl(&acl), SentinelSet::start_with_acl(&acl));
    let directory = tempfile::tempdir().unwrap();
    let full = FullStore::create(TestBackend::disk()).await;
    let (on_cluster, on_sentinel) = (TestBackend::cluster(&cluster, "gp"), TestBackend::sentinel(&set, "gp"));
    let back = embedded(&directory, "back");
    let first = full.copy(full.options(), &on_cluster.options).await;
    let second = full.copy(&on_cluster.options, &on_sentinel.options).await;
    let third = full.copy(&on_sentinel.options, &back).await;
    assert_eq!([&second.checksum, &third.checksum], [&first.checksum; 2]);
    for options in [&on_cluster.options, &on_sentinel.options, &back] {
        full.check_use(options).await;
    }
}

/// Starts a copy and stops it once something is written with a mark.
async fn interrupt(from: &StoreOptions, to: &StoreOptions) {
    let (half, is_over) = (Notify::new(), AtomicBool::new(false));
    let progress = |progress| {
        if matches!(progress, CopyProgress::Written(entries) if entries > 3000) {
            half.notify_one();
        }
    };
    tokio::select! {
        copied = copy_store(from, to, progress) => is_over.store(copied.is_ok(), Ordering::Relaxed),
        () = half.notified() => {}
    }
    assert!(!is_over.into_inner(), "the copy ended before it was interrupted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_copy_is_no_store_and_resumes_or_restarts_if_the_source_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let mut backend = TestBackend::on_server(redis_for_copies());
    backend.options.max_fan_out_backlog = 10_000;
    let test = backend.fixture().await;
    for _ in 0..1500 {
        test.key().await;
    }
    let (from, master) = (&test.backend.options, &test.backend.master);
    for to in [embedded(&directory, "copy"), namespace(from, "other")] {
        interrupt(from, &to).await;
        for opened in [Store::open(&to, master).await, Store::open_or_create(&to, master).await] {
            let error = opened.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Refused);
            assert!(error_chain(&error).contains("is not finished: run its gatepost store copy again"), "{error}");
        }
        assert!(error_chain(&refusal(&to, from).await).contains("is itself an unfinished copy"));
        assert_eq!(copy(from, &to).await.start, CopyStart::Resumed);
        let copied = Store::open(&to, master).await.unwrap();
        let last = test.store.last_position().await.unwrap();
        assert_eq!(copied.single_cell().last_position().await.unwrap(), last);
    }
    let changed = embedded(&directory, "changed");
    interrupt(from, &changed).await;
    let (_, secret) = test.key().await;
    assert_eq!(copy(from, &changed).await.start, CopyStart::Restarted);
    let copied = Store::open(&changed, master).await.unwrap();
    let digest = copied.envelope().digest(secret.expose());
    assert!(copied.single_cell().lookup(&digest).await.unwrap().found.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_during_the_copy_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let test = TestBackend::on_server(redis_for_copies()).fixture().await;
    test.key().await;
    let to = embedded(&directory, "copy");
    let redis = test.backend.redis.as_ref().unwrap();
    let write = |progress| {
        if matches!(progress, CopyProgress::Compared(_)) {
            redis.redis_cli(&["set", "{gp}:record:key_00written", "meanwhile"]);
        }
    };
    let error = copy_store(&test.backend.options, &to, write).await.unwrap_err();
    assert!(matches!(&error, CopyError::Different(what) if what.contains("the source has")), "{error}");
    assert!(Store::open(&to, &test.backend.master).await.is_err());
    redis.redis_cli(&["del", "{gp}:record:key_00written"]);
    assert_eq!(copy(&test.backend.options, &to).await.start, CopyStart::Restarted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_use_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let test = TestBackend::on_server(redis_for_copies()).fixture().await;
    let (from, to) = (&test.backend.options, embedded(&directory, "copy"));
    let gateway = GatewayId::generate(&mut os_rng());
    let heartbeat = Heartbeat {
        gateway: gateway.clone(),
        cursor: FeedCursor::default(),
        valid_for: Duration::from_secs(60),
        label: GatewayLabel { name: "edge-1:8080".to_owned(), version: "0.1.0".to_owned() },
    };
    test.store.heartbeat(heartbeat).await.unwrap();
    let error = refusal(from, &to).await;
    assert!(error.to_string().starts_with("the gateway edge-1:8080 uses the store: stop every"), "{error}");
    test.store.deregister_gateway(&gateway).await.unwrap();

    let webhook = test.webhook().await;
    test.key().await;
    test.fan_out(&webhook).await;
    let (token, leased) = test.lease(&webhook, 1).await;
    let error = refusal(from, &to).await;
    assert!(error.to_string().starts_with("a deliverer (its leases end within 30 s after it) uses"), "{error}");
    test.settle(&webhook, &leased[0], &token, Disposition::Delivered).await;
    copy(from, &to).await;

    let disk = TestBackend::disk().fixture().await;
    let error = refusal(&disk.backend.options, &embedded(&directory, "another")).await;
    assert!(error_chain(&error).contains("is in use by another process"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_empty_address_takes_a_copy_and_only_a_store_is_copied() {
    let directory = tempfile::tempdir().unwrap();
    let test = TestBackend::on_server(redis_for_copies()).fixture().await;
    let from = &test.backend.options;
    let other = namespace(from, "other");
    let redis = test.backend.redis.as_ref().unwrap();
    assert!(matches!(refusal(from, from).await, CopyError::AlreadyCopied(_)), "onto itself");
    redis.redis_cli(&["set", "{other:key_00a}:window", "x"]);
    let error = refusal(from, &other).await.to_string();
    assert!(error.contains(", namespace other is not empty: copy to an empty directory"), "{error}");
    redis.redis_cli(&["del", "{other:key_00a}:window"]);
    let to = embedded(&directory, "copy");
    copy(from, &to).await;
    assert!(matches!(refusal(from, &to).await, CopyError::AlreadyCopied(_)), "a second time");
    assert!(matches!(refusal(&to, &to).await, CopyError::AlreadyCopied(_)), "onto itself");

    let missing = embedded(&directory, "missing");
    for from in [&missing, &other] {
        assert!(error_chain(&refusal(from, &namespace(from, "third")).await).contains("there is no store at"));
    }
    assert!(!directory.path().join("missing").exists());
    let memory = StoreOptions { url: StoreUrl::Memory, ..from.clone() };
    assert!(error_chain(&refusal(from, &memory).await).contains("is lost when the command ends"));

    redis.redis_cli(&["hset", "{other}:meta", "copy", r#"{"store":"st_00another","numbers":[],"position":null}"#]);
    let error = refusal(from, &other).await;
    assert!(matches!(&error, CopyError::OtherCopy { store, .. } if store.as_str() == "st_00another"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_without_the_commands_of_copies_refuses_one() {
    let directory = tempfile::tempdir().unwrap();
    let test = TestBackend::redis().fixture().await;
    let error = refusal(&test.backend.options, &embedded(&directory, "copy")).await;
    assert!(
        error_chain(&error)
            .contains("may not run the command scan: its access control list must allow it during a copy"),
        "{error:?}"
    );
    assert!(!ACL.contains(COPY_COMMANDS));
}
