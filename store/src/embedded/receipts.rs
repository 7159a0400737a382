//! Receipts in the embedded store.

use gatepost_domain::time::Timestamp;
use redb::{ReadableTable, WriteTransaction};

use super::tables::{RECEIPT_AGES, RECEIPTS};
use super::{Embedded, failure};
use crate::act::{RawReceipt, RawSwap, Standing, Swapped};
use crate::error::Result;

impl Embedded {
    pub(crate) async fn receipt(&self, name: String) -> Result<Option<Vec<u8>>> {
        let transaction = self.read()?;
        let table = transaction.open_table(RECEIPTS).map_err(failure)?;
        let Some(stored) = table.get(name.as_str()).map_err(failure)? else { return Ok(None) };
        let (until_ms, sealed) = stored.value();
        Ok((self.now().as_ms() < until_ms).then(|| sealed.to_vec()))
    }

    pub(crate) async fn swap_receipt(&self, wanted: RawSwap) -> Result<Swapped> {
        let now = self.now();
        self.perform(move |transaction| swap(transaction, &wanted, now)).await
    }
}

fn swap(transaction: &WriteTransaction, swap: &RawSwap, now: Timestamp) -> Result<Swapped> {
    let standing = {
        let table = transaction.open_table(RECEIPTS).map_err(failure)?;
        let stored = table.get(swap.name.as_str()).map_err(failure)?;
        stored.filter(|stored| now.as_ms() < stored.value().0).map(|stored| stored.value().1.to_vec())
    };
    let is_expected = match &swap.expect {
        Standing::Any => true,
        Standing::Nothing => standing.is_none(),
        Standing::Same(bytes) => standing.as_ref() == Some(bytes),
    };
    if !is_expected {
        return Ok(Swapped::No(standing));
    }
    match &swap.new {
        Some(receipt) => put(transaction, receipt, now)?,
        None => erase(transaction, &swap.name)?,
    }
    Ok(Swapped::Yes)
}

/// Keeps an answer, in the place of one of the same name.
pub(super) fn put(transaction: &WriteTransaction, receipt: &RawReceipt, now: Timestamp) -> Result<()> {
    erase(transaction, &receipt.name)?;
    let until_ms = now.plus(receipt.kept).as_ms();
    let mut table = transaction.open_table(RECEIPTS).map_err(failure)?;
    table.insert(receipt.name.as_str(), (until_ms, receipt.sealed.as_slice())).map_err(failure)?;
    let mut ages = transaction.open_table(RECEIPT_AGES).map_err(failure)?;
    ages.insert((until_ms, receipt.name.as_str()), ()).map_err(failure)?;
    Ok(())
}

/// Erases answers whose time has passed, and tells how many.
pub(super) fn trim(transaction: &WriteTransaction, batch: u32, now: Timestamp) -> Result<u64> {
    let ages = transaction.open_table(RECEIPT_AGES).map_err(failure)?;
    let mut ended = Vec::new();
    for entry in ages.range(..(now.as_ms(), "")).map_err(failure)?.take(batch as usize) {
        ended.push(entry.map_err(failure)?.0.value().1.to_owned());
    }
    drop(ages);
    for name in &ended {
        erase(transaction, name)?;
    }
    Ok(ended.len() as u64)
}

fn erase(transaction: &WriteTransaction, name: &str) -> Result<()> {
    let mut table = transaction.open_table(RECEIPTS).map_err(failure)?;
    let until_ms = table.remove(name).map_err(failure)?.map(|stored| stored.value().0);
    if let Some(until_ms) = until_ms {
        transaction.open_table(RECEIPT_AGES).map_err(failure)?.remove((until_ms, name)).map_err(failure)?;
    }
    Ok(())
}
