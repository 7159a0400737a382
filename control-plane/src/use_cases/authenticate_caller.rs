//! Authentication of callers by their access keys.

use std::net::IpAddr;

use gatepost_domain::digest::Digest;
use gatepost_domain::key::{self, KeyFormat};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Status};
use gatepost_store::Recovery;

use crate::caller::Caller;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};

impl ControlPlane {
    /// Finds the caller behind the value of an access key, which a client at `from` sent.
    ///
    /// # Errors
    /// `invalid-access-key`, and [`Failure::Throttled`] after too many wrong access keys from that address.
    pub async fn authenticate_caller(&self, value: &str, from: IpAddr) -> Result<Caller> {
        let (digest, now) = (self.store.envelope().digest(value), self.clock.uptime());
        self.brute_force.check(from, &digest, now)?;
        match self.find_caller(value, &digest).await? {
            Some(caller) => {
                self.brute_force.record_success(digest);
                Ok(caller)
            }
            None => {
                self.brute_force.record_failure(from, &digest, now);
                Err(ErrorCode::InvalidAccessKey.into())
            }
        }
    }

    /// Reads the store for every value that has the form of an access key.
    async fn find_caller(&self, value: &str, digest: &Digest) -> Result<Option<Caller>> {
        if !value.starts_with("live_access_") || key::key_format(value) != KeyFormat::Generated {
            return Ok(None);
        }
        let found = self.store.home_of_digest(digest).access_key_with_account_status(digest).await?;
        if found.is_none() && self.store.single_cell().recovery() == Recovery::InProgress {
            return Err(Failure::store_recovering());
        }
        let now = self.now();
        let is_usable = |(key, account): &(AccessKey, Status)| key.is_usable(now) && *account == Status::Active;
        Ok(found.filter(is_usable).map(|(key, _)| Caller::from(&key)))
    }
}
