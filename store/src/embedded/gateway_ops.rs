//! Lookups, first-use claims, feed and heartbeats in the embedded store.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::change::{Action, Invalidation, Propagation};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{EventId, GatewayId};
use gatepost_domain::time::{Timestamp, Version};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::database::Embedded;
use super::entries;
use super::errors::store_error;
use super::meta::{read_number, set_number};
use super::records::{read_record, read_stored};
use super::tables::{DIGESTS, FIRST_USE, INDEX, META, RECORDS, STREAM};
use crate::error::{Result, StoreErrorKind};
use crate::format::Format;
use crate::index::accounts_index;
use crate::ops::{
    CursorCheck, CursorState, EntryPayload, FeedCursor, FirstUseOutcome, Heartbeat, HeartbeatReply, InvalidationBatch,
    RawEntry, RawFeed, RawFirstUseClaim, RawLookup, RawRecord, RecordName, RegisteredGateway,
};
use crate::options::{CLAIM_TIMEOUT, HEARTBEAT_TIMEOUT, MAX_FEED_WAIT};
use crate::store_header::checksum_mode;

impl Embedded {
    /// Runs on the caller's thread, because it reads only a few pages that are mostly in memory.
    pub(crate) async fn lookup(&self, digest: Digest) -> Result<RawLookup> {
        let transaction = self.read()?;
        let meta = transaction.open_table(META).map_err(store_error)?;
        let as_of = Version::from_u64(read_number(&meta, "last")?);
        let digests = transaction.open_table(DIGESTS).map_err(store_error)?;
        let name = digests.get(digest.as_bytes()).map_err(store_error)?.map(|name| name.value().to_owned());
        let found = match name {
            Some(name) => resolve(&transaction, name)?,
            None => None,
        };
        Ok(RawLookup { as_of, accounts: count_accounts(&transaction)?, found })
    }

    pub(crate) async fn claim_first_use(&self, claim: RawFirstUseClaim) -> Result<FirstUseOutcome> {
        let now = self.now();
        let op = move |transaction: &WriteTransaction| claim_first_use(transaction, &claim, now);
        let outcome = self.perform_within(CLAIM_TIMEOUT, op).await?;
        if let FirstUseOutcome::Won(version) = outcome {
            self.publish_position(version);
        }
        Ok(outcome)
    }

    pub(crate) async fn feed(
        &self,
        cursor: Version,
        event: Option<EventId>,
        limit: u32,
        wait: Duration,
    ) -> Result<RawFeed> {
        let mut last = self.inner.last_position.subscribe();
        let feed = read_feed(&self.read()?, cursor, event.as_ref(), limit)?;
        if !feed.entries.is_empty() || wait.is_zero() {
            return Ok(feed);
        }
        // A timeout is not an error: the second read then returns no entries.
        drop(tokio::time::timeout(wait.min(MAX_FEED_WAIT), last.wait_for(|last| *last > cursor)).await);
        read_feed(&self.read()?, cursor, event.as_ref(), limit)
    }

    pub(crate) async fn invalidations(&self, _: FeedCursor, _: u32, _: Duration) -> Result<InvalidationBatch> {
        Err(StoreErrorKind::Refused.with("the embedded store has no invalidation stream"))
    }

    pub(crate) async fn feed_backwards(&self, cursor: Version, limit: u32) -> Result<RawFeed> {
        let transaction = self.read()?;
        let stream = transaction.open_table(STREAM).map_err(store_error)?;
        let mut entries = Vec::new();
        for entry in stream.range(..cursor.as_u64()).map_err(store_error)?.rev().take(limit as usize) {
            let (version, bytes) = entry.map_err(store_error)?;
            entries.push(entries::decode(Version::from_u64(version.value()), bytes.value()));
        }
        Ok(raw_feed(check_cursor(&transaction, cursor, None)?, entries))
    }

    /// Performs a write, so that the heartbeat fails on a store that cannot write.
    pub(crate) async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        let now = self.now();
        self.perform_within(HEARTBEAT_TIMEOUT, move |transaction| {
            let mut meta = transaction.open_table(META).map_err(store_error)?;
            set_number(&mut meta, "heartbeat", now.as_ms())
        })
        .await?;
        let reply = heartbeat_reply(&self.read()?, &heartbeat)?;
        let is_lost = reply.cursor_check.state == CursorState::Diverged;
        let registered = RegisteredGateway {
            id: heartbeat.gateway.clone(),
            cursor: if is_lost { Version::ZERO } else { heartbeat.cursor.version },
            lease_expires_at: now.plus(heartbeat.valid_for),
            max_format: Format::LATEST.number(),
            label: Some(heartbeat.label.clone()),
            last_heartbeat_at: Some(now),
        };
        self.lock_gateways().insert(heartbeat.gateway, registered);
        Ok(reply)
    }

    pub(crate) async fn deregister_gateway(&self, gateway: GatewayId) -> Result<()> {
        self.lock_gateways().remove(&gateway);
        Ok(())
    }

    pub(crate) async fn gateways(&self) -> Result<Vec<RegisteredGateway>> {
        let now = self.now();
        let mut gateways = self.lock_gateways();
        gateways.retain(|_, gateway| now < gateway.lease_expires_at);
        Ok(gateways.values().cloned().collect())
    }

    pub(crate) async fn last_position(&self) -> Result<Version> {
        self.position("last")
    }

    pub(crate) async fn confirm(&self, version: Version, event: EventId) -> Result<CursorCheck> {
        self.check_cursor(version, Some(event)).await
    }

    pub(crate) async fn check_cursor(&self, cursor: Version, event: Option<EventId>) -> Result<CursorCheck> {
        check_cursor(&self.read()?, cursor, event.as_ref())
    }

    pub(super) fn position(&self, name: &str) -> Result<Version> {
        let transaction = self.read()?;
        let meta = transaction.open_table(META).map_err(store_error)?;
        Ok(Version::from_u64(read_number(&meta, name)?))
    }

    fn lock_gateways(&self) -> MutexGuard<'_, HashMap<GatewayId, RegisteredGateway>> {
        self.inner.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type FoundRecord = (RecordName, RawRecord, Option<RawRecord>);

