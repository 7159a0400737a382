//! Store operations of gateways: lookups, first-use claims, reading the feed, heartbeats.

use std::net::IpAddr;

use gatepost_domain::digest::Digest;
use gatepost_domain::id::{EventId, GatewayId};
use gatepost_domain::key_facts::{KeyFacts, Tenancy};
use gatepost_domain::record::{Actor, ApiKey, Record, Status};
use gatepost_domain::time::{Timestamp, Version};

use crate::audit_entry;
use crate::cell_store::CellStore;
use crate::error::Result;
use crate::ops::{
    CursorCheck, FirstUseOutcome, Heartbeat, HeartbeatReply, RawFirstUseClaim, RawLookup, RawRecord, RegisteredGateway,
};
use crate::records::{as_api_key, as_project};
use crate::schema;

/// Result of a lookup.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// Last stream position at the time of the lookup. The result is fresh for a request whose invalidation watermarks
    /// are not above it.
    pub as_of: Version,
    /// The key; `None` if no API key has this value.
    pub found: Option<FoundKey>,
}

/// A key found by a lookup.
#[derive(Debug, Clone)]
pub struct FoundKey {
    /// Record of the key.
    pub key: ApiKey,
    /// The facts needed for the authorization decision and the upstream headers.
    pub facts: KeyFacts,
    /// Time of the key's first use.
    pub first_used_at: Option<Timestamp>,
}

impl CellStore {
    /// Looks up the key with this digest, in one round trip. Deadline 1 s.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn lookup(&self, digest: &Digest) -> Result<Lookup> {
        let raw = self.backend.lookup(*digest).await?;
        let as_of = raw.as_of;
        Ok(Lookup { as_of, found: found_key(raw, digest)? })
    }

    /// Claims the first use of a key, with the presented value and the client's address. Deadline 500 ms. A retry is
    /// safe: the event id is derived from the key, so there is one event per key.
    ///
    /// # Errors
    ///
    /// Those of a confirmed write, see [`CellStore`].
    pub async fn claim_first_use(
        &self,
        facts: &KeyFacts,
        digest: &Digest,
        client_ip: Option<IpAddr>,
    ) -> Result<FirstUseOutcome> {
        let actor = Actor::Key(facts.key.clone());
        let metadata = audit_entry::encode_first_use_metadata(
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

    /// Registers a gateway or renews its lease. Deadline 2 s: a later reply does not renew the lease.
    ///
    /// # Errors
    ///
    /// Those of a confirmed write, see [`CellStore`].
    pub async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        self.backend.heartbeat(heartbeat).await
    }

    /// Removes a gateway after its last request.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`].
    pub async fn deregister_gateway(&self, gateway: &GatewayId) -> Result<()> {
        self.backend.deregister_gateway(gateway.clone()).await
    }

    /// Returns the gateways that may still serve from their caches.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`]: on Redis, expired gateways are removed.
    pub async fn gateways(&self) -> Result<Vec<RegisteredGateway>> {
        self.backend.gateways().await
    }

    /// Returns the last position of the stream.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn last_position(&self) -> Result<Version> {
        self.backend.last_position().await
    }

    /// Checks whether an acknowledged change is still present, and waits until the required replicas have it. For a
    /// retried request that has nothing left to write.
    ///
    /// # Errors
    ///
    /// Those of a confirmed write, see [`CellStore`].
    pub async fn confirm(&self, version: Version, event: &EventId) -> Result<CursorCheck> {
        self.backend.confirm(version, event.clone()).await
    }

    /// Checks whether the entry at a cursor is still present, with the same event id if one is given. After a feed
    /// read, it shows whether the new entries continue those read before.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
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

/// Returns the status of a key's project. A key whose project does not exist is inactive.
fn project_status(name: &str, parent: Option<RawRecord>) -> Result<Status> {
    let Some(parent) = parent else { return Ok(Status::Inactive) };
    let (record, _): (Record, _) = schema::decode(name, &parent.image.public, Some(&parent.image.private))?;
    Ok(as_project(record).map_or(Status::Inactive, |project| project.status))
}
