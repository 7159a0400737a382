//! The check of a request's key, from the credential to the verdict.

mod fetch;

use std::num::NonZeroU8;
use std::sync::Arc;

use gatepost_domain::denial::Denial;
use gatepost_domain::digest::{Digest, Pepper};
use gatepost_domain::id::GatewayId;
use gatepost_domain::key::{self, ChecksumPolicy};
use gatepost_domain::partition::{Layout, Partition};
use gatepost_domain::permit::{self, Permit, RequestFacts, Requirement};
use gatepost_domain::time::{Clock, Uptime};
use gatepost_domain::token_lease::LimitStatus;
use gatepost_limits::{LimitDecision, RateLimiter};
use gatepost_store::{CellStore, FirstUseOutcome, Recovery, Result, StoreErrorKind, os_rng};
use prometheus::Registry;

use crate::cache::{CacheEntry, CachedKey, Caches};
use crate::id_interner::IdInterner;
use crate::lease::Liveness;
use crate::metrics::Metrics;
use crate::options::VerifyOptions;
use crate::pending_claims::PendingClaim;
use crate::replica::Replica;
use crate::single_flight::SingleFlight;
use crate::state_metrics;
use crate::verdict::{Admission, Source, Unavailable, Verdict};
use crate::watermarks::RequestSnapshot;
use crate::wrong_key_limiter::WrongKeyLimiter;

/// Checks keys. There is one per process, shared in an `Arc`.
pub struct Verifier {
    pub(crate) rate_limiter: RateLimiter,
    layout: Layout,
    /// One for each cell of the layout.
    replicas: Box<[Arc<Replica>]>,
    pepper: Pepper,
    clock: Arc<dyn Clock>,
    caches: Caches,
    metrics: Metrics,
    id_interner: IdInterner,
    single_flight: Arc<SingleFlight>,
    wrong_key_limiter: WrongKeyLimiter,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("replicas", &self.replicas).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Creates a verifier that has not contacted the cells of the store yet. [`crate::start`] creates one that has.
    pub(crate) fn new(
        cells: Vec<CellStore>,
        clock: Arc<dyn Clock>,
        options: &VerifyOptions,
        rate_limiter: RateLimiter,
        registry: &Registry,
    ) -> Result<Self> {
        let refused = |error| StoreErrorKind::Refused.with(error);
        let count = u8::try_from(cells.len()).ok().and_then(NonZeroU8::new);
        let layout = Layout::new(count.ok_or_else(|| StoreErrorKind::Refused.with("a store has 1 to 255 cells"))?);
        let metrics = Metrics::register(registry).map_err(refused)?;
        let gateway = GatewayId::generate(&mut os_rng());
        let pepper = cells[0].envelope().pepper().clone();
        let replica = |(cell, store)| {
            Arc::new(Replica::new(cell, store, Arc::clone(&clock), gateway.clone(), options, metrics.clone()))
        };
        let replicas: Box<[Arc<Replica>]> = layout.cells().zip(cells).map(replica).collect();
        let caches = Caches::new(options.cache_capacity, options.negative_capacity);
        state_metrics::register(registry, &clock, &caches, &replicas).map_err(refused)?;
        Ok(Self {
            rate_limiter,
            layout,
            replicas,
            pepper,
            clock,
            caches,
            metrics,
            id_interner: IdInterner::default(),
            single_flight: Arc::new(SingleFlight::new(options.max_lookups)),
            wrong_key_limiter: WrongKeyLimiter::new(options.max_wrong_keys_a_minute),
        })
    }

    /// Checks a credential against the requirements of a route and the origin of the request. A cache hit needs
    /// neither the store nor an allocation, and a lock only for a key with limits.
    pub async fn check(
        self: &Arc<Self>,
        credential: &str,
        requirement: &Requirement,
        request: &RequestFacts<'_>,
    ) -> Verdict {
        let check = &CheckRequest { requirement, request };
        let now = self.clock.uptime();
        if key::check_api_key(credential, self.checksum_policy(now)).is_err() {
            return self.deny_wrong_key(Denial::Malformed, check, Source::Text, now);
        }
        let digest = self.pepper.digest(credential);
        let replica = self.replica(&digest);
        let snapshot = replica.snapshot(&digest);
        if let Some(verdict) = self.check_cached(replica, &digest, snapshot, check, now) {
            return verdict;
        }
        // Boxed to keep the future of a cache hit small.
        Box::pin(self.check_with_store(replica, digest, snapshot, check, now)).await
    }

