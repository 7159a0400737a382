//! The check of a key against the store alone, for callers that keep no cache.

use gatepost_domain::denial::Denial;
use gatepost_domain::key::{self, ChecksumPolicy};
use gatepost_domain::key_facts::{KeyFacts, Tenancy};
use gatepost_domain::permit::{self, RequestFacts, Requirement};
use gatepost_domain::time::Timestamp;
use gatepost_domain::token_lease::LimitStatus;
use gatepost_limits::{LimitDecision, RateLimiter};
use gatepost_store::FirstUseOutcome;
use gatepost_store::{FoundKey, Store};

/// A key's value, and what it is checked against.
pub struct AuthoritativeCheck<'a> {
    /// The value.
    pub credential: &'a str,
    /// What the key must be allowed. The tenant is checked by `is_visible` instead.
    pub requirement: &'a Requirement,
    /// Where the request comes from.
    pub request: &'a RequestFacts<'a>,
    /// The time of the request.
    pub now: Timestamp,
}

/// The outcome of a check against the store.
#[derive(Debug)]
pub enum AuthoritativeVerdict {
    /// The key may be used, and was counted as used.
    Permitted(Box<AuthorizedKey>),
    /// The key may not be used. Nothing was counted.
    Denied(Denial),
    /// A limit of the key is used up.
    LimitExceeded(Denial, LimitStatus),
    /// The limits of the key cannot be checked now: 503.
    Unavailable,
}

/// A key that may be used.
#[derive(Debug)]
pub struct AuthorizedKey {
    /// The key.
    pub found: FoundKey,
    /// When the key was first used; this may be now.
    pub first_used_at: Timestamp,
    /// The status of the key's limit, if it has one.
    pub limit_status: Option<LimitStatus>,
}

/// Checks a key in the order of [`Verifier::check`](crate::Verifier::check), with everything read from the store:
/// text, lookup, rule, limits, first use. A key for which `is_visible` returns false is as unknown as one that does not
/// exist.
///
/// # Errors
/// If the store does not respond.
pub async fn check_authoritative(
    store: &Store,
    rate_limiter: &RateLimiter,
    check: &AuthoritativeCheck<'_>,
    is_visible: impl FnOnce(&KeyFacts) -> bool,
) -> gatepost_store::Result<AuthoritativeVerdict> {
    if key::check_api_key(check.credential, ChecksumPolicy::Lenient).is_err() {
        return Ok(AuthoritativeVerdict::Denied(Denial::Malformed));
    }
    let digest = store.envelope().digest(check.credential);
    let cell = store.home_of_digest(&digest);
    let Some(found) = cell.lookup(&digest).await?.found.filter(|found| is_visible(&found.facts)) else {
        return Ok(AuthoritativeVerdict::Denied(Denial::Unknown));
    };
    let facts = KeyFacts { tenancy: Tenancy::Single, ..found.facts.clone() };
    if let Err(denial) = permit::decide(&facts, check.requirement, check.request, check.now) {
        return Ok(AuthoritativeVerdict::Denied(denial));
    }
    // The limits come before the first use: a rejected request does not count as a use.
    let meter = rate_limiter.meter_for(&found.facts);
    let limit_status = match rate_limiter.allow(&meter, &found.facts).await {
        LimitDecision::Allowed(limit_status) => limit_status,
        LimitDecision::Exceeded(denial, status) => return Ok(AuthoritativeVerdict::LimitExceeded(denial, status)),
        LimitDecision::Unavailable => return Ok(AuthoritativeVerdict::Unavailable),
    };
    let first_used_at = match found.first_used_at {
        Some(first_used_at) => first_used_at,
        None => match cell.claim_first_use(&found.facts, &digest, check.request.client).await? {
            FirstUseOutcome::Won(version) => version.timestamp(),
            FirstUseOutcome::AlreadyUsed(first_used_at) => first_used_at,
            FirstUseOutcome::NotActive => return Ok(AuthoritativeVerdict::Denied(Denial::Inactive)),
        },
    };
    rate_limiter.record_use(&meter);
    Ok(AuthoritativeVerdict::Permitted(Box::new(AuthorizedKey { found, first_used_at, limit_status })))
}
