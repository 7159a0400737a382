//! Look-ups, claims, feed and heartbeats in the embedded store.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_domain::change::{Action, Fence, Scope};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{EventId, GatewayId};
use gatepost_domain::time::{Timestamp, Version};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::records::record;
use super::tables::{DIGESTS, FIRST_USE, INDEX, META, RECORDS, STREAM};
use super::{Embedded, entries, failure, number, set_number};
use crate::act::{
    Beat, Claim, CursorState, Heartbeat, Judged, KnownGateway, RawClaim, RawFeed, RawLookup, RawRecord, RecordName,
    Told,
};
use crate::change::{accounts_index, checksum};
use crate::error::Result;
use crate::format::Format;
use crate::options::{CLAIM_DEADLINE, HEARTBEAT_DEADLINE, MAX_FEED_WAIT};
use crate::packed::unpack;

impl Embedded {
    /// Reads a few pages that are mostly in memory, so it runs where it is called.
    pub(crate) async fn lookup(&self, digest: Digest) -> Result<RawLookup> {
        let transaction = self.read()?;
        let meta = transaction.open_table(META).map_err(failure)?;
        let as_of = Version::from_u64(number(&meta, "last")?);
        let digests = transaction.open_table(DIGESTS).map_err(failure)?;
        let name = digests.get(digest.as_bytes()).map_err(failure)?.map(|name| name.value().to_owned());
        let found = match name {
            Some(name) => found(&transaction, name)?,
            None => None,
        };
        Ok(RawLookup { as_of, accounts: accounts(&transaction)?, found })
    }

