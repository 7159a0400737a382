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

use crate::floors::AsOf;
use crate::meters::{Meter, Meters};

/// While the gateway is not live, an entry is checked with the store at most this often.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A cached key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) facts: Arc<KeyFacts>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) as_of: AsOf,
    used: AtomicBool,
    /// Uptime before which the entry is not checked again while the gateway is not live.
    check_after_ms: AtomicU64,
    /// Uptime before which its first use is not claimed again.
    claim_after_ms: AtomicU64,
}

/// Whether a key's first use is known to be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstUse {
    Claimed,
    Unclaimed,
}

impl Entry {
    pub(crate) fn first_use(&self) -> FirstUse {
        if self.used.load(Ordering::Acquire) { FirstUse::Claimed } else { FirstUse::Unclaimed }
    }

    pub(crate) fn mark_used(&self) {
        self.used.store(true, Ordering::Release);
    }

    /// Takes the turn to check this entry with the store; none if somebody did within the last second.
    pub(crate) fn take_check(&self, now: Uptime) -> Option<()> {
        take_turn(&self.check_after_ms, now, CHECK_EVERY)
    }

    /// Whether a claim may be tried now, or failed too recently.
    pub(crate) fn may_claim(&self, now: Uptime) -> Option<()> {
        (self.claim_after_ms.load(Ordering::Acquire) <= now.as_ms()).then_some(())
    }

    /// Remembers that a claim failed, so that the next requests do not wait for it.
    pub(crate) fn claim_failed(&self, now: Uptime) {
        self.claim_after_ms.store(after(now, CHECK_EVERY), Ordering::Release);
    }
}

fn take_turn(after_ms: &AtomicU64, now: Uptime, every: Duration) -> Option<()> {
    let due = after_ms.load(Ordering::Acquire);
    let next = after(now, every);
    let taken = due <= now.as_ms() && after_ms.compare_exchange(due, next, Ordering::AcqRel, Ordering::Acquire).is_ok();
    taken.then_some(())
}

fn after(now: Uptime, span: Duration) -> u64 {
    now.as_ms() + span.as_millis() as u64
}

/// What a look-up found, as it is cached.
#[derive(Debug, Clone)]
pub(crate) enum Looked {
    Key(Arc<Entry>),
    Absent(AsOf),
}

impl Looked {
    pub(crate) fn new(lookup: Lookup, epoch: u64, now: Uptime, meters: &Meters) -> Self {
        let as_of = AsOf { epoch, version: lookup.as_of };
        match lookup.found {
            None => Looked::Absent(as_of),
            Some(found) => Looked::Key(Arc::new(Entry {
                meter: meters.of(&found.facts),
                facts: Arc::new(found.facts),
                as_of,
                used: AtomicBool::new(found.first_used_at.is_some()),
                check_after_ms: AtomicU64::new(after(now, CHECK_EVERY)),
                claim_after_ms: AtomicU64::new(0),
            })),
        }
    }

    pub(crate) fn as_of(&self) -> AsOf {
        match self {
            Looked::Key(entry) => entry.as_of,
            Looked::Absent(as_of) => *as_of,
        }
    }

    pub(crate) fn project(&self) -> Option<&ProjectId> {
        match self {
            Looked::Key(entry) => Some(&entry.facts.project),
            Looked::Absent(_) => None,
        }
    }
}

/// Keys, and apart from them, so that made-up values cannot push keys out, values that are no key.
#[derive(Debug)]
pub(crate) struct Caches {
    keys: Cache<Digest, Arc<Entry>, AsItIs>,
    /// The last ones: by how often they come, made-up values would keep out one that a client sends all the time.
    absent: Cache<Digest, AsOf, AsItIs>,
}

/// Takes a digest's number for its hash: it is uniform, and nobody can choose it who does not know the pepper.
type AsItIs = BuildHasherDefault<Number>;

#[derive(Debug, Default)]
struct Number(u64);

impl Hasher for Number {
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
        let absent = builder(absent).eviction_policy(EvictionPolicy::lru()).build_with_hasher(AsItIs::default());
        Self { keys: builder(keys).build_with_hasher(AsItIs::default()), absent }
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<Looked> {
        self.keys.get(digest).map(Looked::Key).or_else(|| self.absent.get(digest).map(Looked::Absent))
    }

    /// Puts a finished look-up in. A stale one that overwrites a newer one costs a look-up: entries are
    /// judged when they are used, not when they are put in.
    pub(crate) fn fill(&self, digest: Digest, looked: &Looked) {
        match looked {
            Looked::Key(entry) => self.keys.insert(digest, Arc::clone(entry)),
            Looked::Absent(as_of) => {
                self.keys.invalidate(&digest);
                self.absent.insert(digest, *as_of);
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
