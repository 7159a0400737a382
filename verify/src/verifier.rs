//! The check of one request's key, from the credential to the verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_domain::digest::Digest;
use gatepost_domain::id::GatewayId;
use gatepost_domain::key::{self, Checksum};
use gatepost_domain::permit::{self, Denial, Permit, RequestFacts, Requirement};
use gatepost_domain::record::Status;
use gatepost_domain::slice::Reading;
use gatepost_domain::time::{Clock, Uptime};
use gatepost_store::act::Claim;
use gatepost_store::{Copies, Settled, Store, os_rng};
use prometheus::Registry;
use tokio::sync::Semaphore;

use crate::api::{Admission, Source, Unavailable, Verdict};
use crate::cache::{Caches, Entry, FirstUse, Looked};
use crate::first_use::{PendingClaim, PendingClaims};
use crate::flight::{Flights, Outcome};
use crate::floors::{Arrival, Counts, Floors};
use crate::live::{Live, Liveness};
use crate::meters::{Metered, Meters};
use crate::metrics::Metrics;
use crate::owners::Owners;
use crate::shut_off::ShutOff;
use crate::wrong_keys::WrongKeys;

/// Limits of a check.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Keys that the cache holds, and the number of floors.
    pub cache_capacity: u64,
    /// Values that are no key, held apart.
    pub negative_capacity: u64,
    /// How long after the last live moment cached keys are accepted where the store does not answer.
    pub max_stale: Duration,
    /// Look-ups in flight; beyond, 503.
    pub max_lookups: usize,
    /// Wrong keys that a client may send in a minute; 0 for any number. Beyond, what is not cached is 429 and not looked up.
    pub max_wrong_keys_a_minute: u32,
}

/// Checks keys. One for a process; share it by reference or in an `Arc`.
pub struct Verifier {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gateway: GatewayId,
    pub(crate) floors: Floors,
    pub(crate) live: Live,
    pub(crate) caches: Caches,
    pub(crate) pending: PendingClaims,
    pub(crate) metrics: Metrics,
    pub(crate) shut_off: ShutOff,
    pub(crate) meters: Meters,
    owners: Owners,
    flights: Arc<Flights>,
    wrong_keys: WrongKeys,
    stale_checks: Semaphore,
    claims: Semaphore,
    strict_checksum: AtomicBool,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// Entries of a gateway that is not live that are checked with the store at a time. The others are answered from the
/// cache meanwhile: a store that hangs holds up no more requests than these.
const MAX_STALE_CHECKS: usize = 8;
/// First uses that are claimed at a time. Beyond, a request passes and its claim waits.
const MAX_CLAIMS: usize = 1000;
/// A look-up is begun anew this often when the one that was joined began before the request arrived.
const MAX_LOOKUPS_A_REQUEST: usize = 3;

impl Verifier {
    /// A verifier that has not yet seen the store: [`crate::start`] makes one that has.
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        options: &VerifyOptions,
        meters: Meters,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        Ok(Self {
            strict_checksum: AtomicBool::new(store.checksum_at_open() == Checksum::Strict),
            gateway: GatewayId::generate(&mut os_rng()),
            floors: Floors::new(options.cache_capacity),
            live: Live::new(options.max_stale),
            caches: Caches::new(options.cache_capacity, options.negative_capacity),
            pending: PendingClaims::default(),
            metrics: Metrics::register(registry)?,
            shut_off: ShutOff::default(),
            meters,
            owners: Owners::default(),
            flights: Arc::new(Flights::new(options.max_lookups)),
            wrong_keys: WrongKeys::new(options.max_wrong_keys_a_minute),
            stale_checks: Semaphore::new(MAX_STALE_CHECKS),
            claims: Semaphore::new(MAX_CLAIMS),
            store,
            clock,
        })
    }

