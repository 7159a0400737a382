//! Checking a key through the admin API: a use like one at a gateway, always against the store.

use std::net::IpAddr;

use gatepost_domain::key::{self, Checksum};
use gatepost_domain::permit::{self, Denial, EnvRule, RequestFacts, Requirement, Sunset, Tenancy};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::ApiKey;
use gatepost_domain::slice::Reading;
use gatepost_domain::time::Timestamp;
use gatepost_domain::window::Period;
use gatepost_store::FoundKey;
use gatepost_store::act::Claim;
use gatepost_verify::Metered;

use crate::ControlPlane;
use crate::caller::{Caller, Sight};
use crate::failure::{Failure, Result};

/// A key that may be used.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) key: ApiKey,
    pub(crate) first_used_at: Timestamp,
    /// When the value that was checked ends, if it was replaced.
    pub(crate) sunset: Option<Sunset>,
    /// What is told of the key's limit, if it has one.
    pub(crate) reading: Option<Reading>,
}

/// What the caller told of the end user who presents the key.
#[derive(Debug, Default)]
pub(crate) struct EndUser {
    /// The origin or the referrer of the end user's page.
    pub(crate) origin: Option<String>,
    /// The end user's address.
    pub(crate) address: Option<IpAddr>,
}

impl ControlPlane {
    /// Answers the key and when it was first used, or `invalid-client-key` for every reason why not.
    pub(crate) async fn authenticate_api_key(
        &self,
        caller: &Caller,
        value: &str,
        user: &EndUser,
    ) -> Result<Authenticated> {
        if key::check_api_key(value, Checksum::Ignored).is_err() {
            return Err(ErrorCode::InvalidClientKey.into());
        }
        let digest = self.store.digest(value);
        let found = self.store.lookup(&digest).await?.found.ok_or(ErrorCode::InvalidClientKey)?;
        if caller.sees(&found.facts.account, &found.facts.project) == Sight::Hidden {
            return Err(ErrorCode::InvalidClientKey.into());
        }
        self.decide(&found, user)?;
        let reading = self.meter(&found).await?;
        let first_used_at = match found.first_used_at {
            Some(first_used_at) => first_used_at,
            None => match self.store.claim_first_use(&found.facts, &digest, user.address).await? {
                Claim::Won(version) => version.moment(),
                Claim::Already(first_used_at) => first_used_at,
                Claim::NotActive => return Err(ErrorCode::InvalidClientKey.into()),
            },
        };
        self.meters.count(&self.meters.of(&found.facts));
        Ok(Authenticated { sunset: found.facts.sunset(), key: found.key, first_used_at, reading })
    }

    /// The limits before the first use: what is refused is none.
    async fn meter(&self, found: &FoundKey) -> Result<Option<Reading>> {
        match self.meters.allow(&self.meters.of(&found.facts), &found.facts).await {
            Metered::Passed(reading) => Ok(reading),
            Metered::Refused(Denial::QuotaUsedUp(Period::Day), reading) => {
                Err(Failure::TooMany(ErrorCode::DailyQuotaExceeded.into(), reading))
            }
            Metered::Refused(Denial::QuotaUsedUp(Period::Month), reading) => {
                Err(Failure::TooMany(ErrorCode::MonthlyQuotaExceeded.into(), reading))
            }
            Metered::Refused(_, reading) => Err(Failure::TooMany(ErrorCode::RateLimited.into(), reading)),
            Metered::Unavailable => Err(ErrorCode::StoreUnavailable.into()),
        }
    }

    fn decide(&self, found: &FoundKey, user: &EndUser) -> Result<()> {
        // The caller's access key has bound the tenant already.
        let facts = permit::KeyFacts { tenancy: Tenancy::Single, ..found.facts.clone() };
        let asked = Requirement { projects: Vec::new(), env: EnvRule::Any, permissions: Vec::new() };
        let request = RequestFacts { client: user.address, origin: user.origin.as_deref() };
        match permit::decide(&facts, &asked, &request, self.now()) {
            Ok(_) => Ok(()),
            Err(Denial::OriginNotAllowed) => Err(ErrorCode::OriginNotAllowed.into()),
            Err(Denial::AddressNotAllowed) => Err(ErrorCode::AddressNotAllowed.into()),
            Err(_) => Err(ErrorCode::InvalidClientKey.into()),
        }
    }
}
