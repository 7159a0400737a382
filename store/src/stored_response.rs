//! Receipts: answers that are kept for a while, sealed, so that a repeated request gets the same one again.

use std::time::Duration;

use gatepost_domain::key::Secret;
use gatepost_domain::record::Sealed;

use crate::error::{Result, StoreErrorKind};
use crate::ops::{ExpectedResponse, RawResponseSwap, RawStoredResponse, SwapOutcome};
use crate::store::{Store, os_rng};

/// An answer to be kept with a change.
#[derive(Debug, Clone)]
pub struct StoredResponse {
    /// What a repeated request will ask for. It stands in clear.
    pub name: String,
    /// The answer.
    pub response: Secret,
    /// For how long it is kept.
    pub ttl: Duration,
}

/// Whether a receipt's name was free.
#[derive(Debug)]
pub enum ResponseClaim {
    /// It was: the answer can be put there.
    Claimed(ResponseClaimToken),
    /// This stands there.
    Taken(Secret),
}

/// What was claimed.
#[derive(Debug, Clone)]
pub struct ResponseClaimToken {
    name: String,
    sealed: Vec<u8>,
}

impl Store {
    /// The answer that was kept under a name; none if there is none or its time has passed.
    pub async fn stored_response(&self, name: &str) -> Result<Option<Secret>> {
        let Some(sealed) = self.backend.stored_response(name.to_owned()).await? else { return Ok(None) };
        self.open_response(name, Some(sealed)).map(Some)
    }

    /// Claims a name for who will put an answer there, unless it is taken.
    pub async fn claim_response(&self, response: &StoredResponse) -> Result<ResponseClaim> {
        let raw = self.seal_response(response)?;
        let token = ResponseClaimToken { name: response.name.clone(), sealed: raw.sealed.clone() };
        let swap = RawResponseSwap { name: response.name.clone(), expected: ExpectedResponse::Absent, new: Some(raw) };
        match self.backend.swap_response(swap).await? {
            SwapOutcome::Swapped => Ok(ResponseClaim::Claimed(token)),
            SwapOutcome::Conflict(existing) => Ok(ResponseClaim::Taken(self.open_response(&response.name, existing)?)),
        }
    }

    /// Keeps an answer, in the place of whatever stands under its name.
    pub async fn put_response(&self, response: &StoredResponse) -> Result<()> {
        let raw = self.seal_response(response)?;
        let swap = RawResponseSwap { name: response.name.clone(), expected: ExpectedResponse::Any, new: Some(raw) };
        self.backend.swap_response(swap).await.map(drop)
    }

    /// Gives a claimed name back, unless an answer was put there.
    pub async fn release_response_claim(&self, claim: &ResponseClaimToken) -> Result<()> {
        let expect = ExpectedResponse::Exactly(claim.sealed.clone());
        let swap = RawResponseSwap { name: claim.name.clone(), expected: expect, new: None };
        self.backend.swap_response(swap).await.map(drop)
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

/// What a receipt is bound to, so that it opens under no other name and as nothing else.
fn stored_response_aad(name: &str) -> String {
    format!("receipt/{name}")
}
