//! The check of a request's key, from the credential to the verdict.

mod fetch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_domain::digest::Digest;
use gatepost_domain::id::GatewayId;
use gatepost_domain::key::{self, ChecksumPolicy};
use gatepost_domain::permit::{self, Denial, Permit, RequestFacts, Requirement};
use gatepost_domain::time::{Clock, Uptime};
use gatepost_domain::token_lease::LimitStatus;
use gatepost_limits::{LimitDecision, RateLimiter};
use gatepost_store::FirstUseOutcome;
use gatepost_store::{Recovery, Store, os_rng};
use prometheus::Registry;
use tokio::sync::Semaphore;

use crate::cache::{CacheEntry, CachedKey, Caches};
use crate::id_interner::IdInterner;
use crate::lease::{Lease, Liveness};
use crate::metrics::Metrics;
use crate::pending_claims::{PendingClaim, PendingClaims};
use crate::recent_revocations::RecentRevocations;
use crate::single_flight::SingleFlight;
use crate::verdict::{Admission, Source, Unavailable, Verdict};
use crate::watermarks::{InvalidationWatermarks, RequestSnapshot};
use crate::wrong_key_limiter::WrongKeyLimiter;

/// Limits of a verifier.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Maximum number of cached keys, and the number of watermark stripes (rounded up to a power of two).
    pub cache_capacity: u64,
    /// Maximum number of cached values that are not keys.
    pub negative_capacity: u64,
    /// How long cached keys are accepted after the gateway was last live, while the store does not respond.
    pub max_stale: Duration,
    /// Maximum number of fetches in flight. Beyond that requests get a 503.
    pub max_lookups: usize,
    /// Wrong keys per client and minute; 0 for no limit. Beyond that, values that are not cached get a 429
    /// without a lookup.
    pub max_wrong_keys_a_minute: u32,
}

/// Checks keys. There is one per process, shared in an `Arc`.
pub struct Verifier {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gateway: GatewayId,
    pub(crate) watermarks: InvalidationWatermarks,
    pub(crate) lease: Lease,
    pub(crate) caches: Caches,
    pub(crate) pending_claims: PendingClaims,
    pub(crate) metrics: Metrics,
    pub(crate) recent_revocations: RecentRevocations,
    pub(crate) rate_limiter: RateLimiter,
    id_interner: IdInterner,
    single_flight: Arc<SingleFlight>,
    wrong_key_limiter: WrongKeyLimiter,
    stale_check_permits: Semaphore,
    claim_permits: Semaphore,
    strict_checksum: AtomicBool,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// Maximum number of concurrent rechecks with the store while the gateway is stale. Further requests are served
/// from the cache meanwhile, so a store that hangs delays no more requests than these.
const MAX_STALE_CHECKS: usize = 8;
/// Maximum number of concurrent first-use claims. Beyond that a request passes and its claim stays pending.
const MAX_CLAIMS: usize = 1000;

impl Verifier {
    /// Creates a verifier that has not contacted the store yet. [`crate::start`] creates one that has.
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        options: &VerifyOptions,
        rate_limiter: RateLimiter,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        Ok(Self {
            strict_checksum: AtomicBool::new(store.checksum_at_open() == ChecksumPolicy::Strict),
            gateway: GatewayId::generate(&mut os_rng()),
            watermarks: InvalidationWatermarks::new(options.cache_capacity),
            lease: Lease::new(options.max_stale),
            caches: Caches::new(options.cache_capacity, options.negative_capacity),
            pending_claims: PendingClaims::default(),
            metrics: Metrics::register(registry)?,
            recent_revocations: RecentRevocations::default(),
            rate_limiter,
            id_interner: IdInterner::default(),
            single_flight: Arc::new(SingleFlight::new(options.max_lookups)),
            wrong_key_limiter: WrongKeyLimiter::new(options.max_wrong_keys_a_minute),
            stale_check_permits: Semaphore::new(MAX_STALE_CHECKS),
            claim_permits: Semaphore::new(MAX_CLAIMS),
            store,
            clock,
        })
    }

    /// Checks a credential against the requirements of a route and the origin of the request. A cache hit needs
    /// neither the store nor a lock, and allocates nothing.
    pub async fn check(
        self: &Arc<Self>,
        credential: &str,
        requirement: &Requirement,
        request: &RequestFacts<'_>,
    ) -> Verdict {
        let check = &CheckRequest { requirement, request };
        let now = self.clock.uptime();
        if key::check_api_key(credential, self.checksum(now)).is_err() {
            return self.deny_wrong_key(Denial::Malformed, check, Source::Text, now);
        }
        let digest = self.store.pepper().digest(credential);
        let snapshot = self.watermarks.snapshot(&digest);
        if let Some(verdict) = self.check_cached(&digest, snapshot, check, now) {
            return verdict;
        }
        // Boxed to keep the future of a cache hit small.
        Box::pin(self.check_with_store(digest, snapshot, check, now)).await
    }

    /// Returns how far the cache may be trusted now.
    pub fn liveness(&self) -> Liveness {
        self.lease.liveness(self.clock.uptime())
    }

