//! Stored responses in the embedded store.

use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, WriteTransaction};

use super::database::Embedded;
use super::errors::store_error;
use super::tables::{STORED_RESPONSE_EXPIRY, STORED_RESPONSES};
use crate::error::Result;
use crate::ops::{ExpectedResponse, RawResponseSwap, RawStoredResponse, SwapOutcome};

impl Embedded {
    pub(crate) async fn stored_response(&self, name: String) -> Result<Option<Vec<u8>>> {
        let transaction = self.read()?;
        let table = transaction.open_table(STORED_RESPONSES).map_err(store_error)?;
        let Some(stored) = table.get(name.as_str()).map_err(store_error)? else { return Ok(None) };
        let (until_ms, sealed) = stored.value();
        Ok((self.now().as_ms() < until_ms).then(|| sealed.to_vec()))
    }

    pub(crate) async fn swap_response(&self, request: RawResponseSwap) -> Result<SwapOutcome> {
        let now = self.now();
        self.perform(move |transaction| apply_swap(transaction, &request, now)).await
    }
}

fn apply_swap(transaction: &WriteTransaction, swap: &RawResponseSwap, now: Timestamp) -> Result<SwapOutcome> {
    let current = {
        let table = transaction.open_table(STORED_RESPONSES).map_err(store_error)?;
        let stored = table.get(swap.name.as_str()).map_err(store_error)?;
        stored.filter(|stored| now.as_ms() < stored.value().0).map(|stored| stored.value().1.to_vec())
    };
    let is_expected = match &swap.expected {
        ExpectedResponse::Any => true,
        ExpectedResponse::Absent => current.is_none(),
        ExpectedResponse::Exactly(bytes) => current.as_ref() == Some(bytes),
    };
    if !is_expected {
        return Ok(SwapOutcome::Conflict(current));
    }
    match &swap.new {
        Some(response) => store_response(transaction, response, now)?,
        None => remove(transaction, &swap.name)?,
    }
    Ok(SwapOutcome::Swapped)
}

/// Stores a response and replaces one with the same name.
pub(super) fn store_response(
    transaction: &WriteTransaction,
    response: &RawStoredResponse,
    now: Timestamp,
) -> Result<()> {
    remove(transaction, &response.name)?;
    let until_ms = now.plus(response.ttl).as_ms();
    let mut table = transaction.open_table(STORED_RESPONSES).map_err(store_error)?;
    table.insert(response.name.as_str(), (until_ms, response.sealed.as_slice())).map_err(store_error)?;
    let mut ages = transaction.open_table(STORED_RESPONSE_EXPIRY).map_err(store_error)?;
    ages.insert((until_ms, response.name.as_str()), ()).map_err(store_error)?;
    Ok(())
}

/// Erases expired responses and returns how many.
pub(super) fn trim_expired(transaction: &WriteTransaction, batch: u32, now: Timestamp) -> Result<u64> {
    let ages = transaction.open_table(STORED_RESPONSE_EXPIRY).map_err(store_error)?;
    let mut expired = Vec::new();
    for entry in ages.range(..(now.as_ms(), "")).map_err(store_error)?.take(batch as usize) {
        expired.push(entry.map_err(store_error)?.0.value().1.to_owned());
    }
    drop(ages);
    for name in &expired {
        remove(transaction, name)?;
    }
    Ok(expired.len() as u64)
}

fn remove(transaction: &WriteTransaction, name: &str) -> Result<()> {
    let mut table = transaction.open_table(STORED_RESPONSES).map_err(store_error)?;
    let until_ms = table.remove(name).map_err(store_error)?.map(|stored| stored.value().0);
    if let Some(until_ms) = until_ms {
        transaction
            .open_table(STORED_RESPONSE_EXPIRY)
            .map_err(store_error)?
            .remove((until_ms, name))
            .map_err(store_error)?;
    }
    Ok(())
}
