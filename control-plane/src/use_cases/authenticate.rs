//! Checking a key through the admin API: a use like one at a gateway, always against the store.

use std::net::IpAddr;

use gatepost_domain::key::{self, ChecksumPolicy};
use gatepost_domain::permit::{self, Denial, EnvRule, RequestFacts, Requirement, Sunset, Tenancy};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::ApiKey;
use gatepost_domain::time::Timestamp;
use gatepost_domain::token_lease::LimitStatus;
use gatepost_domain::window::Period;
use gatepost_store::FoundKey;
use gatepost_store::ops::FirstUseOutcome;
use gatepost_verify::LimitDecision;

use crate::caller::Visibility;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// A key that may be used.
#[derive(Debug)]
pub struct AuthenticatedKey {
    pub key: ApiKey,
    pub first_used_at: Timestamp,
    /// When the value that was checked ends, if it was replaced.
    pub sunset: Option<Sunset>,
    /// What is told of the key's limit, if it has one.
    pub limit_status: Option<LimitStatus>,
}

/// What the caller told of the end user who presents the key.
#[derive(Debug, Default)]
pub struct EndUser {
    /// The origin or the referrer of the end user's page.
    pub origin: Option<String>,
    /// The end user's address.
    pub address: Option<IpAddr>,
}

impl ControlPlane {
    /// Answers the key and when it was first used, or `invalid-client-key` for every reason why not.
    pub async fn authenticate_api_key(
        &self,
        context: &RequestContext,
        value: &str,
        user: &EndUser,
    ) -> Result<AuthenticatedKey> {
        if key::check_api_key(value, ChecksumPolicy::Lenient).is_err() {
            return Err(ErrorCode::InvalidClientKey.into());
        }
        let digest = self.store.digest(value);
        let found = self.store.lookup(&digest).await?.found.ok_or(ErrorCode::InvalidClientKey)?;
        if context.caller.visibility(&found.facts.account, &found.facts.project) == Visibility::Hidden {
            return Err(ErrorCode::InvalidClientKey.into());
        }
        self.check_permit(&found, user)?;
        let limit_status = self.check_limits(&found).await?;
        let first_used_at = match found.first_used_at {
            Some(first_used_at) => first_used_at,
            None => match self.store.claim_first_use(&found.facts, &digest, user.address).await? {
                FirstUseOutcome::Won(version) => version.timestamp(),
                FirstUseOutcome::AlreadyUsed(first_used_at) => first_used_at,
                FirstUseOutcome::NotActive => return Err(ErrorCode::InvalidClientKey.into()),
            },
        };
        self.rate_limiter.record_use(&self.rate_limiter.meter_for(&found.facts));
        Ok(AuthenticatedKey { sunset: found.facts.sunset(), key: found.key, first_used_at, limit_status })
    }

    /// The limits before the first use: what is refused is none.
    async fn check_limits(&self, found: &FoundKey) -> Result<Option<LimitStatus>> {
        match self.rate_limiter.allow(&self.rate_limiter.meter_for(&found.facts), &found.facts).await {
            LimitDecision::Allowed(limit_status) => Ok(limit_status),
            LimitDecision::Exceeded(Denial::QuotaExceeded(Period::Day), limit_status) => {
                Err(Failure::LimitExceeded(ErrorCode::DailyQuotaExceeded.into(), limit_status))
            }
            LimitDecision::Exceeded(Denial::QuotaExceeded(Period::Month), limit_status) => {
                Err(Failure::LimitExceeded(ErrorCode::MonthlyQuotaExceeded.into(), limit_status))
            }
            LimitDecision::Exceeded(_, limit_status) => {
                Err(Failure::LimitExceeded(ErrorCode::RateLimited.into(), limit_status))
            }
            LimitDecision::Unavailable => Err(ErrorCode::StoreUnavailable.into()),
        }
    }

    fn check_permit(&self, found: &FoundKey, user: &EndUser) -> Result<()> {
        // The caller's access key has bound the tenant already.
        let facts = permit::KeyFacts { tenancy: Tenancy::Single, ..found.facts.clone() };
        let requirement = Requirement { projects: Vec::new(), env: EnvRule::Any, permissions: Vec::new() };
        let request = RequestFacts { client: user.address, origin: user.origin.as_deref() };
        match permit::decide(&facts, &requirement, &request, self.now()) {
            Ok(_) => Ok(()),
            Err(Denial::OriginNotAllowed) => Err(ErrorCode::OriginNotAllowed.into()),
            Err(Denial::AddressNotAllowed) => Err(ErrorCode::AddressNotAllowed.into()),
            Err(_) => Err(ErrorCode::InvalidClientKey.into()),
        }
    }
}