    /// Returns how far the cache may be trusted now, in the cell where it is trusted least.
    pub fn liveness(&self) -> Liveness {
        let now = self.clock.uptime();
        self.replicas.iter().map(|replica| replica.liveness(now)).max().unwrap_or(Liveness::Expired)
    }

    /// Returns the replicas of all cells.
    pub(crate) fn replicas(&self) -> &[Arc<Replica>] {
        &self.replicas
    }

    /// Returns the replica of the cell that holds a key value.
    fn replica(&self, digest: &Digest) -> &Arc<Replica> {
        &self.replicas[self.layout.cell(Partition::of_digest(digest)).index()]
    }

    /// Returns the verdict if the cache alone suffices.
    fn check_cached(
        &self,
        replica: &Replica,
        digest: &Digest,
        snapshot: RequestSnapshot,
        check: &CheckRequest<'_>,
        now: Uptime,
    ) -> Option<Verdict> {
        let cache_entry = self.fresh_cache_entry(replica, digest, snapshot)?;
        let liveness = replica.liveness(now);
        let CacheEntry::Key(entry) = cache_entry else {
            let is_trusted = liveness == Liveness::Live && replica.store.recovery() == Recovery::Complete;
            return is_trusted.then(|| self.deny_wrong_key(Denial::Unknown, check, Source::Negative, now));
        };
        let is_usable = match liveness {
            Liveness::Live => true,
            // Once a second one request rechecks the entry with the store; the others use it meanwhile.
            Liveness::Stale => !entry.try_start_recheck(now),
            Liveness::Expired => false,
        };
        if !is_usable {
            return None;
        }
        match self.decide(&entry, check, Source::Cache) {
            Ok(permit) if !entry.should_claim_first_use(now) => {
                let decision = self.rate_limiter.try_allow(&entry.meter, &entry.facts)?;
                Some(match limit_status_or_verdict(decision, &entry, Source::Cache) {
                    Ok(limit_status) => self.admit(permit, &entry, Source::Cache, limit_status),
                    Err(verdict) => verdict,
                })
            }
            Ok(_) => None,
            Err(verdict) => Some(verdict),
        }
    }

    /// Returns the verdict with the help of the store: for an unknown value, a stale entry, a gateway that is
    /// not live, or a first use.
    async fn check_with_store(
        self: &Arc<Self>,
        replica: &Arc<Replica>,
        digest: Digest,
        snapshot: RequestSnapshot,
        check: &CheckRequest<'_>,
        now: Uptime,
    ) -> Verdict {
        let cached = self.fresh_cache_entry(replica, &digest, snapshot);
        if !matches!(cached, Some(CacheEntry::Key(_)))
            && let Err(denial) = self.wrong_key_limiter.check(check.request.client, now)
        {
            return self.deny_without_entry(denial, Source::Text);
        }
        let (cache_entry, source) = match self.resolve(replica, &digest, cached, snapshot, now).await {
            Ok(found) => found,
            Err(unavailable) => return Verdict::Unavailable(unavailable),
        };
        let CacheEntry::Key(entry) = cache_entry else {
            return self.deny_wrong_key(Denial::Unknown, check, source, now);
        };
        match self.decide(&entry, check, source) {
            Ok(permit) => {
                let claim = PendingClaim { facts: Arc::clone(&entry.facts), digest, client: check.request.client };
                self.apply_limits_and_claim(replica, permit, &entry, claim, source, now).await
            }
            Err(verdict) => verdict,
        }
    }

    /// Applies the limits before it claims the first use: a rejected request is not a use.
    async fn apply_limits_and_claim(
        &self,
        replica: &Replica,
        permit: Permit,
        entry: &Arc<CachedKey>,
        claim: PendingClaim,
        source: Source,
        now: Uptime,
    ) -> Verdict {
        let limit_status =
            match limit_status_or_verdict(self.rate_limiter.allow(&entry.meter, &entry.facts).await, entry, source) {
                Ok(limit_status) => limit_status,
                Err(verdict) => return verdict,
            };
        match claim_first_use(replica, entry, claim, now).await {
            ClaimOutcome::Proceed => self.admit(permit, entry, source, limit_status),
            ClaimOutcome::NotActive => deny(Denial::Inactive, Some(entry), Source::Store),
            ClaimOutcome::Recovering => Verdict::Unavailable(Unavailable::Store),
        }
    }