fn resolve(transaction: &ReadTransaction, name: String) -> Result<Option<FoundRecord>> {
    let Some(key) = read_record(transaction, &name)? else { return Ok(None) };
    let parent = read_record(transaction, &key.image.parent)?;
    Ok(Some((RecordName(name), key, parent)))
}

fn count_accounts(transaction: &ReadTransaction) -> Result<u64> {
    let index = transaction.open_table(INDEX).map_err(store_error)?;
    let name = accounts_index().0;
    let mut count = 0;
    for member in index.range((name.as_str(), "")..).map_err(store_error)?.take(2) {
        let (key, _) = member.map_err(store_error)?;
        count += u64::from(key.value().0 == name);
    }
    Ok(count)
}

fn claim_first_use(
    transaction: &WriteTransaction,
    claim: &RawFirstUseClaim,
    now: Timestamp,
) -> Result<FirstUseOutcome> {
    let Some(image) = claimable_image(transaction, claim, now)? else { return Ok(FirstUseOutcome::NotActive) };
    let mut first_use = transaction.open_table(FIRST_USE).map_err(store_error)?;
    let before = first_use.get(claim.key.as_str()).map_err(store_error)?.map(|ms| ms.value());
    if let Some(ms) = before {
        return Ok(FirstUseOutcome::AlreadyUsed(Timestamp::from_ms(ms)));
    }
    let payload = EntryPayload {
        action: Action::ApiKeyFirstUsed,
        invalidation: Invalidation::None,
        propagation: Propagation::Relaxed,
        metadata: claim.metadata.clone(),
        image,
    };
    let version = entries::append(transaction, &claim.event, &payload, now)?;
    first_use.insert(claim.key.as_str(), version.timestamp().as_ms()).map_err(store_error)?;
    Ok(FirstUseOutcome::Won(version))
}

/// Returns the key's public image if the value maps to the key, and the key and its project are active.
fn claimable_image(
    transaction: &WriteTransaction,
    claim: &RawFirstUseClaim,
    now: Timestamp,
) -> Result<Option<Vec<u8>>> {
    let digests = transaction.open_table(DIGESTS).map_err(store_error)?;
    let record_name = digests.get(claim.digest.as_bytes()).map_err(store_error)?;
    if record_name.is_none_or(|name| name.value() != claim.key.as_str()) {
        return Ok(None);
    }
    let records = transaction.open_table(RECORDS).map_err(store_error)?;
    let Some(key) = read_stored(&records, claim.key.as_str())?.filter(|key| now < key.image.usable_until) else {
        return Ok(None);
    };
    let parent = read_stored(&records, &key.image.parent)?.filter(|parent| now < parent.image.usable_until);
    Ok(parent.map(|_| key.image.public))
}

fn heartbeat_reply(transaction: &ReadTransaction, heartbeat: &Heartbeat) -> Result<HeartbeatReply> {
    let meta = transaction.open_table(META).map_err(store_error)?;
    Ok(HeartbeatReply {
        cursor_check: check_cursor(transaction, heartbeat.cursor.version, heartbeat.cursor.event.as_ref())?.into(),
        accounts: count_accounts(transaction)?,
        checksum: checksum_mode(read_number(&meta, "loose_checksum")? > 0),
        gateways: 1,
    })
}

fn read_feed(transaction: &ReadTransaction, cursor: Version, event: Option<&EventId>, limit: u32) -> Result<RawFeed> {
    let stream = transaction.open_table(STREAM).map_err(store_error)?;
    let mut entries = Vec::new();
    for entry in stream.range(cursor.as_u64().saturating_add(1)..).map_err(store_error)?.take(limit as usize) {
        let (version, bytes) = entry.map_err(store_error)?;
        entries.push(entries::decode(Version::from_u64(version.value()), bytes.value()));
    }
    Ok(raw_feed(check_cursor(transaction, cursor, event)?, entries))
}

fn raw_feed(cursor_check: CursorCheck, entries: Vec<RawEntry>) -> RawFeed {
    RawFeed { cursor_check, entries, end: FeedCursor::in_changes(cursor_check.last, None) }
}

fn check_cursor(transaction: &ReadTransaction, cursor: Version, event: Option<&EventId>) -> Result<CursorCheck> {
    let meta = transaction.open_table(META).map_err(store_error)?;
    let stream = transaction.open_table(STREAM).map_err(store_error)?;
    let last = Version::from_u64(read_number(&meta, "last")?);
    let trimmed_through = Version::from_u64(read_number(&meta, "trimmed")?);
    let state = if cursor == Version::ZERO {
        CursorState::Present
    } else if cursor > last {
        CursorState::Diverged
    } else if cursor <= trimmed_through {
        CursorState::Trimmed
    } else {
        match entries::event_at(&stream, cursor)? {
            Some(found) if event.is_none() || found.as_ref() == event => CursorState::Present,
            Some(_) | None => CursorState::Diverged,
        }
    };
    Ok(CursorCheck { state, last, trimmed_through })
}
