//! Stored responses of requests with an idempotency key: claimed, stored and released.
//!
//! A change stores its response in its own commit. If the process crashes before it responds, a repeated request still
//! gets a response, and nothing is done twice. After the request has ended, its final response replaces that one.

use std::time::Duration;

use gatepost_domain::key::Secret;
use gatepost_store::{ResponseClaim, ResponseClaimToken, StoredResponse};

use crate::caller::Caller;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::limits::RESPONSE_TTL;

/// How long a request that has not ended holds its slot. Longer than any request may take.
const IN_FLIGHT_TTL: Duration = Duration::from_secs(120);
/// Bytes of a response that are counted as one response; a longer one is counted as several.
const BYTES_PER_RESPONSE: u64 = 2048;

impl ControlPlane {
    /// Returns the name of the slot for a caller's idempotency key. Keys that clients choose are not stored in clear.
    pub fn idempotency_slot(&self, caller: &Caller, key: &str) -> String {
        format!("idempotency:{}:{}", caller.access_key, self.fingerprint(key))
    }

    /// Returns a digest of a text under the store's pepper, in hex.
    pub fn fingerprint(&self, text: &str) -> String {
        self.store.envelope().digest(text).to_hex()
    }

    /// Claims a slot for a request that begins, or returns what is stored there. The claim expires after 120 s.
    ///
    /// # Errors
    /// [`Failure::Throttled`] if the account has stored too many responses.
    pub async fn claim_response(&self, caller: &Caller, slot: &str, in_flight: Secret) -> Result<ResponseClaim> {
        let response = StoredResponse { name: slot.to_owned(), response: in_flight, ttl: IN_FLIGHT_TTL };
        let claim = self.store.single_cell().claim_response(&response).await?;
        if let ResponseClaim::Claimed(token) = &claim {
            let now = self.clock.uptime();
            if let Some(wait) = self.limits.stored_responses.wait_time(&caller.account, now) {
                self.store.single_cell().release_response_claim(token).await?;
                return Err(Failure::Throttled(wait));
            }
            self.limits.stored_responses.record(caller.account.clone(), now);
        }
        Ok(claim)
    }

    /// Stores the response of a request that succeeded, for 24 hours.
    pub async fn store_response(&self, slot: &str, response: Secret) -> Result<()> {
        let response = StoredResponse { name: slot.to_owned(), response, ttl: RESPONSE_TTL };
        Ok(self.store.single_cell().put_response(&response).await?)
    }

    /// Releases the slot of a request that failed, unless a change has stored its response there.
    pub async fn release_response_claim(&self, token: &ResponseClaimToken) -> Result<()> {
        Ok(self.store.single_cell().release_response_claim(token).await?)
    }

    /// Charges an account for the length of a response, which was counted as one before.
    pub fn charge_for_length(&self, caller: &Caller, bytes: u64) {
        let further = bytes.div_ceil(BYTES_PER_RESPONSE).saturating_sub(1);
        self.limits.stored_responses.record_many(caller.account.clone(), further, self.clock.uptime());
    }
}
