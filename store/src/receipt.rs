//! Receipts: answers that are kept for a while, sealed, so that a repeated request gets the same one again.

use std::time::Duration;

use gatepost_domain::key::Secret;
use gatepost_domain::record::Sealed;

use crate::act::{RawReceipt, RawSwap, Standing, Swapped};
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

/// Whether a receipt's name was free.
#[derive(Debug)]
pub enum ReceiptClaim {
    /// It was: the answer can be put there.
    Mine(ReceiptMark),
    /// This stands there.
    Taken(Secret),
}

/// What was claimed.
#[derive(Debug, Clone)]
pub struct ReceiptMark {
    name: String,
    sealed: Vec<u8>,
}

impl Store {
    /// The answer that was kept under a name; none if there is none or its time has passed.
    pub async fn receipt(&self, name: &str) -> Result<Option<Secret>> {
        let Some(sealed) = self.backend.receipt(name.to_owned()).await? else { return Ok(None) };
        self.open_receipt(name, Some(sealed)).map(Some)
    }

    /// Claims a name for who will put an answer there, unless it is taken.
    pub async fn claim_receipt(&self, receipt: &Receipt) -> Result<ReceiptClaim> {
        let raw = self.seal_receipt(receipt)?;
        let mark = ReceiptMark { name: receipt.name.clone(), sealed: raw.sealed.clone() };
        let swap = RawSwap { name: receipt.name.clone(), expect: Standing::Nothing, new: Some(raw) };
        match self.backend.swap_receipt(swap).await? {
            Swapped::Yes => Ok(ReceiptClaim::Mine(mark)),
            Swapped::No(standing) => Ok(ReceiptClaim::Taken(self.open_receipt(&receipt.name, standing)?)),
        }
    }

    /// Keeps an answer, in the place of whatever stands under its name.
    pub async fn put_receipt(&self, receipt: &Receipt) -> Result<()> {
        let raw = self.seal_receipt(receipt)?;
        let swap = RawSwap { name: receipt.name.clone(), expect: Standing::Any, new: Some(raw) };
        self.backend.swap_receipt(swap).await.map(drop)
    }

    /// Gives a claimed name back, unless an answer was put there.
    pub async fn drop_receipt(&self, mark: &ReceiptMark) -> Result<()> {
        let expect = Standing::Same(mark.sealed.clone());
        let swap = RawSwap { name: mark.name.clone(), expect, new: None };
        self.backend.swap_receipt(swap).await.map(drop)
    }

    fn open_receipt(&self, name: &str, sealed: Option<Vec<u8>>) -> Result<Secret> {
        let bytes = self.envelope.unseal(&owner(name), &Sealed(sealed.unwrap_or_default()))?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        Ok(Secret::new(text))
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
