//! Receipts: answers that are kept for a while, sealed, so that a repeated request gets the same one again.

use std::time::Duration;

use gatepost_domain::key::Secret;
use gatepost_domain::record::Sealed;

use crate::act::RawReceipt;
use crate::error::{Result, StoreErrorKind};
use crate::store::{Store, os_rng};

/// An answer to be kept with a change.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// What a repeated request will ask for. It stands in clear.
    pub name: String,
    /// The answer.
    pub answer: Secret,
    /// For how long it is kept.
    pub kept: Duration,
}

impl Store {
    /// The answer that was kept under a name; none if there is none or its time has passed.
    pub async fn receipt(&self, name: &str) -> Result<Option<Secret>> {
        let Some(sealed) = self.backend.receipt(name.to_owned()).await? else { return Ok(None) };
        let bytes = self.envelope.unseal(&owner(name), &Sealed(sealed))?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        Ok(Some(Secret::new(text)))
    }

    pub(crate) fn seal_receipt(&self, receipt: &Receipt) -> Result<RawReceipt> {
        let sealed = self.envelope.seal(&owner(&receipt.name), receipt.answer.expose().as_bytes(), &mut os_rng())?;
        Ok(RawReceipt { name: receipt.name.clone(), sealed: sealed.0, kept: receipt.kept })
    }
}

/// What a receipt is bound to, so that it opens under no other name and as nothing else.
fn owner(name: &str) -> String {
    format!("receipt/{name}")
}