    pub(crate) async fn claim_first_use(&self, claim: RawClaim) -> Result<Claim> {
        let now = self.now();
        let act = move |transaction: &WriteTransaction| claim_first_use(transaction, &claim, now);
        let outcome = self.perform_within(CLAIM_DEADLINE, act).await?;
        if let Claim::Won(version) = outcome {
            self.announce(version);
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
        let mut last = self.inner.last.subscribe();
        let feed = read_feed(&self.read()?, cursor, event.as_ref(), limit)?;
        if !feed.entries.is_empty() || wait.is_zero() {
            return Ok(feed);
        }
        // That nothing came in time is no failure.
        drop(tokio::time::timeout(wait.min(MAX_FEED_WAIT), last.wait_for(|last| *last > cursor)).await);
        read_feed(&self.read()?, cursor, event.as_ref(), limit)
    }

    /// A write, so that a store that cannot write cannot answer.
    pub(crate) async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Beat> {
        let now = self.now();
        self.perform_within(HEARTBEAT_DEADLINE, move |transaction| {
            let mut meta = transaction.open_table(META).map_err(failure)?;
            set_number(&mut meta, "heartbeat", now.as_ms())
        })
        .await?;
        let known = KnownGateway {
            id: heartbeat.gateway.clone(),
            cursor: heartbeat.cursor,
            refuses_at: now.plus(heartbeat.refuses_within),
            reads: Format::LATEST.number(),
        };
        self.gateways_lock().insert(heartbeat.gateway.clone(), known);
        beat(&self.read()?, &heartbeat)
    }

    pub(crate) async fn sign_off(&self, gateway: GatewayId) -> Result<()> {
        self.gateways_lock().remove(&gateway);
        Ok(())
    }

    pub(crate) async fn gateways(&self) -> Result<Vec<KnownGateway>> {
        let now = self.now();
        let mut gateways = self.gateways_lock();
        gateways.retain(|_, known| now < known.refuses_at);
        Ok(gateways.values().cloned().collect())
    }

    pub(crate) async fn last_position(&self) -> Result<Version> {
        self.position("last")
    }

    pub(crate) async fn confirm(&self, version: Version, event: EventId) -> Result<Judged> {
        self.judge_cursor(version, Some(event)).await
    }

    pub(crate) async fn judge_cursor(&self, cursor: Version, event: Option<EventId>) -> Result<Judged> {
        judge_cursor(&self.read()?, cursor, event.as_ref())
    }

    pub(super) fn position(&self, name: &str) -> Result<Version> {
        let transaction = self.read()?;
        let meta = transaction.open_table(META).map_err(failure)?;
        Ok(Version::from_u64(number(&meta, name)?))
    }

    fn gateways_lock(&self) -> MutexGuard<'_, HashMap<GatewayId, KnownGateway>> {
        self.inner.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Found = (RecordName, RawRecord, Option<RawRecord>);

fn found(transaction: &ReadTransaction, name: String) -> Result<Option<Found>> {
    let Some(key) = record(transaction, &name)? else { return Ok(None) };
    let owner = record(transaction, &key.image.owner)?;
    Ok(Some((RecordName(name), key, owner)))
}

fn accounts(transaction: &ReadTransaction) -> Result<u64> {
    let index = transaction.open_table(INDEX).map_err(failure)?;
    let name = accounts_index().0;
    let mut count = 0;
    for member in index.range((name.as_str(), "")..).map_err(failure)?.take(2) {
        let (key, _) = member.map_err(failure)?;
        count += u64::from(key.value().0 == name);
    }
    Ok(count)
}

fn claim_first_use(transaction: &WriteTransaction, claim: &RawClaim, now: Timestamp) -> Result<Claim> {
    let Some(image) = claimable(transaction, claim, now)? else { return Ok(Claim::NotActive) };
    let mut first_use = transaction.open_table(FIRST_USE).map_err(failure)?;
    let before = first_use.get(claim.key.as_str()).map_err(failure)?.map(|ms| ms.value());
    if let Some(ms) = before {
        return Ok(Claim::Already(Timestamp::from_ms(ms)));
    }
    let told = Told {
        action: Action::ApiKeyFirstUsed,
        scope: Scope::None,
        fence: Fence::Down,
        head: claim.head.clone(),
        image,
    };
    let version = entries::append(transaction, &claim.event, &told, now)?;
    first_use.insert(claim.key.as_str(), version.moment().as_ms()).map_err(failure)?;
    Ok(Claim::Won(version))
}

/// The key's public image, if the value leads to it and it and its project may be used.
fn claimable(transaction: &WriteTransaction, claim: &RawClaim, now: Timestamp) -> Result<Option<Vec<u8>>> {
    let digests = transaction.open_table(DIGESTS).map_err(failure)?;
    let leads_to = digests.get(claim.digest.as_bytes()).map_err(failure)?;
    if leads_to.is_none_or(|name| name.value() != claim.key.as_str()) {
        return Ok(None);
    }
    let records = transaction.open_table(RECORDS).map_err(failure)?;
    let read = |name: &str| -> Result<Option<RawRecord>> {
        records.get(name).map_err(failure)?.map(|bytes| unpack(bytes.value(), None)).transpose()
    };
    let Some(key) = read(claim.key.as_str())?.filter(|key| now < key.image.usable_until) else { return Ok(None) };
    let owner = read(&key.image.owner)?.filter(|owner| now < owner.image.usable_until);
    Ok(owner.map(|_| key.image.public))
}

fn beat(transaction: &ReadTransaction, heartbeat: &Heartbeat) -> Result<Beat> {
    let meta = transaction.open_table(META).map_err(failure)?;
    Ok(Beat {
        cursor: judge_cursor(transaction, heartbeat.cursor, heartbeat.cursor_event.as_ref())?,
        accounts: accounts(transaction)?,
        checksum: checksum(number(&meta, "loose_checksum")? > 0),
    })
}

fn read_feed(transaction: &ReadTransaction, cursor: Version, event: Option<&EventId>, limit: u32) -> Result<RawFeed> {
    let stream = transaction.open_table(STREAM).map_err(failure)?;
    let mut entries = Vec::new();
    for entry in stream.range(cursor.as_u64().saturating_add(1)..).map_err(failure)?.take(limit as usize) {
        let (version, bytes) = entry.map_err(failure)?;
        entries.push(entries::decode(Version::from_u64(version.value()), bytes.value()));
    }
    Ok(RawFeed { cursor: judge_cursor(transaction, cursor, event)?, entries })
}

fn judge_cursor(transaction: &ReadTransaction, cursor: Version, event: Option<&EventId>) -> Result<Judged> {
    let meta = transaction.open_table(META).map_err(failure)?;
    let stream = transaction.open_table(STREAM).map_err(failure)?;
    let last = Version::from_u64(number(&meta, "last")?);
    let trimmed_through = Version::from_u64(number(&meta, "trimmed")?);
    let state = if cursor == Version::ZERO {
        CursorState::Present
    } else if cursor > last {
        CursorState::Foreign
    } else if cursor <= trimmed_through {
        CursorState::Trimmed
    } else {
        match entries::event_at(&stream, cursor)? {
            Some(found) if event.is_none() || found.as_ref() == event => CursorState::Present,
            Some(_) | None => CursorState::Foreign,
        }
    };
    Ok(Judged { state, last, trimmed_through })
}
