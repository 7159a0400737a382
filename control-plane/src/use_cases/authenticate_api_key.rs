//! Checking a key through the admin API: a use like one at a gateway, always against the store.

use std::net::IpAddr;

use gatepost_domain::denial::Denial;
use gatepost_domain::key_facts::{KeyFacts, Sunset};
use gatepost_domain::permit::{EnvRule, RequestFacts, Requirement};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::ApiKey;
use gatepost_domain::time::Timestamp;
use gatepost_domain::token_lease::LimitStatus;
use gatepost_domain::window::Period;
use gatepost_verify::{AuthoritativeCheck, AuthoritativeVerdict, check_authoritative};

use crate::caller::Visibility;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// A key that may be used.
#[derive(Debug)]
pub struct AuthenticatedKey {
    pub key: ApiKey,
    pub first_used_at: Timestamp,
    /// The end of the value that was checked, if it was replaced.
    pub sunset: Option<Sunset>,
    /// The status of the key's limit, if it has one.
    pub limit_status: Option<LimitStatus>,
}

/// The end user who presents a key, as far as the caller says.
#[derive(Debug, Default)]
pub struct EndUser {
    /// The origin or the referrer of the end user's page.
    pub origin: Option<String>,
    pub address: Option<IpAddr>,
}

impl ControlPlane {
    /// Checks a key, and counts it as used.
    ///
    /// # Errors
    /// `invalid-client-key` for every reason why the key cannot be used at all, the code of the restriction that the end
    /// user does not meet, and [`Failure::LimitExceeded`].
    pub async fn authenticate_api_key(
        &self,
        context: &RequestContext,
        value: &str,
        user: &EndUser,
    ) -> Result<AuthenticatedKey> {
        let caller = &context.caller;
        let check = AuthoritativeCheck {
            credential: value,
            requirement: &Requirement { projects: Vec::new(), env: EnvRule::Any, permissions: Vec::new() },
            request: &RequestFacts { client: user.address, origin: user.origin.as_deref() },
            now: self.now(),
        };
        let is_visible = |facts: &KeyFacts| caller.visibility(&facts.account, &facts.project) == Visibility::Visible;
        let authorized = match check_authoritative(&self.store, &self.rate_limiter, &check, is_visible).await? {
            AuthoritativeVerdict::Permitted(authorized) => *authorized,
            AuthoritativeVerdict::Denied(denial) => return Err(denial_code(denial).into()),
            AuthoritativeVerdict::LimitExceeded(denial, limit_status) => {
                return Err(Failure::LimitExceeded(limit_code(denial).into(), limit_status));
            }
            AuthoritativeVerdict::Unavailable => return Err(ErrorCode::StoreUnavailable.into()),
        };
        Ok(AuthenticatedKey {
            sunset: authorized.found.facts.sunset(),
            key: authorized.found.key,
            first_used_at: authorized.first_used_at,
            limit_status: authorized.limit_status,
        })
    }
}

fn denial_code(denial: Denial) -> ErrorCode {
    match denial {
        Denial::OriginNotAllowed => ErrorCode::OriginNotAllowed,
        Denial::AddressNotAllowed => ErrorCode::AddressNotAllowed,
        Denial::Missing
        | Denial::Ambiguous
        | Denial::Malformed
        | Denial::Unknown
        | Denial::Inactive
        | Denial::Expired
        | Denial::ProjectInactive
        | Denial::ForeignProject
        | Denial::WrongEnv
        | Denial::MissingPermission
        | Denial::TooManyWrongKeys { .. }
        | Denial::RateLimited
        | Denial::QuotaExceeded(_) => ErrorCode::InvalidClientKey,
    }
}

fn limit_code(denial: Denial) -> ErrorCode {
    let Denial::QuotaExceeded(period) = denial else { return ErrorCode::RateLimited };
    match period {
        Period::Day => ErrorCode::DailyQuotaExceeded,
        Period::Month => ErrorCode::MonthlyQuotaExceeded,
    }
}