    /// Checks a credential against what a route asks and where the request comes from. On a cache hit it touches neither the store nor
    /// a lock, and allocates nothing.
    pub async fn check(self: &Arc<Self>, credential: &str, asked: &Requirement, request: &RequestFacts<'_>) -> Verdict {
        let asked = &Asked { route: asked, request };
        let now = self.clock.uptime();
        if key::check_api_key(credential, self.checksum(now)).is_err() {
            return self.wrong(Denial::Malformed, asked, Source::Text, now);
        }
        let digest = self.store.pepper().digest(credential);
        let arrival = self.floors.arrive(&digest);
        if let Some(verdict) = self.hit(&digest, arrival, asked, now) {
            return verdict;
        }
        // Boxed, so that the future of a hit stays small.
        Box::pin(self.miss(digest, arrival, asked, now)).await
    }

    /// Tells how far the cache may be trusted now.
    pub fn liveness(&self) -> Liveness {
        self.live.judge(self.clock.uptime())
    }

    /// The verdict from the cache alone, if it can be had.
    fn hit(&self, digest: &Digest, arrival: Arrival, asked: &Asked<'_>, now: Uptime) -> Option<Verdict> {
        let looked = self.counting(digest, arrival)?;
        let entry = match (looked, self.live.judge(now)) {
            (Looked::Key(entry), Liveness::Live) => entry,
            (Looked::Key(entry), Liveness::Stale) if entry.take_check(now).is_none() => entry,
            (Looked::Absent(_), Liveness::Live) if self.store.settled() == Settled::Yes => {
                return Some(self.wrong(Denial::Unknown, asked, Source::Negative, now));
            }
            (Looked::Key(_) | Looked::Absent(_), Liveness::Live | Liveness::Stale | Liveness::Expired) => return None,
        };
        match self.decide(&entry, asked, Source::Cache) {
            Ok(permit) if entry.first_use() == FirstUse::Claimed || entry.may_claim(now).is_none() => {
                let metered = self.meters.try_allow(&entry.meter, &entry.facts)?;
                Some(match pass(metered, &entry, Source::Cache) {
                    Ok(reading) => self.admit(permit, &entry, Source::Cache, reading),
                    Err(refused) => refused,
                })
            }
            Ok(_) => None,
            Err(denied) => Some(denied),
        }
    }

    /// The verdict with the store's help: an unknown value, an entry that no longer counts, a gateway
    /// that is not live, or a first use.
    async fn miss(self: &Arc<Self>, digest: Digest, arrival: Arrival, asked: &Asked<'_>, now: Uptime) -> Verdict {
        let cached = self.counting(&digest, arrival);
        if !matches!(cached, Some(Looked::Key(_)))
            && let Err(denial) = self.wrong_keys.admit(asked.request.client, now)
        {
            return self.refused(denial, Source::Text);
        }
        let (looked, source) = match self.usable(&digest, cached, arrival, now).await {
            Ok(found) => found,
            Err(unavailable) => return Verdict::Unavailable(unavailable),
        };
        let Looked::Key(entry) = looked else {
            return self.wrong(Denial::Unknown, asked, source, now);
        };
        match self.decide(&entry, asked, source) {
            Ok(permit) => {
                let claim = PendingClaim { facts: Arc::clone(&entry.facts), digest, from: asked.request.client };
                self.pass_and_claim(permit, &entry, claim, source, now).await
            }
            Err(denied) => denied,
        }
    }

    /// The limits before the first use: a request that is refused is none.
    async fn pass_and_claim(
        &self,
        permit: Permit,
        entry: &Arc<Entry>,
        claim: PendingClaim,
        source: Source,
        now: Uptime,
    ) -> Verdict {
        let reading = match pass(self.meters.allow(&entry.meter, &entry.facts).await, entry, source) {
            Ok(reading) => reading,
            Err(refused) => return refused,
        };
        match self.claim(entry, claim, now).await {
            Claimed::Yes => self.admit(permit, entry, source, reading),
            Claimed::NotActive => denied(Denial::Inactive, Some(entry), Source::Store),
            Claimed::Unsettled => Verdict::Unavailable(Unavailable::Store),
        }
    }

