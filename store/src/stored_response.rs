//! Stored responses: sealed HTTP responses that a retried request with the same idempotency key receives again.

use gatepost_domain::key::Secret;
use gatepost_domain::record::Sealed;

use crate::cell_store::CellStore;
use crate::change::StoredResponse;
use crate::error::{Result, StoreErrorKind};
use crate::ops::{ExpectedResponse, RawResponseSwap, RawStoredResponse, SwapOutcome};
use crate::random::os_rng;

/// Result of claiming a response name.
#[derive(Debug)]
pub enum ResponseClaim {
    /// The name was free: the caller can store a response under it.
    Claimed(ResponseClaimToken),
    /// The name is taken by this response.
    Taken(Secret),
}

/// Proof of a claim, needed to release it.
#[derive(Debug, Clone)]
pub struct ResponseClaimToken {
    name: String,
    sealed: Vec<u8>,
}

impl CellStore {
    /// Returns the response stored under a name; `None` if there is none or it has expired.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn stored_response(&self, name: &str) -> Result<Option<Secret>> {
        let Some(sealed) = self.backend.stored_response(name.to_owned()).await? else { return Ok(None) };
        self.open_response(name, Some(sealed)).map(Some)
    }

    /// Claims a name with a placeholder response, unless the name is taken. If the reply is lost, the claim stays until
    /// its TTL ends, and a retry returns [`ResponseClaim::Taken`].
    ///
    /// # Errors
    ///
    /// Those of a confirmed write, see [`CellStore`].
    pub async fn claim_response(&self, response: &StoredResponse) -> Result<ResponseClaim> {
        let raw = self.seal_response(response)?;
        let token = ResponseClaimToken { name: response.name.clone(), sealed: raw.sealed.clone() };
        let swap = RawResponseSwap { name: response.name.clone(), expected: ExpectedResponse::Absent, new: Some(raw) };
        match self.backend.swap_response(swap).await? {
            SwapOutcome::Swapped => Ok(ResponseClaim::Claimed(token)),
            SwapOutcome::Conflict(existing) => Ok(ResponseClaim::Taken(self.open_response(&response.name, existing)?)),
        }
    }

    /// Stores a response and replaces any that has the same name.
    ///
    /// # Errors
    ///
    /// Those of a confirmed write, see [`CellStore`].
    pub async fn put_response(&self, response: &StoredResponse) -> Result<()> {
        let raw = self.seal_response(response)?;
        let swap = RawResponseSwap { name: response.name.clone(), expected: ExpectedResponse::Any, new: Some(raw) };
        self.backend.swap_response(swap).await.map(drop)
    }

    /// Releases a claimed name, unless a response was stored under it.
    ///
    /// # Errors
    ///
    /// Those of a confirmed write, see [`CellStore`].
    pub async fn release_response_claim(&self, claim: &ResponseClaimToken) -> Result<()> {
        let expect = ExpectedResponse::Exactly(claim.sealed.clone());
        let swap = RawResponseSwap { name: claim.name.clone(), expected: expect, new: None };
        self.backend.swap_response(swap).await.map(drop)
    }

    /// Removes the response with a name, and returns it. Of two callers at the same time only one gets it.
    ///
    /// # Errors
    ///
    /// Those of a confirmed write, see [`CellStore`].
    pub async fn take_response(&self, name: &str) -> Result<Option<Secret>> {
        let Some(sealed) = self.backend.stored_response(name.to_owned()).await? else { return Ok(None) };
        let expected = ExpectedResponse::Exactly(sealed.clone());
        match self.backend.swap_response(RawResponseSwap { name: name.to_owned(), expected, new: None }).await? {
            SwapOutcome::Swapped => self.open_response(name, Some(sealed)).map(Some),
            SwapOutcome::Conflict(_) => Ok(None),
        }
    }

    fn open_response(&self, name: &str, sealed: Option<Vec<u8>>) -> Result<Secret> {
        let bytes = self.envelope.unseal(&stored_response_aad(name), &Sealed(sealed.unwrap_or_default()))?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        Ok(Secret::new(text))
    }

    pub(crate) fn seal_response(&self, response: &StoredResponse) -> Result<RawStoredResponse> {
        let sealed = self.envelope.seal(
            &stored_response_aad(&response.name),
            response.response.expose().as_bytes(),
            &mut os_rng(),
        )?;
        Ok(RawStoredResponse { name: response.name.clone(), sealed: sealed.0, ttl: response.ttl })
    }
}

/// Associated data that binds a response to its name, so that it opens under no other name and as nothing else.
fn stored_response_aad(name: &str) -> String {
    format!("receipt/{name}")
}
