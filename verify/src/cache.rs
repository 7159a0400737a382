//! The two caches of the request path: keys, and values that are not keys.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gatepost_domain::digest::Digest;
use gatepost_domain::id::ProjectId;
use gatepost_domain::key_facts::KeyFacts;
use gatepost_domain::time::Uptime;
use gatepost_limits::{Meter, RateLimiter};
use gatepost_store::Lookup;
use moka::policy::EvictionPolicy;
use moka::sync::{Cache, CacheBuilder};

use crate::watermarks::{FetchOrigin, Freshness};

/// Minimum time between two rechecks of an entry with the store while the gateway is not live.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A cached key.
#[derive(Debug)]
pub(crate) struct CachedKey {
    pub(crate) facts: Arc<KeyFacts>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) freshness: Freshness,
    is_first_use_claimed: AtomicBool,
    /// Uptime in ms before which the entry is not rechecked while the gateway is not live.
    recheck_after_ms: AtomicU64,
    /// Uptime in ms before which the first use is not claimed again.
    claim_after_ms: AtomicU64,
}

impl CachedKey {
    pub(crate) fn is_first_use_claimed(&self) -> bool {
        self.is_first_use_claimed.load(Ordering::Acquire)
    }

    pub(crate) fn mark_first_use_claimed(&self) {
        self.is_first_use_claimed.store(true, Ordering::Release);
    }

    /// Starts a recheck with the store. Returns `false` if another request has started one within the last
    /// second.
    pub(crate) fn try_start_recheck(&self, now: Uptime) -> bool {
        let due = self.recheck_after_ms.load(Ordering::Acquire);
        let next = deadline_ms(now, RECHECK_INTERVAL);
        due <= now.as_ms()
            && self.recheck_after_ms.compare_exchange(due, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Returns whether this request should claim the first use: it is unclaimed and no claim has failed within
    /// the last second.
    pub(crate) fn should_claim_first_use(&self, now: Uptime) -> bool {
        !self.is_first_use_claimed() && self.claim_after_ms.load(Ordering::Acquire) <= now.as_ms()
    }

    /// Records a failed claim, so that the next requests do not wait for another attempt.
    pub(crate) fn record_claim_failure(&self, now: Uptime) {
        self.claim_after_ms.store(deadline_ms(now, RECHECK_INTERVAL), Ordering::Release);
    }
}

fn deadline_ms(now: Uptime, duration: Duration) -> u64 {
    now.as_ms() + duration.as_millis() as u64
}

/// Result of a lookup as it is cached.
#[derive(Debug, Clone)]
pub(crate) enum CacheEntry {
    Key(Arc<CachedKey>),
    Absent(Freshness),
}

impl CacheEntry {
    pub(crate) fn new(lookup: Lookup, origin: FetchOrigin, now: Uptime, rate_limiter: &RateLimiter) -> Self {
        let freshness = origin.freshness(lookup.as_of);
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

/// Cache of keys of all cells, and a separate cache of values that are not keys, so that made-up values cannot evict keys. Clones share their entries.
#[derive(Debug, Clone)]
pub(crate) struct Caches {
    keys: Cache<Digest, Arc<CachedKey>, BuildIdentityHasher>,
    /// LRU: a policy by frequency would let a flood of made-up values keep out one that a client sends
    /// repeatedly.
    absent: Cache<Digest, Freshness, BuildIdentityHasher>,
}

/// Uses the digest's prefix as its hash: it is uniform and cannot be chosen without the pepper.
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

    /// Inserts the result of a lookup. A stale result that overwrites a newer one only costs another lookup:
    /// freshness is checked when an entry is used, not when it is inserted.
    pub(crate) fn insert(&self, digest: Digest, cache_entry: &CacheEntry) {
        match cache_entry {
            CacheEntry::Key(entry) => self.keys.insert(digest, Arc::clone(entry)),
            CacheEntry::Absent(freshness) => {
                self.keys.invalidate(&digest);
                self.absent.insert(digest, *freshness);
            }
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.keys.entry_count()
    }
}

fn builder<V: Clone + Send + Sync + 'static>(capacity: u64) -> CacheBuilder<Digest, V, Cache<Digest, V>> {
    Cache::builder().max_capacity(capacity)
}
