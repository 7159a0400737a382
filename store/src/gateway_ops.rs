//! What gateways do: look up, claim first uses, read the feed, send heartbeats.

use std::net::IpAddr;
use std::time::Duration;

use gatepost_domain::digest::Digest;
use gatepost_domain::id::{EventId, GatewayId};
use gatepost_domain::permit::{KeyFacts, Tenancy};
use gatepost_domain::record::{Actor, ApiKey, Record, Status};
use gatepost_domain::time::{Timestamp, Version};

use crate::error::Result;
use crate::ops::{
    CursorCheck, FirstUseOutcome, Heartbeat, HeartbeatReply, RawFirstUseClaim, RawLookup, RawRecord, RegisteredGateway,
};
use crate::records::{as_api_key, as_project};
use crate::schema;
use crate::store::Store;
use crate::stream_entry::{self, StreamEntry};

/// The answer of a look-up.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The store's last position at that moment: the answer counts for a request whose floors are
    /// not above it.
    pub as_of: Version,
    /// The key; absent if no API key has this value.
    pub found: Option<FoundKey>,
}

/// A key that a look-up found.
#[derive(Debug, Clone)]
pub struct FoundKey {
    /// Its record.
    pub key: ApiKey,
    /// What the rule and the identity headers need.
    pub facts: KeyFacts,
    /// When the key was first used.
    pub first_used_at: Option<Timestamp>,
}

impl Store {
    /// What a key value leads to, in one round trip. Deadline 1 s.
    pub async fn lookup(&self, digest: &Digest) -> Result<Lookup> {
        let raw = self.backend.lookup(*digest).await?;
        let as_of = raw.as_of;
        Ok(Lookup { as_of, found: found_key(raw, digest)? })
    }

    /// Claims the first use of a key with the value that was presented, from the address it came from. Deadline
    /// 500 ms. However often it is repeated, the event has one id.
    pub async fn claim_first_use(
        &self,
        facts: &KeyFacts,
        digest: &Digest,
        client_ip: Option<IpAddr>,
    ) -> Result<FirstUseOutcome> {
        let actor = Actor::Key(facts.key.clone());
        let metadata = stream_entry::encode_first_use_metadata(
            &actor,
            client_ip,
            &facts.account,
            &facts.project,
            facts.key.as_str(),
        )?;
        let claim = RawFirstUseClaim {
            key: facts.key.clone(),
            digest: *digest,
            event: EventId::for_first_use(&facts.key),
            metadata,
        };
        self.backend.claim_first_use(claim).await
    }

    /// Up to `limit` entries after `after`; waits up to `wait` (≤ 500 ms) for the first.
    pub async fn read_feed(&self, after: Version, limit: u32, wait: Duration) -> Result<Vec<StreamEntry>> {
        self.read_feed_checked(after, None, limit, wait).await.map(|(entries, _)| entries)
    }

    /// The same for who must know whether they continue what was read up to the cursor.
    pub async fn read_feed_checked(
        &self,
        cursor: Version,
        event: Option<EventId>,
        limit: u32,
        wait: Duration,
    ) -> Result<(Vec<StreamEntry>, CursorCheck)> {
        let raw = self.backend.feed(cursor, event, limit, wait).await?;
        Ok((raw.entries.into_iter().map(stream_entry::decode).collect(), raw.cursor_check))
    }

    /// A gateway's sign of life.
    pub async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        self.backend.heartbeat(heartbeat).await
    }

    /// Forgets a gateway after its last request.
    pub async fn deregister_gateway(&self, gateway: &GatewayId) -> Result<()> {
        self.backend.deregister_gateway(gateway.clone()).await
    }

    /// Gateways that may still answer from their caches.
    pub async fn gateways(&self) -> Result<Vec<RegisteredGateway>> {
        self.backend.gateways().await
    }

    /// The last position of the stream.
    pub async fn last_position(&self) -> Result<Version> {
        self.backend.last_position().await
    }

    /// Whether an acknowledged change still stands; fails with [`StoreErrorKind::Unconfirmed`] while too few
    /// replicas have it. For who repeats a request that has nothing left to write.
    ///
    /// [`StoreErrorKind::Unconfirmed`]: crate::StoreErrorKind::Unconfirmed
    pub async fn confirm(&self, version: Version, event: &EventId) -> Result<CursorCheck> {
        self.backend.confirm(version, event.clone()).await
    }

    /// Whether the entry at a cursor is still there, with the same event id if that is given. Asked
    /// after a feed, it tells whether what was read continues what was read before.
    pub async fn check_cursor(&self, cursor: Version, event: Option<EventId>) -> Result<CursorCheck> {
        self.backend.check_cursor(cursor, event).await
    }
}

fn found_key(raw: RawLookup, digest: &Digest) -> Result<Option<FoundKey>> {
    let Some((name, record, parent)) = raw.found else { return Ok(None) };
    let (decoded, _) = schema::decode(&name.0, &record.image.public, Some(&record.image.private))?;
    let Some(key) = as_api_key(decoded) else { return Ok(None) };
    let tenancy = if raw.accounts > 1 { Tenancy::Multiple } else { Tenancy::Single };
    let project = project_status(&record.image.parent, parent)?;
    let first_used_at = record.first_used_at;
    Ok(KeyFacts::from_record(&key, digest, project, tenancy).map(|facts| FoundKey { key, facts, first_used_at }))
}

/// A key whose project cannot be found may not be used.
fn project_status(name: &str, parent: Option<RawRecord>) -> Result<Status> {
    let Some(owner) = parent else { return Ok(Status::Inactive) };
    let (record, _): (Record, _) = schema::decode(name, &owner.image.public, Some(&owner.image.private))?;
    Ok(as_project(record).map_or(Status::Inactive, |project| project.status))
}
