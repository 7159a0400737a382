//! Checking a key through the admin API: a use like one at a gateway, always against the store.

use gatepost_domain::key::{self, Checksum};
use gatepost_domain::permit::{self, EnvRule, Requirement, Tenancy};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::ApiKey;
use gatepost_domain::time::Timestamp;
use gatepost_store::FoundKey;
use gatepost_store::act::Claim;

use crate::ControlPlane;
use crate::caller::{Caller, Sight};
use crate::failure::Result;

impl ControlPlane {
    /// Answers the key and when it was first used, or `invalid-client-key` for every reason why not.
    pub(crate) async fn authenticate_api_key(
        &self,
        caller: &Caller,
        value: &str,
    ) -> Result<(ApiKey, Option<Timestamp>)> {
        if key::check_api_key(value, Checksum::Ignored).is_err() {
            return Err(ErrorCode::InvalidClientKey.into());
        }
        let digest = self.store.digest(value);
        let found = self.store.lookup(&digest).await?.found.ok_or(ErrorCode::InvalidClientKey)?;
        if caller.sees(&found.facts.account, &found.facts.project) == Sight::Hidden {
            return Err(ErrorCode::InvalidClientKey.into());
        }
        self.decide(&found)?;
        if let Some(first_used_at) = found.first_used_at {
            return Ok((found.key, Some(first_used_at)));
        }
        match self.store.claim_first_use(&found.facts, &digest).await? {
            Claim::Won(version) => Ok((found.key, Some(version.moment()))),
            Claim::Already(first_used_at) => Ok((found.key, Some(first_used_at))),
            Claim::NotActive => Err(ErrorCode::InvalidClientKey.into()),
        }
    }

    fn decide(&self, found: &FoundKey) -> Result<()> {
        // The caller's access key has bound the tenant already.
        let facts = permit::KeyFacts { tenancy: Tenancy::Single, ..found.facts.clone() };
        let asked = Requirement { projects: Vec::new(), env: EnvRule::Any, permissions: Vec::new() };
        match permit::decide(&facts, &asked, self.now()) {
            Ok(_) => Ok(()),
            Err(_) => Err(ErrorCode::InvalidClientKey.into()),
        }
    }
}