    async fn usable(
        self: &Arc<Self>,
        digest: &Digest,
        cached: Option<Looked>,
        arrival: Arrival,
        now: Uptime,
    ) -> Result<(Looked, Source), Unavailable> {
        let liveness = self.live.judge(now);
        if liveness == Liveness::Expired && self.store.copies() == Copies::Several {
            return Err(Unavailable::Store);
        }
        match (cached, liveness) {
            // A first use of a key that is otherwise a hit.
            (Some(looked @ Looked::Key(_)), Liveness::Live) => Ok((looked, Source::Cache)),
            (Some(Looked::Key(entry)), Liveness::Stale) => {
                let Ok(_place) = self.stale_checks.try_acquire() else {
                    return Ok((Looked::Key(entry), Source::Cache));
                };
                let looked = self.look_up(*digest, arrival, now).await;
                let looked = looked.and_then(|looked| self.believable(digest, looked, liveness));
                Ok(looked.map_or((Looked::Key(entry), Source::Cache), |looked| (looked, Source::Store)))
            }
            (Some(_) | None, Liveness::Live | Liveness::Stale | Liveness::Expired) => {
                let looked = self.look_up(*digest, arrival, now).await?;
                Ok((self.believable(digest, looked, liveness)?, Source::Store))
            }
        }
    }

    /// A master that was cut off does not know the keys that were made since, and one that is new may have lost some:
    /// that it has none is no answer. Nor is that there is one which this gateway has heard to be shut off.
    fn believable(&self, digest: &Digest, looked: Looked, liveness: Liveness) -> Outcome {
        if matches!(looked, Looked::Key(_)) {
            return if self.is_risen(digest, &looked) { Err(Unavailable::Store) } else { Ok(looked) };
        }
        match (liveness, self.store.copies(), self.store.settled()) {
            (Liveness::Stale | Liveness::Expired, Copies::Several, _) | (_, _, Settled::No) => Err(Unavailable::Store),
            (Liveness::Live, _, Settled::Yes) | (_, Copies::One, Settled::Yes) => Ok(looked),
        }
    }

    /// Whether a key may be usable only because a new master has lost that it was shut off.
    fn is_risen(&self, digest: &Digest, looked: &Looked) -> bool {
        let Looked::Key(entry) = looked else { return false };
        self.store.settled() == Settled::No
            && (entry.facts.status, entry.facts.project_status) == (Status::Active, Status::Active)
            && self.shut_off.judge(digest, &entry.facts.project) == Status::Inactive
    }

    /// A cached answer that counts for this request.
    fn counting(&self, digest: &Digest, arrival: Arrival) -> Option<Looked> {
        let looked = self.caches.get(digest)?;
        let counts = self.floors.judge(arrival, looked.as_of(), looked.project()) == Counts::Yes;
        (counts && !self.is_risen(digest, &looked)).then_some(looked)
    }

    /// An answer of the store that counts for this request. One that was joined may have begun before
    /// a change that this request must see; the next one cannot.
    async fn look_up(self: &Arc<Self>, digest: Digest, arrival: Arrival, now: Uptime) -> Outcome {
        for _ in 0..MAX_LOOKUPS_A_REQUEST {
            let looked = self.flights.join_or_start(digest, || Arc::clone(self).fly(digest, now)).await?;
            if self.floors.judge(arrival, looked.as_of(), looked.project()) == Counts::Yes {
                return Ok(looked);
            }
        }
        Err(Unavailable::Store)
    }

    async fn fly(self: Arc<Self>, digest: Digest, now: Uptime) -> Outcome {
        let epoch = self.floors.epoch();
        match self.store.lookup(&digest).await {
            Ok(mut lookup) => {
                if let Some(found) = &mut lookup.found {
                    self.owners.share(&mut found.facts);
                }
                let looked = Looked::new(lookup, epoch, now, &self.meters);
                self.caches.fill(digest, &looked);
                Ok(looked)
            }
            Err(error) => {
                self.metrics.store_error(&error);
                tracing::debug!(%error, "look-up failed");
                Err(Unavailable::Store)
            }
        }
    }

