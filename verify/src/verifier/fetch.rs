//! Fetching of keys: from the cache while they are fresh, otherwise from the store, with one fetch for all
//! requests that wait.

use std::sync::Arc;

use gatepost_domain::digest::Digest;
use gatepost_domain::record::Status;
use gatepost_domain::time::Uptime;
use gatepost_runtime::error_chain;
use gatepost_store::{Recovery, Replication};

use super::Verifier;
use crate::cache::CacheEntry;
use crate::lease::Liveness;
use crate::replica::Replica;
use crate::single_flight::FetchResult;
use crate::verdict::{Source, Unavailable};
use crate::watermarks::RequestSnapshot;

/// Maximum number of fetches per request. Another one is needed if a joined fetch started before the request
/// arrived.
const MAX_FETCHES_PER_REQUEST: usize = 3;

impl Verifier {
    pub(super) async fn resolve(
        self: &Arc<Self>,
        replica: &Arc<Replica>,
        digest: &Digest,
        cached: Option<CacheEntry>,
        snapshot: RequestSnapshot,
        now: Uptime,
    ) -> Result<(CacheEntry, Source), Unavailable> {
        let liveness = replica.liveness(now);
        if liveness == Liveness::Expired && replica.store.replication() == Replication::Replicated {
            return Err(Unavailable::Store);
        }
        match (cached, liveness) {
            // The first use of a key that is otherwise a cache hit.
            (Some(cache_entry @ CacheEntry::Key(_)), Liveness::Live) => Ok((cache_entry, Source::Cache)),
            (Some(CacheEntry::Key(entry)), Liveness::Stale) => {
                let Ok(_permit) = replica.stale_check_permits.try_acquire() else {
                    return Ok((CacheEntry::Key(entry), Source::Cache));
                };
                let cache_entry = self.fetch(replica, *digest, snapshot, now).await;
                let cache_entry =
                    cache_entry.and_then(|cache_entry| reject_if_untrusted(replica, digest, cache_entry, liveness));
                Ok(cache_entry
                    .map_or((CacheEntry::Key(entry), Source::Cache), |cache_entry| (cache_entry, Source::Store)))
            }
            (Some(_) | None, Liveness::Live | Liveness::Stale | Liveness::Expired) => {
                let cache_entry = self.fetch(replica, *digest, snapshot, now).await?;
                Ok((reject_if_untrusted(replica, digest, cache_entry, liveness)?, Source::Store))
            }
        }
    }

    /// Returns the cached entry if it is fresh for this request.
    pub(super) fn fresh_cache_entry(
        &self,
        replica: &Replica,
        digest: &Digest,
        snapshot: RequestSnapshot,
    ) -> Option<CacheEntry> {
        let cache_entry = self.caches.get(digest)?;
        let is_fresh = replica.is_fresh(snapshot, cache_entry.freshness(), cache_entry.project());
        (is_fresh && !may_be_resurrected(replica, digest, &cache_entry)).then_some(cache_entry)
    }

    /// Fetches an entry that is fresh for this request. A joined fetch may have started before a change that
    /// this request must see; the next one cannot.
    async fn fetch(
        self: &Arc<Self>,
        replica: &Arc<Replica>,
        digest: Digest,
        snapshot: RequestSnapshot,
        now: Uptime,
    ) -> FetchResult {
        for _ in 0..MAX_FETCHES_PER_REQUEST {
            let cache_entry = self
                .single_flight
                .join_or_start(digest, || Arc::clone(self).fetch_from_store(Arc::clone(replica), digest, now))
                .await?;
            if replica.is_fresh(snapshot, cache_entry.freshness(), cache_entry.project()) {
                return Ok(cache_entry);
            }
        }
        Err(Unavailable::Store)
    }

    async fn fetch_from_store(self: Arc<Self>, replica: Arc<Replica>, digest: Digest, now: Uptime) -> FetchResult {
        let origin = replica.fetch_origin();
        match replica.store.lookup(&digest).await {
            Ok(mut lookup) => {
                if let Some(found) = &mut lookup.found {
                    self.id_interner.intern(&mut found.facts);
                }
                let cache_entry = CacheEntry::new(lookup, origin, now, &self.rate_limiter);
                self.caches.insert(digest, &cache_entry);
                Ok(cache_entry)
            }
            Err(error) => {
                self.metrics.count_store_error(&error);
                tracing::debug!(error = %error_chain(&error), "looking up a key failed");
                Err(Unavailable::Store)
            }
        }
    }
}

/// Rejects a result that may be outdated. A partitioned master does not know keys created since, and a new
/// master may have lost some, so their "not found" cannot be trusted. Neither can an active key that this
/// gateway knows to be revoked.
fn reject_if_untrusted(replica: &Replica, digest: &Digest, cache_entry: CacheEntry, liveness: Liveness) -> FetchResult {
    if matches!(cache_entry, CacheEntry::Key(_)) {
        return if may_be_resurrected(replica, digest, &cache_entry) {
            Err(Unavailable::Store)
        } else {
            Ok(cache_entry)
        };
    }
    match (liveness, replica.store.replication(), replica.store.recovery()) {
        (Liveness::Stale | Liveness::Expired, Replication::Replicated, _) | (_, _, Recovery::InProgress) => {
            Err(Unavailable::Store)
        }
        (Liveness::Live, _, Recovery::Complete) | (_, Replication::Single, Recovery::Complete) => Ok(cache_entry),
    }
}

/// Returns whether a key may be active only because a new master has lost its revocation.
fn may_be_resurrected(replica: &Replica, digest: &Digest, cache_entry: &CacheEntry) -> bool {
    let CacheEntry::Key(entry) = cache_entry else { return false };
    replica.store.recovery() == Recovery::InProgress
        && (entry.facts.status, entry.facts.project_status) == (Status::Active, Status::Active)
        && replica.recent_revocations.is_revoked(digest, &entry.facts.project)
}
