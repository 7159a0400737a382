//! Floors: positions below which look-ups and cached entries no longer count.
//!
//! The feed lifts them before it moves its cursor. A request reads them once, on arrival; whatever
//! answer it then gets, from the cache, from a look-up of its own or from one that it joined, counts
//! only if it is not older than those floors.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use gatepost_domain::change::Invalidation;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::ProjectId;
use gatepost_domain::time::Version;

/// Floors by stripe. A collision of two keys in a stripe costs a look-up, never a wrong answer.
#[derive(Debug)]
pub(crate) struct InvalidationWatermarks {
    /// Counts rewinds of history: what was learned before one counts never again.
    epoch: AtomicU64,
    /// Up to where the stream has been applied: no floor is above it.
    cursor: AtomicU64,
    all: AtomicU64,
    digests: Box<[AtomicU64]>,
    projects: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// What a request reads on arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestSnapshot {
    epoch: u64,
    cursor: Version,
    watermark: Version,
}

/// What an answer is as of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// The rewinds that had happened when the look-up began.
    pub(crate) epoch: u64,
    /// The store's last position at the look-up.
    pub(crate) version: Version,
}

/// Whether an answer counts for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    Yes,
    No,
}

impl InvalidationWatermarks {
    /// Floors for a cache of so many entries.
    pub(crate) fn new(capacity: u64) -> Self {
        let stripes = usize::try_from(capacity.clamp(16, 1 << 26)).unwrap_or(16).next_power_of_two();
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            epoch: AtomicU64::new(0),
            cursor: AtomicU64::new(0),
            all: AtomicU64::new(0),
            digests: zeros(stripes),
            projects: zeros(stripes.min(1 << 16)),
            hasher: RandomState::new(),
        }
    }

    /// Reads the floors for a request with this key value.
    pub(crate) fn snapshot(&self, digest: &Digest) -> RequestSnapshot {
        let watermark = self.digest_stripe(digest).load(Ordering::Acquire).max(self.all.load(Ordering::Acquire));
        let cursor = self.cursor();
        // The epoch last, see `reset`.
        RequestSnapshot { epoch: self.epoch(), cursor, watermark: Version::from_u64(watermark) }
    }

    /// Judges an answer for a request. The project is known only with the answer, so its floor is read
    /// now; a floor above the request's cursor was lifted after arrival and does not bind it.
    pub(crate) fn is_fresh(
        &self,
        snapshot: RequestSnapshot,
        freshness: Freshness,
        project: Option<&ProjectId>,
    ) -> Counts {
        if freshness.epoch > snapshot.epoch {
            // History was rewound after the request arrived, and the look-up began after that.
            return Counts::Yes;
        }
        let project_watermark = project.map_or(Version::ZERO, |project| self.project_watermark(project));
        let min_version = snapshot.watermark.max(project_watermark.min(snapshot.cursor));
        // The epoch after the project's floor: a rewind moves the epoch before it lowers a floor.
        if freshness.epoch == self.epoch() && freshness.version >= min_version { Counts::Yes } else { Counts::No }
    }

    /// Lifts the floors that a change touches.
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

    /// Moves the cursor, after the floors of all changes up to it were lifted.
    pub(crate) fn advance_cursor(&self, to: Version) {
        self.cursor.store(to.as_u64(), Ordering::Release);
    }

    /// Begins anew at `last`: all that was learned before counts no more.
    pub(crate) fn reset(&self, last: Version) {
        // The epoch first: whoever sees a lowered floor must see that old answers count no more.
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.all.store(last.as_u64(), Ordering::Release);
        for watermark in self.digests.iter().chain(self.projects.iter()) {
            watermark.store(0, Ordering::Release);
        }
        self.cursor.store(last.as_u64(), Ordering::Release);
    }

    /// How often history was rewound.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Up to where the stream has been applied.
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