    /// The refusal of what is no key.
    fn wrong(&self, denial: Denial, asked: &Asked<'_>, source: Source, now: Uptime) -> Verdict {
        self.refused(self.wrong_keys.refuse(asked.request.client, now, denial), source)
    }

    fn refused(&self, denial: Denial, source: Source) -> Verdict {
        if let Denial::TooManyWrongKeys { .. } = denial {
            self.metrics.wrong_keys_refused.inc();
        }
        denied(denial, None, source)
    }

    fn decide(&self, entry: &Entry, asked: &Asked<'_>, source: Source) -> Result<Permit, Verdict> {
        let decided = permit::decide(&entry.facts, asked.route, asked.request, self.clock.now());
        decided.map_err(|denial| denied(denial, Some(entry), source))
    }

    /// Claims the first use before the request goes upstream. Where the store does not answer, the
    /// request passes and the claim waits.
    async fn claim(&self, entry: &Entry, claim: PendingClaim, now: Uptime) -> Claimed {
        if entry.first_use() == FirstUse::Claimed || entry.may_claim(now).is_none() {
            return Claimed::Yes;
        }
        let Ok(_place) = self.claims.try_acquire() else {
            self.pending.push(claim);
            return Claimed::Yes;
        };
        let answer = match self.store.claim_first_use(&claim.facts, &claim.digest, claim.from).await {
            Ok(answer) => answer,
            Err(error) => {
                self.metrics.store_error(&error);
                entry.claim_failed(now);
                self.pending.push(claim);
                return Claimed::Yes;
            }
        };
        self.pending.remove(&entry.facts.key);
        match answer {
            Claim::Won(_) => self.metrics.first_use.inc(),
            Claim::Already(_) => {}
            // The key may be one of those that a new master has lost.
            Claim::NotActive if self.store.settled() == Settled::No => return Claimed::Unsettled,
            Claim::NotActive => return Claimed::NotActive,
        }
        entry.mark_used();
        Claimed::Yes
    }

    fn admit(&self, permit: Permit, entry: &Entry, source: Source, reading: Option<Reading>) -> Verdict {
        self.meters.count(&entry.meter);
        Verdict::Permitted(Admission { permit, facts: Arc::clone(&entry.facts), source, reading })
    }

    pub(crate) fn set_checksum(&self, checksum: Checksum) {
        self.strict_checksum.store(checksum == Checksum::Strict, Ordering::Release);
    }

    /// Whether values of our shape must have a right checksum. Who is not live may not have heard that they need not.
    fn checksum(&self, now: Uptime) -> Checksum {
        let is_strict = self.strict_checksum.load(Ordering::Acquire) && self.live.judge(now) == Liveness::Live;
        if is_strict { Checksum::Strict } else { Checksum::Ignored }
    }
}

/// What a key is judged against.
struct Asked<'a> {
    route: &'a Requirement,
    request: &'a RequestFacts<'a>,
}

/// Whether a first use lets a request pass.
enum Claimed {
    Yes,
    NotActive,
    /// The store has a new master and may have lost the key.
    Unsettled,
}

/// What the client is told of the key's limit where it lets the request pass, else the refusal.
fn pass(metered: Metered, entry: &Entry, source: Source) -> Result<Option<Reading>, Verdict> {
    match metered {
        Metered::Passed(reading) => Ok(reading),
        Metered::Refused(denial, reading) => {
            Err(Verdict::Denied { denial, facts: Some(Arc::clone(&entry.facts)), source, reading: Some(reading) })
        }
        Metered::Unavailable => Err(Verdict::Unavailable(Unavailable::Store)),
    }
}

fn denied(denial: Denial, entry: Option<&Entry>, source: Source) -> Verdict {
    let facts = entry.map(|entry| Arc::clone(&entry.facts));
    Verdict::Denied { denial, facts, source, reading: None }
}