    /// Denies a value that is not a key, and counts it for the client.
    fn deny_wrong_key(&self, denial: Denial, check: &CheckRequest<'_>, source: Source, now: Uptime) -> Verdict {
        self.deny_without_entry(self.wrong_key_limiter.record_and_deny(check.request.client, now, denial), source)
    }

    fn deny_without_entry(&self, denial: Denial, source: Source) -> Verdict {
        if let Denial::TooManyWrongKeys { .. } = denial {
            self.metrics.wrong_keys_refused.inc();
        }
        deny(denial, None, source)
    }

    fn decide(
        &self,
        entry: &CachedKey,
        check: &CheckRequest<'_>,
        source: Source,
    ) -> std::result::Result<Permit, Verdict> {
        let decided = permit::decide(&entry.facts, check.requirement, check.request, self.clock.now());
        decided.map_err(|denial| deny(denial, Some(entry), source))
    }

    fn admit(&self, permit: Permit, entry: &CachedKey, source: Source, limit_status: Option<LimitStatus>) -> Verdict {
        self.rate_limiter.record_use(&entry.meter);
        Verdict::Permitted(Admission { permit, facts: Arc::clone(&entry.facts), source, limit_status })
    }

    /// Returns whether values in the generated format must have a valid checksum: not before all cells require it,
    /// because the text does not say in which cell a value is.
    fn checksum_policy(&self, now: Uptime) -> ChecksumPolicy {
        let is_strict = self.replicas.iter().all(|replica| replica.requires_checksum(now));
        if is_strict { ChecksumPolicy::Strict } else { ChecksumPolicy::Lenient }
    }
}

/// Requirements and request that a key is checked against.
struct CheckRequest<'a> {
    requirement: &'a Requirement,
    request: &'a RequestFacts<'a>,
}

/// Whether a first-use claim lets a request pass.
enum ClaimOutcome {
    Proceed,
    NotActive,
    /// The store has a new master that may have lost the key.
    Recovering,
}

/// Claims the first use before the request goes upstream. If the store does not respond, the request passes
/// and the claim stays pending.
async fn claim_first_use(replica: &Replica, entry: &CachedKey, claim: PendingClaim, now: Uptime) -> ClaimOutcome {
    if !entry.should_claim_first_use(now) {
        return ClaimOutcome::Proceed;
    }
    let Ok(_permit) = replica.claim_permits.try_acquire() else {
        replica.pending_claims.push(claim);
        return ClaimOutcome::Proceed;
    };
    let result = match replica.store.claim_first_use(&claim.facts, &claim.digest, claim.client).await {
        Ok(result) => result,
        Err(error) => {
            replica.metrics.count_store_error(&error);
            entry.record_claim_failure(now);
            replica.pending_claims.push(claim);
            return ClaimOutcome::Proceed;
        }
    };
    replica.pending_claims.remove(&entry.facts.key);
    match result {
        FirstUseOutcome::Won(_) => replica.metrics.first_use.inc(),
        FirstUseOutcome::AlreadyUsed(_) => {}
        // The key may be one that a new master has lost.
        FirstUseOutcome::NotActive if replica.store.recovery() == Recovery::InProgress => {
            return ClaimOutcome::Recovering;
        }
        FirstUseOutcome::NotActive => return ClaimOutcome::NotActive,
    }
    entry.mark_first_use_claimed();
    ClaimOutcome::Proceed
}

/// Returns the limit status to report if the limits allow the request, otherwise the verdict.
fn limit_status_or_verdict(
    decision: LimitDecision,
    entry: &CachedKey,
    source: Source,
) -> std::result::Result<Option<LimitStatus>, Verdict> {
    match decision {
        LimitDecision::Allowed(limit_status) => Ok(limit_status),
        LimitDecision::Exceeded(denial, limit_status) => Err(Verdict::Denied {
            denial,
            facts: Some(Arc::clone(&entry.facts)),
            source,
            limit_status: Some(limit_status),
        }),
        LimitDecision::Unavailable => Err(Verdict::Unavailable(Unavailable::Store)),
    }
}

fn deny(denial: Denial, entry: Option<&CachedKey>, source: Source) -> Verdict {
    let facts = entry.map(|entry| Arc::clone(&entry.facts));
    Verdict::Denied { denial, facts, source, limit_status: None }
}
