//! The two caches of the request path: keys, and values that are no key.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gatepost_domain::digest::Digest;
use gatepost_domain::id::ProjectId;
use gatepost_domain::permit::KeyFacts;
use gatepost_domain::time::Uptime;
use gatepost_store::Lookup;
use moka::policy::EvictionPolicy;
use moka::sync::{Cache, CacheBuilder};

use crate::rate_limiter::{Meter, RateLimiter};
use crate::watermarks::Freshness;

/// While the gateway is not live, an entry is checked with the store at most this often.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A cached key.
#[derive(Debug)]
pub(crate) struct CachedKey {
    pub(crate) facts: Arc<KeyFacts>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) freshness: Freshness,
    is_first_use_claimed: AtomicBool,
    /// Uptime before which the entry is not checked again while the gateway is not live.
    recheck_after_ms: AtomicU64,
    /// Uptime before which its first use is not claimed again.
    claim_after_ms: AtomicU64,
}

/// Whether a key's first use is known to be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstUse {
    Claimed,
    Unclaimed,
}

impl CachedKey {
    pub(crate) fn first_use(&self) -> FirstUse {
        if self.is_first_use_claimed.load(Ordering::Acquire) { FirstUse::Claimed } else { FirstUse::Unclaimed }
    }

    pub(crate) fn mark_first_use_claimed(&self) {
        self.is_first_use_claimed.store(true, Ordering::Release);
    }

    /// Takes the turn to check this entry with the store; none if somebody did within the last second.
    pub(crate) fn try_start_recheck(&self, now: Uptime) -> Option<()> {
        try_take_turn(&self.recheck_after_ms, now, RECHECK_INTERVAL)
    }

    /// Whether a claim may be tried now, or failed too recently.
    pub(crate) fn may_claim(&self, now: Uptime) -> Option<()> {
        (self.claim_after_ms.load(Ordering::Acquire) <= now.as_ms()).then_some(())
    }

    /// Remembers that a claim failed, so that the next requests do not wait for it.
    pub(crate) fn record_claim_failure(&self, now: Uptime) {
        self.claim_after_ms.store(deadline_ms(now, RECHECK_INTERVAL), Ordering::Release);
    }
}

fn try_take_turn(after_ms: &AtomicU64, now: Uptime, every: Duration) -> Option<()> {
    let due = after_ms.load(Ordering::Acquire);
    let next = deadline_ms(now, every);
    let taken = due <= now.as_ms() && after_ms.compare_exchange(due, next, Ordering::AcqRel, Ordering::Acquire).is_ok();
    taken.then_some(())
}

fn deadline_ms(now: Uptime, duration: Duration) -> u64 {
    now.as_ms() + duration.as_millis() as u64
}

/// What a look-up found, as it is cached.
#[derive(Debug, Clone)]
pub(crate) enum CacheEntry {
    Key(Arc<CachedKey>),
    Absent(Freshness),
}

impl CacheEntry {
    pub(crate) fn new(lookup: Lookup, epoch: u64, now: Uptime, rate_limiter: &RateLimiter) -> Self {
        let freshness = Freshness { epoch, version: lookup.as_of };
        match lookup.found {
            None => CacheEntry::Absent(freshness),
            Some(found) => CacheEntry::Key(Arc::new(CachedKey {
                meter: rate_limiter.meter_for(&found.facts),
                facts: Arc::new(found.facts),
                freshness,
                is_first_use_claimed: AtomicBool::new(found.first_used_at.is_some()),
                recheck_after_ms: AtomicU64::new(deadline_ms(now, RECHECK_INTERVAL)),
                claim_after_ms: AtomicU64::new(0),
            })),
        }
    }

    pub(crate) fn freshness(&self) -> Freshness {
        match self {
            CacheEntry::Key(entry) => entry.freshness,
            CacheEntry::Absent(freshness) => *freshness,
        }
    }

    pub(crate) fn project(&self) -> Option<&ProjectId> {
        match self {
            CacheEntry::Key(entry) => Some(&entry.facts.project),
            CacheEntry::Absent(_) => None,
        }
    }
}

/// Keys, and apart from them, so that made-up values cannot push keys out, values that are no key.
#[derive(Debug)]
pub(crate) struct Caches {
    keys: Cache<Digest, Arc<CachedKey>, BuildIdentityHasher>,
    /// The last ones: by how often they come, made-up values would keep out one that a client sends all the time.
    absent: Cache<Digest, Freshness, BuildIdentityHasher>,
}

/// Takes a digest's number for its hash: it is uniform, and nobody can choose it who does not know the pepper.
type BuildIdentityHasher = BuildHasherDefault<IdentityHasher>;

#[derive(Debug, Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

impl Caches {
    pub(crate) fn new(keys: u64, absent: u64) -> Self {
        let absent =
            builder(absent).eviction_policy(EvictionPolicy::lru()).build_with_hasher(BuildIdentityHasher::default());
        Self { keys: builder(keys).build_with_hasher(BuildIdentityHasher::default()), absent }
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<CacheEntry> {
        self.keys.get(digest).map(CacheEntry::Key).or_else(|| self.absent.get(digest).map(CacheEntry::Absent))
    }

    /// Puts a finished look-up in. A stale one that overwrites a newer one costs a look-up: entries are
    /// judged when they are used, not when they are put in.
    pub(crate) fn insert(&self, digest: Digest, cache_entry: &CacheEntry) {
        match cache_entry {
            CacheEntry::Key(entry) => self.keys.insert(digest, Arc::clone(entry)),
            CacheEntry::Absent(freshness) => {
                self.keys.invalidate(&digest);
                self.absent.insert(digest, *freshness);
            }
        }
    }

    pub(crate) fn clear(&self) {
        self.keys.invalidate_all();
        self.absent.invalidate_all();
    }

    pub(crate) fn len(&self) -> u64 {
        self.keys.entry_count()
    }
}

fn builder<V: Clone + Send + Sync + 'static>(capacity: u64) -> CacheBuilder<Digest, V, Cache<Digest, V>> {
    Cache::builder().max_capacity(capacity)
}
