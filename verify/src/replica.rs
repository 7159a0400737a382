//! What a verifier knows of one cell of the store, apart from the caches, which all cells share.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::digest::Digest;
use gatepost_domain::id::{GatewayId, ProjectId};
use gatepost_domain::key::ChecksumPolicy;
use gatepost_domain::partition::Cell;
use gatepost_domain::time::{Clock, Uptime, Version};
use gatepost_store::{CellStore, CursorState, FeedCheck, FeedCursor, FeedStream, GatewayLabel};
use tokio::sync::{Notify, Semaphore};

use crate::lease::{Lease, Liveness};
use crate::metrics::Metrics;
use crate::options::VerifyOptions;
use crate::pending_claims::PendingClaims;
use crate::recent_revocations::RecentRevocations;
use crate::watermarks::{FetchOrigin, Freshness, InvalidationWatermarks, RequestSnapshot};

/// Maximum number of concurrent rechecks with the cell while the gateway is stale. Further requests are served
/// from the cache meanwhile, so a store that hangs delays no more requests than these.
const MAX_STALE_CHECKS: usize = 8;
/// Maximum number of concurrent first-use claims. Beyond that a request passes and its claim stays pending.
const MAX_CLAIMS: usize = 1000;

/// State of one cell as a gateway has seen it. A rewind or an outage of one cell does not affect the others.
pub(crate) struct Replica {
    pub(crate) cell: Cell,
    pub(crate) store: CellStore,
    pub(crate) clock: Arc<dyn Clock>,
    /// The same in all cells.
    pub(crate) gateway: GatewayId,
    pub(crate) label: GatewayLabel,
    pub(crate) watermarks: InvalidationWatermarks,
    pub(crate) lease: Lease,
    pub(crate) recent_revocations: RecentRevocations,
    pub(crate) pending_claims: PendingClaims,
    pub(crate) metrics: Metrics,
    pub(crate) stale_check_permits: Semaphore,
    pub(crate) claim_permits: Semaphore,
    /// Notified when the next heartbeat should be sent at once.
    pub(crate) heartbeat_due: Notify,
    position: Mutex<StreamPosition>,
    strict_checksum: AtomicBool,
    /// Number of gateways that use the cell.
    gateways: AtomicU32,
}

/// Position that the feed and the heartbeat share.
#[derive(Debug, Clone, Default)]
pub(crate) struct StreamPosition {
    pub(crate) cursor: FeedCursor,
    /// Number of times that reading did not continue at the cursor: after a reset, or in another stream. A read or a
    /// heartbeat that started before the last one is discarded.
    pub(crate) moves: u64,
}

impl StreamPosition {
    fn move_to(&mut self, cursor: FeedCursor) {
        *self = Self { cursor, moves: self.moves + 1 };
    }
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("cell", &self.cell).finish_non_exhaustive()
    }
}

impl Replica {
    /// Creates a replica that has not contacted its cell yet.
    pub(crate) fn new(
        cell: Cell,
        store: CellStore,
        clock: Arc<dyn Clock>,
        gateway: GatewayId,
        options: &VerifyOptions,
        metrics: Metrics,
    ) -> Self {
        Self {
            cell,
            clock,
            gateway,
            label: GatewayLabel { name: options.name.clone(), version: env!("CARGO_PKG_VERSION").to_owned() },
            watermarks: InvalidationWatermarks::new(options.cache_capacity),
            lease: Lease::new(options.max_stale),
            recent_revocations: RecentRevocations::default(),
            pending_claims: PendingClaims::default(),
            metrics,
            stale_check_permits: Semaphore::new(MAX_STALE_CHECKS),
            claim_permits: Semaphore::new(MAX_CLAIMS),
            heartbeat_due: Notify::new(),
            position: Mutex::default(),
            gateways: AtomicU32::new(1),
            strict_checksum: AtomicBool::new(store.checksum_at_open() == ChecksumPolicy::Strict),
            store,
        }
    }

    /// Reads the watermarks for a request with this key value.
    pub(crate) fn snapshot(&self, digest: &Digest) -> RequestSnapshot {
        self.watermarks.snapshot(digest)
    }

    /// Returns whether a fetched or cached key is fresh for a request. One from another cell never is.
    pub(crate) fn is_fresh(
        &self,
        snapshot: RequestSnapshot,
        freshness: Freshness,
        project: Option<&ProjectId>,
    ) -> bool {
        freshness.cell == self.cell && self.watermarks.is_fresh(snapshot, freshness, project)
    }

    /// Returns how far this gateway has followed the cell. The lock is needed: entries of a read are applied one by one,
    /// and a request that has seen one of them needs a fetch that starts after all.
    pub(crate) fn fetch_origin(&self) -> FetchOrigin {
        let position = self.position();
        FetchOrigin { cell: self.cell, epoch: self.watermarks.epoch(), cursor: position.cursor.version }
    }

    /// Returns how far cached keys of this cell may be trusted.
    pub(crate) fn liveness(&self, now: Uptime) -> Liveness {
        self.lease.liveness(now)
    }

    pub(crate) fn set_checksum_policy(&self, checksum: ChecksumPolicy) {
        self.strict_checksum.store(checksum == ChecksumPolicy::Strict, Ordering::Release);
    }

    /// Returns whether values in the generated format must have a valid checksum. A gateway that is not live
    /// may have missed that checksums became optional.
    pub(crate) fn requires_checksum(&self, now: Uptime) -> bool {
        self.strict_checksum.load(Ordering::Acquire) && self.liveness(now) == Liveness::Live
    }

    /// Returns the number of gateways that use the cell, at least 1.
    pub(crate) fn gateways(&self) -> u32 {
        self.gateways.load(Ordering::Relaxed).max(1)
    }

    pub(crate) fn set_gateways(&self, gateways: u32) {
        self.gateways.store(gateways, Ordering::Relaxed);
    }

    /// Locks the position of the feed.
    pub(crate) fn position(&self) -> MutexGuard<'_, StreamPosition> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts over at the end of the stream if reading cannot continue at `cursor`: the entries after it were missed or no
    /// longer exist. Cached keys of this cell are stale from then on. Returns whether it did.
    pub(crate) fn reset_if_lost(&self, position: &mut StreamPosition, cursor: Version, check: &FeedCheck) -> bool {
        if !is_cursor_lost(cursor, check) {
            return false;
        }
        let end = &check.end;
        if position.cursor.version > Version::ZERO {
            let (cursor, last) = (position.cursor.version, end.version);
            tracing::warn!(?cursor, ?last, "the stream was rewound or trimmed, cached keys are stale");
        }
        position.move_to(end.clone());
        self.lease.discard_pending();
        self.watermarks.reset(end.version);
        self.heartbeat_due.notify_one();
        true
    }

    /// Changes to the invalidation stream, once everything is applied that it does not have. `end` is its end at the time
    /// of a read of the stream of changes that has been applied.
    pub(crate) fn switch_stream(&self, position: &mut StreamPosition, end: &FeedCursor) {
        let is_new = (position.cursor.stream, end.stream) == (FeedStream::Changes, FeedStream::Invalidations);
        if is_new && position.cursor.version >= end.version {
            position.move_to(end.clone());
            self.lease.discard_pending();
        }
    }
}

/// Returns whether reading cannot continue at `cursor`. That includes the start of a process, which has read
/// nothing and starts at the last position.
fn is_cursor_lost(cursor: Version, check: &FeedCheck) -> bool {
    let is_start = cursor == Version::ZERO && check.end.version > Version::ZERO;
    is_start || cursor < check.trimmed_through || check.state == CursorState::Diverged
}