    /// Returns the verdict if the cache alone suffices.
    fn check_cached(
        &self,
        digest: &Digest,
        snapshot: RequestSnapshot,
        check: &CheckRequest<'_>,
        now: Uptime,
    ) -> Option<Verdict> {
        let cache_entry = self.fresh_cache_entry(digest, snapshot)?;
        let liveness = self.lease.liveness(now);
        let CacheEntry::Key(entry) = cache_entry else {
            let is_trusted = liveness == Liveness::Live && self.store.recovery() == Recovery::Complete;
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
        digest: Digest,
        snapshot: RequestSnapshot,
        check: &CheckRequest<'_>,
        now: Uptime,
    ) -> Verdict {
        let cached = self.fresh_cache_entry(&digest, snapshot);
        if !matches!(cached, Some(CacheEntry::Key(_)))
            && let Err(denial) = self.wrong_key_limiter.check(check.request.client, now)
        {
            return self.deny_unfetched(denial, Source::Text);
        }
        let (cache_entry, source) = match self.resolve(&digest, cached, snapshot, now).await {
            Ok(found) => found,
            Err(unavailable) => return Verdict::Unavailable(unavailable),
        };
        let CacheEntry::Key(entry) = cache_entry else {
            return self.deny_wrong_key(Denial::Unknown, check, source, now);
        };
        match self.decide(&entry, check, source) {
            Ok(permit) => {
                let claim = PendingClaim { facts: Arc::clone(&entry.facts), digest, client: check.request.client };
                self.apply_limits_and_claim(permit, &entry, claim, source, now).await
            }
            Err(verdict) => verdict,
        }
    }

    /// Applies the limits before it claims the first use: a rejected request is not a use.
    async fn apply_limits_and_claim(
        &self,
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
        match self.claim_first_use(entry, claim, now).await {
            ClaimOutcome::Proceed => self.admit(permit, entry, source, limit_status),
            ClaimOutcome::NotActive => deny(Denial::Inactive, Some(entry), Source::Store),
            ClaimOutcome::Recovering => Verdict::Unavailable(Unavailable::Store),
        }
    }

    /// Denies a value that is not a key, and counts it for the client.
    fn deny_wrong_key(&self, denial: Denial, check: &CheckRequest<'_>, source: Source, now: Uptime) -> Verdict {
        self.deny_unfetched(self.wrong_key_limiter.record_and_deny(check.request.client, now, denial), source)
    }

    fn deny_unfetched(&self, denial: Denial, source: Source) -> Verdict {
        if let Denial::TooManyWrongKeys { .. } = denial {
            self.metrics.wrong_keys_refused.inc();
        }
        deny(denial, None, source)
    }

    fn decide(&self, entry: &CachedKey, check: &CheckRequest<'_>, source: Source) -> Result<Permit, Verdict> {
        let decided = permit::decide(&entry.facts, check.requirement, check.request, self.clock.now());
        decided.map_err(|denial| deny(denial, Some(entry), source))
    }

    /// Claims the first use before the request goes upstream. If the store does not respond, the request passes
    /// and the claim stays pending.
    async fn claim_first_use(&self, entry: &CachedKey, claim: PendingClaim, now: Uptime) -> ClaimOutcome {
        if !entry.should_claim_first_use(now) {
            return ClaimOutcome::Proceed;
        }
        let Ok(_permit) = self.claim_permits.try_acquire() else {
            self.pending_claims.push(claim);
            return ClaimOutcome::Proceed;
        };
        let result = match self.store.claim_first_use(&claim.facts, &claim.digest, claim.client).await {
            Ok(result) => result,
            Err(error) => {
                self.metrics.count_store_error(&error);
                entry.record_claim_failure(now);
                self.pending_claims.push(claim);
                return ClaimOutcome::Proceed;
            }
        };
        self.pending_claims.remove(&entry.facts.key);
        match result {
            FirstUseOutcome::Won(_) => self.metrics.first_use.inc(),
            FirstUseOutcome::AlreadyUsed(_) => {}
            // The key may be one that a new master has lost.
            FirstUseOutcome::NotActive if self.store.recovery() == Recovery::InProgress => {
                return ClaimOutcome::Recovering;
            }
            FirstUseOutcome::NotActive => return ClaimOutcome::NotActive,
        }
        entry.mark_first_use_claimed();
        ClaimOutcome::Proceed
    }

    fn admit(&self, permit: Permit, entry: &CachedKey, source: Source, limit_status: Option<LimitStatus>) -> Verdict {
        self.rate_limiter.record_use(&entry.meter);
        Verdict::Permitted(Admission { permit, facts: Arc::clone(&entry.facts), source, limit_status })
    }

    pub(crate) fn set_checksum(&self, checksum: ChecksumPolicy) {
        self.strict_checksum.store(checksum == ChecksumPolicy::Strict, Ordering::Release);
    }

    /// Returns whether values in the generated format must have a valid checksum. A gateway that is not live
    /// may have missed that checksums became optional.
    fn checksum(&self, now: Uptime) -> ChecksumPolicy {
        let is_strict = self.strict_checksum.load(Ordering::Acquire) && self.lease.liveness(now) == Liveness::Live;
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

/// Returns the limit status to report if the limits allow the request, otherwise the verdict.
fn limit_status_or_verdict(
    decision: LimitDecision,
    entry: &CachedKey,
    source: Source,
) -> Result<Option<LimitStatus>, Verdict> {
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
