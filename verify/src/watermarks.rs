//! Invalidation watermarks: positions below which fetched and cached keys are stale.
//!
//! The feed raises them before it moves its cursor. A request reads them once, on arrival. Whatever it uses
//! then, a cached key, its own fetch or one that it joined, must not be older than these watermarks.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use gatepost_domain::change::Invalidation;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::ProjectId;
use gatepost_domain::partition::Cell;
use gatepost_domain::time::Version;

/// Watermarks by stripe. If two keys share a stripe, that costs a fetch, never a wrong decision.
#[derive(Debug)]
pub(crate) struct InvalidationWatermarks {
    /// Number of rewinds of history. Everything learned before a rewind is stale for good.
    epoch: AtomicU32,
    /// Position up to which the stream has been applied. No watermark is above it.
    cursor: AtomicU64,
    all: AtomicU64,
    digests: Box<[AtomicU64]>,
    projects: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// Watermarks as read by a request on arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestSnapshot {
    epoch: u32,
    cursor: Version,
    watermark: Version,
}

/// Which state of which cell a fetched or cached key shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// Cell of the fetch.
    pub(crate) cell: Cell,
    /// Epoch of the cell when the fetch started.
    pub(crate) epoch: u32,
    /// Position up to which the key shows all changes.
    pub(crate) version: Version,
}

/// How far a gateway has followed a cell when it starts a fetch there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FetchOrigin {
    pub(crate) cell: Cell,
    pub(crate) epoch: u32,
    /// Position of the feed's cursor. Nothing up to there can be lost without a reset.
    pub(crate) cursor: Version,
}

impl FetchOrigin {
    /// Returns which state a key shows that was fetched when the cell was at `as_of`. Changes between the cursor and
    /// there do not count: a new master may lack them and use their positions for others, of which the gateway could not
    /// see that the key does not show them.
    pub(crate) fn freshness(self, as_of: Version) -> Freshness {
        Freshness { cell: self.cell, epoch: self.epoch, version: as_of.min(self.cursor) }
    }
}

impl InvalidationWatermarks {
    /// Creates watermarks for a cache of `capacity` entries.
    pub(crate) fn new(capacity: u64) -> Self {
        let stripes = usize::try_from(capacity.clamp(16, 1 << 26)).unwrap_or(16).next_power_of_two();
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            epoch: AtomicU32::new(0),
            cursor: AtomicU64::new(0),
            all: AtomicU64::new(0),
            digests: zeros(stripes),
            projects: zeros(stripes.min(1 << 16)),
            hasher: RandomState::new(),
        }
    }

    /// Reads the watermarks for a request with this key value.
    pub(crate) fn snapshot(&self, digest: &Digest) -> RequestSnapshot {
        let watermark = self.digest_stripe(digest).load(Ordering::Acquire).max(self.all.load(Ordering::Acquire));
        let cursor = self.cursor();
        // The epoch last, see `reset`.
        RequestSnapshot { epoch: self.epoch(), cursor, watermark: Version::from_u64(watermark) }
    }

    /// Returns whether a fetched or cached key is fresh for a request. The project is known only with the key,
    /// so its watermark is read now. A watermark above the request's cursor was raised after arrival and does
    /// not apply.
    pub(crate) fn is_fresh(
        &self,
        snapshot: RequestSnapshot,
        freshness: Freshness,
        project: Option<&ProjectId>,
    ) -> bool {
        if freshness.epoch > snapshot.epoch {
            // History was rewound after the request arrived, and the fetch started after that.
            return true;
        }
        let project_watermark = project.map_or(Version::ZERO, |project| self.project_watermark(project));
        let min_version = snapshot.watermark.max(project_watermark.min(snapshot.cursor));
        // The epoch after the project's watermark: a rewind increments the epoch before it lowers a watermark.
        freshness.epoch == self.epoch() && freshness.version >= min_version
    }

    /// Raises the watermarks that a change affects.
    pub(crate) fn raise(&self, invalidation: &Invalidation, to: Version) {
        let raise = |watermark: &AtomicU64| {
            watermark.fetch_max(to.as_u64(), Ordering::AcqRel);
        };
        match invalidation {
            Invalidation::None => {}
            Invalidation::Digests(digests) => digests.iter().for_each(|digest| raise(self.digest_stripe(digest))),
            Invalidation::Project(project) => raise(self.project_stripe(project)),
            Invalidation::All => raise(&self.all),
        }
    }

    /// Moves the cursor, never back. The watermarks of all changes up to `to` must have been raised before.
    pub(crate) fn advance_cursor(&self, to: Version) {
        self.cursor.fetch_max(to.as_u64(), Ordering::AcqRel);
    }

    /// Starts over at `last`: everything learned before is stale.
    pub(crate) fn reset(&self, last: Version) {
        // The epoch first: a reader of a lowered watermark must see that earlier results are stale.
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.all.store(last.as_u64(), Ordering::Release);
        for watermark in self.digests.iter().chain(self.projects.iter()) {
            watermark.store(0, Ordering::Release);
        }
        self.cursor.store(last.as_u64(), Ordering::Release);
    }

    /// Returns the number of rewinds of history.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Returns the position up to which the stream has been applied.
    pub(crate) fn cursor(&self) -> Version {
        Version::from_u64(self.cursor.load(Ordering::Acquire))
    }

    fn project_watermark(&self, project: &ProjectId) -> Version {
        Version::from_u64(self.project_stripe(project).load(Ordering::Acquire))
    }

    fn digest_stripe(&self, digest: &Digest) -> &AtomicU64 {
        let index = digest.prefix() as usize & (self.digests.len() - 1);
        &self.digests[index]
    }

    fn project_stripe(&self, project: &ProjectId) -> &AtomicU64 {
        let index = self.hasher.hash_one(project) as usize & (self.projects.len() - 1);
        &self.projects[index]
    }
}
