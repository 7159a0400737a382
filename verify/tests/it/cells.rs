//! Two cells side by side: what happens to one does not affect the other.

use std::num::NonZeroU8;
use std::sync::Arc;

use gatepost_domain::change::Action;
use gatepost_domain::denial::Denial;
use gatepost_domain::key::Secret;
use gatepost_domain::partition::{Layout, Partition};
use gatepost_domain::record::{ApiKey, Project, Status};
use gatepost_limits::{OutagePolicy, RateLimiter};
use gatepost_store::clock::SystemClock;
use gatepost_store::{CellStore, MasterKey, RecordWrite, Replicas, Store, StoreOptions, os_rng};
use gatepost_test_support::{RedisServer, records};
use gatepost_verify::{Liveness, ReplicaSync, Source, Verdict};
use prometheus::Registry;

use crate::fixture::{
    check, commit, options as verify_options, project, store_options, wait_until, wait_until_applied,
};

/// One gateway over two Redis servers, each of which holds a cell of the same store.
struct TwoCells {
    servers: [RedisServer; 2],
    options: [StoreOptions; 2],
    master: MasterKey,
    cells: [CellStore; 2],
    project: Project,
    replica_sync: ReplicaSync,
}

impl TwoCells {
    async fn start() -> Self {
        let (clock, master) = (Arc::new(SystemClock), MasterKey::generate(&mut os_rng()));
        let mut servers = [RedisServer::start(), RedisServer::start()];
        let options =
            [&servers[0], &servers[1]].map(|server| store_options(server.port(), Replicas::NONE, clock.clone()));
        let first = Store::open_or_create(&options[0], &master).await.unwrap().single_cell().clone();
        let project = project(&first).await;
        // The same header and pepper, and a mirror of the project.
        let saved = servers[0].save();
        servers[1].restore(&saved);
        let second = Store::open(&options[1], &master).await.unwrap().single_cell().clone();
        let registry = Registry::new();
        let rate_limiter = RateLimiter::start(first.clone(), clock.clone(), OutagePolicy::Local, &registry).unwrap();
        let cells = vec![first.clone(), second.clone()];
        let sync = gatepost_verify::start(cells, clock, &verify_options(), rate_limiter, &registry).await.unwrap();
        Self { servers, options, master, cells: [first, second], project, replica_sync: sync }
    }

    /// Creates a key in a cell, and waits until the gateway has read of it: a key that is fetched before is fetched once
    /// more.
    async fn key(&self, cell: usize) -> (ApiKey, Secret) {
        let key = self.key_from(&self.cells[cell], cell).await;
        wait_until_applied(&self.cells[cell]).await;
        key
    }

    /// Creates a key in a cell from another process, which has ended since and so does not replay it.
    async fn key_of_another_process(&self, cell: usize) -> (ApiKey, Secret) {
        let store = Store::open(&self.options[cell], &self.master).await.unwrap().single_cell().clone();
        self.key_from(&store, cell).await
    }

    async fn key_from(&self, store: &CellStore, cell: usize) -> (ApiKey, Secret) {
        let layout = Layout::new(NonZeroU8::new(2).unwrap());
        let is_there = |secret: &Secret| {
            layout.cell(Partition::of_digest(&store.envelope().digest(secret.expose()))).index() == cell
        };
        let secret = std::iter::repeat_with(records::secret).find(is_there).unwrap();
        let key = records::api_key(&self.project, &secret, |value| store.envelope().digest(value));
        commit(store, Action::ApiKeyCreated, RecordWrite::create(key.clone())).await;
        (key, secret)
    }

    async fn revoke(&self, cell: usize, key: &ApiKey) {
        let found = self.cells[cell].api_key(&key.id).await.unwrap().unwrap();
        let revoked = ApiKey { status: Status::Inactive, ..found.record.clone() };
        commit(&self.cells[cell], Action::ApiKeyDeleted, RecordWrite::replace(found, revoked)).await;
    }

    async fn source(&self, secret: &Secret) -> Option<Source> {
        match check(&self.replica_sync, secret.expose()).await {
            Verdict::Permitted(admission) => Some(admission.source),
            Verdict::Denied { .. } | Verdict::Unavailable(_) => None,
        }
    }

    async fn wait_until_denied(&self, secret: &Secret) {
        wait_until(async || {
            let verdict = check(&self.replica_sync, secret.expose()).await;
            matches!(verdict, Verdict::Denied { denial: Denial::Inactive, .. })
        })
        .await;
    }

    fn liveness(&self) -> Liveness {
        self.replica_sync.verifier().liveness()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_both_cells_are_cached_and_revoked() {
    let test = TwoCells::start().await;
    for cell in [0, 1] {
        let (key, secret) = test.key(cell).await;
        assert_eq!(test.source(&secret).await, Some(Source::Store));
        assert_eq!(test.source(&secret).await, Some(Source::Cache));
        test.revoke(cell, &key).await;
        test.wait_until_denied(&secret).await;
    }
    let unknown = test.source(&Secret::new("no-such-key".to_owned())).await;
    assert_eq!(unknown, None);
    let TwoCells { cells, replica_sync, servers: _servers, .. } = test;
    for cell in &cells {
        assert_eq!(cell.gateways().await.unwrap().len(), 1);
    }
    replica_sync.stop().await.unwrap();
    for cell in &cells {
        assert_eq!(cell.gateways().await.unwrap().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_of_one_cell_leaves_the_cached_keys_of_the_other() {
    let mut test = TwoCells::start().await;
    let ((_, lasting), (other, unaffected)) = (test.key(0).await, test.key(1).await);
    // Claims of a first use that the restored server lacks would be replayed, at a higher position.
    assert_eq!(test.source(&lasting).await, Some(Source::Store));
    let saved = test.servers[0].save();
    let (_, lost) = test.key_of_another_process(0).await;
    for secret in [&lost, &unaffected] {
        assert_eq!(test.source(secret).await, Some(Source::Store));
    }
    for secret in [&lasting, &lost, &unaffected] {
        assert_eq!(test.source(secret).await, Some(Source::Cache));
    }
    let last = test.cells[0].last_position().await.unwrap();
    test.servers[0].restore(&saved);
    wait_until(async || test.cells[0].last_position().await.is_ok_and(|now| now < last)).await;
    test.key(0).await;
    wait_until(async || {
        assert_eq!(test.source(&unaffected).await, Some(Source::Cache));
        test.source(&lost).await.is_none()
    })
    .await;
    wait_until(async || test.source(&lasting).await == Some(Source::Store)).await;
    assert_eq!(test.source(&unaffected).await, Some(Source::Cache));
    test.revoke(1, &other).await;
    test.wait_until_denied(&unaffected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_one_cell_leaves_the_other_live() {
    let mut test = TwoCells::start().await;
    let ((_, stale), (key, live)) = (test.key(0).await, test.key(1).await);
    for secret in [&stale, &live] {
        assert_eq!(test.source(secret).await, Some(Source::Store));
    }
    test.servers[0].kill();
    wait_until(async || test.liveness() == Liveness::Stale).await;
    // Cached keys of the cell are accepted until `max_stale`.
    assert_eq!(test.source(&stale).await, Some(Source::Cache));
    assert_eq!(test.source(&live).await, Some(Source::Cache));
    let (_, new) = test.key(1).await;
    assert_eq!(test.source(&new).await, Some(Source::Store));
    test.revoke(1, &key).await;
    test.wait_until_denied(&live).await;
    test.servers[0].resume();
    wait_until(async || test.liveness() == Liveness::Live).await;
}
