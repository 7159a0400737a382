//! Lookups, first-use claims, feed and heartbeats on Redis.

use std::collections::HashMap;
use std::time::Duration;

use gatepost_domain::change::{Action, Invalidation, Propagation};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{EventId, GatewayId};
use gatepost_domain::time::{Timestamp, Version};
use redis::Value;
use tokio::time::Instant;

use crate::error::{Result, StoreErrorKind};
use crate::index::accounts_index;
use crate::ops::{
    CursorCheck, EntryPayload, FeedCheck, FeedCursor, FeedStream, FirstUseOutcome, GatewayLabel, Heartbeat,
    HeartbeatReply, RawEntry, RawFeed, RawFirstUseClaim, RawLookup, RecordName, RegisteredGateway, Undecodable,
};
use crate::options::{CLAIM_TIMEOUT, COMMIT_TIMEOUT, HEARTBEAT_TIMEOUT, LOOKUP_TIMEOUT, MAX_FEED_WAIT};
use crate::record_format::{decode_invalidation, decode_record, format_version, parse_version};
use crate::store_header::checksum_mode;

use super::client::{Arguments, Redis};
use super::invalidations::{event_text, parse_state, read_end};
use super::master_connection::RunId;
use super::reply::Reply;
use super::scripts;

/// Format number of the stream entries that this version writes.
const ENTRY_FORMAT: &[u8] = b"1";

/// An entry as Redis returns it: id and fields.
type StoredEntry = (String, HashMap<String, Vec<u8>>);

impl Redis {
    pub(crate) async fn lookup(&self, digest: Digest) -> Result<RawLookup> {
        let arguments = Arguments::default().bytes(digest.as_bytes().to_vec()).bytes(accounts_index().0);
        let mut reply = self.run_script(&scripts::LOOKUP, LOOKUP_TIMEOUT, arguments).await?;
        let (as_of, accounts) = (reply.version()?, reply.next()?);
        let name: Option<String> = reply.next()?;
        let Some(name) = name else { return Ok(RawLookup { as_of, accounts, found: None }) };
        let record = reply.record()?;
        let parent: Option<Vec<u8>> = reply.next()?;
        let parent = parent.map(|bytes| decode_record(&bytes, None)).transpose()?;
        Ok(RawLookup { as_of, accounts, found: record.map(|record| (RecordName(name), record, parent)) })
    }

    pub(crate) async fn claim_first_use(&self, claim: RawFirstUseClaim) -> Result<FirstUseOutcome> {
        let (outcome, run) = self.claim_unlogged(&claim).await?;
        let version = match outcome {
            FirstUseOutcome::Won(version) => Some(version),
            FirstUseOutcome::AlreadyUsed(_) => None,
            FirstUseOutcome::NotActive => return Ok(outcome),
        };
        self.inner.unreplicated_log.record_claim(claim, version);
        self.replay_unless_master(&run);
        Ok(outcome)
    }

    /// Claims without logging the claim. Also returns the run that executed it.
    pub(super) async fn claim_unlogged(&self, claim: &RawFirstUseClaim) -> Result<(FirstUseOutcome, RunId)> {
        let until = Instant::now() + CLAIM_TIMEOUT;
        let arguments = Arguments::default()
            .text(claim.key.as_str())
            .bytes(claim.digest.as_bytes().to_vec())
            .text(claim.event.as_str())
            .text(Action::ApiKeyFirstUsed.as_str())
            .bytes(claim.metadata.clone());
        let mut reply = self.run_script(&scripts::CLAIM_FIRST_USE, CLAIM_TIMEOUT, arguments).await?;
        let outcome = match reply.status.as_str() {
            "won" => FirstUseOutcome::Won(reply.version()?),
            "already" => FirstUseOutcome::AlreadyUsed(reply.timestamp()?),
            "not-active" => return Ok((FirstUseOutcome::NotActive, reply.run)),
            _ => return reply.unexpected_status(),
        };
        self.inner.connections.confirm(&reply.run, until).await?;
        Ok((outcome, reply.run))
    }

    /// Blocks on a connection of its own until there are new entries, then reads them with a script, which checks the
    /// store id.
    pub(crate) async fn feed(
        &self,
        cursor: Version,
        event: Option<EventId>,
        limit: u32,
        wait: Duration,
    ) -> Result<RawFeed> {
        let feed = self.read_feed(cursor, event.as_ref(), limit).await?;
        if !feed.entries.is_empty() || wait.is_zero() {
            return Ok(feed);
        }
        let wait = wait.min(MAX_FEED_WAIT);
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(1).arg("BLOCK").arg(wait.as_millis().max(1).to_string());
        command.arg("STREAMS").arg(format!("{{{}}}:stream", self.inner.namespace)).arg(format_version(cursor));
        let has_more = self.inner.connections.run_blocking_command(&command, wait).await? != Value::Nil;
        if has_more { self.read_feed(cursor, event.as_ref(), limit).await } else { Ok(feed) }
    }

    async fn read_feed(&self, cursor: Version, event: Option<&EventId>, limit: u32) -> Result<RawFeed> {
        let event = event.map_or("", EventId::as_str);
        let arguments = Arguments::default().bytes(format_version(cursor)).text(event).number(limit);
        read_entries(self.run_script(&scripts::FEED, COMMIT_TIMEOUT, arguments).await?)
    }

    pub(crate) async fn feed_backwards(&self, cursor: Version, limit: u32) -> Result<RawFeed> {
        let arguments = Arguments::default().bytes(format_version(cursor)).number(limit);
        read_entries(self.run_script(&scripts::FEED_BACKWARDS, COMMIT_TIMEOUT, arguments).await?)
    }

    pub(crate) async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply> {
        let until = Instant::now() + HEARTBEAT_TIMEOUT;
        let stream = match heartbeat.cursor.stream {
            FeedStream::Changes => "changes",
            FeedStream::Invalidations => "invalidations",
        };
        let arguments = Arguments::default()
            .text(heartbeat.gateway.as_str())
            .text(stream)
            .bytes(format_version(heartbeat.cursor.version))
            .text(event_text(&heartbeat.cursor))
            .ms(heartbeat.valid_for)
            .bytes(accounts_index().0)
            .text(&heartbeat.label.version)
            .text(&heartbeat.label.name);
        let mut reply = self.run_script(&scripts::HEARTBEAT, HEARTBEAT_TIMEOUT, arguments).await?;
        // A master without its replicas may have been replaced: it must not renew any lease.
        self.inner.connections.confirm(&reply.run, until).await?;
        let (state, trimmed_through) = (parse_state(&reply.next::<String>()?)?, reply.version()?);
        Ok(HeartbeatReply {
            cursor_check: FeedCheck { state, trimmed_through, end: read_end(&mut reply)? },
            accounts: reply.next()?,
            checksum: checksum_mode(reply.next::<u64>()? > 0),
            gateways: reply.next()?,
        })
    }

    pub(crate) async fn confirm(&self, version: Version, event: EventId) -> Result<CursorCheck> {
        let until = Instant::now() + COMMIT_TIMEOUT;
        let mut reply = self.fetch_cursor_status(version, Some(&event)).await?;
        self.inner.connections.confirm(&reply.run, until).await?;
        read_cursor_status(&mut reply)
    }

    pub(crate) async fn check_cursor(&self, cursor: Version, event: Option<EventId>) -> Result<CursorCheck> {
        read_cursor_status(&mut self.fetch_cursor_status(cursor, event.as_ref()).await?)
    }

    async fn fetch_cursor_status(&self, cursor: Version, event: Option<&EventId>) -> Result<Reply> {
        let arguments = Arguments::default().bytes(format_version(cursor)).text(event.map_or("", EventId::as_str));
        self.run_script(&scripts::CHECK_CURSOR, COMMIT_TIMEOUT, arguments).await
    }

    pub(crate) async fn deregister_gateway(&self, gateway: GatewayId) -> Result<()> {
        let arguments = Arguments::default().text(gateway.as_str());
        self.run_script(&scripts::SIGN_OFF, COMMIT_TIMEOUT, arguments).await.map(drop)
    }

    pub(crate) async fn gateways(&self) -> Result<Vec<RegisteredGateway>> {
        let mut reply = self.run_script(&scripts::GATEWAYS, COMMIT_TIMEOUT, Arguments::default()).await?;
        let mut gateways = Vec::new();
        while !reply.is_empty() {
            let id: String = reply.next()?;
            let id = GatewayId::parse(&id).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
            let (cursor, lease_expires_at) = (reply.version()?, reply.timestamp()?);
            let max_format = reply.next()?;
            let (label, last_heartbeat_at) = parse_gateway_info(&reply.next::<String>()?).unzip();
            gateways.push(RegisteredGateway { id, cursor, lease_expires_at, max_format, label, last_heartbeat_at });
        }
        Ok(gateways)
    }

    pub(crate) async fn last_position(&self) -> Result<Version> {
        self.position("last").await
    }

    pub(super) async fn position(&self, field: &str) -> Result<Version> {
        let mut reply = self.run_script(&scripts::POSITION, COMMIT_TIMEOUT, Arguments::default().text(field)).await?;
        reply.version()
    }
}

/// Parses `last_heartbeat_ms version name`; `None` for a gateway that sends neither.
fn parse_gateway_info(text: &str) -> Option<(GatewayLabel, Timestamp)> {
    let mut parts = text.splitn(3, ' ');
    let last_heartbeat_ms = parts.next()?.parse().ok()?;
    let label = GatewayLabel { version: parts.next()?.to_owned(), name: parts.next()?.to_owned() };
    Some((label, Timestamp::from_ms(last_heartbeat_ms)))
}

/// Encodes a propagation as the flag stored in the stream.
pub(super) fn propagation_text(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Fenced => "1",
        Propagation::Relaxed => "0",
    }
}

fn read_cursor_status(reply: &mut Reply) -> Result<CursorCheck> {
    let state = parse_state(&reply.next::<String>()?)?;
    Ok(CursorCheck { state, last: reply.version()?, trimmed_through: reply.version()? })
}

fn read_entries(mut reply: Reply) -> Result<RawFeed> {
    let cursor_check = read_cursor_status(&mut reply)?;
    let stored_entries: Vec<StoredEntry> = reply.next()?;
    let entries = stored_entries.into_iter().map(parse_entry).collect::<Result<_>>()?;
    let end = if reply.is_empty() { FeedCursor::in_changes(cursor_check.last, None) } else { read_end(&mut reply)? };
    Ok(RawFeed { cursor_check, entries, end })
}

fn parse_entry((id, mut fields): StoredEntry) -> Result<RawEntry> {
    let text = |name: &str| fields.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let event = text("e").and_then(|event| EventId::parse(event).ok());
    let invalidation = text("s").zip(fields.get("d")).and_then(|(kind, data)| decode_invalidation(kind, data));
    let action = text("a").and_then(Action::parse);
    let propagation = if text("f") == Some("1") { Propagation::Fenced } else { Propagation::Relaxed };
    let reason = if fields.get("v").map(Vec::as_slice) != Some(ENTRY_FORMAT) {
        Some("the entry has a format that this program cannot read")
    } else if invalidation.is_none() {
        Some("its invalidation cannot be decoded")
    } else if action.is_none() {
        Some("its action is unknown")
    } else {
        None
    };
    let payload = match (reason, invalidation, action) {
        (None, Some(scope), Some(action)) => Ok(EntryPayload {
            action,
            invalidation: scope,
            propagation,
            metadata: fields.remove("h").unwrap_or_default(),
            image: fields.remove("i").unwrap_or_default(),
        }),
        (reason, scope, _) => Err(Undecodable {
            invalidation: scope.unwrap_or(Invalidation::All),
            bytes: join_fields(&fields),
            reason: reason.unwrap_or("it cannot be decoded").to_owned(),
        }),
    };
    Ok(RawEntry { version: parse_version(&id)?, event, payload })
}

/// Joins all fields of an entry, one line each, for the quarantine.
fn join_fields(fields: &HashMap<String, Vec<u8>>) -> Vec<u8> {
    let mut names: Vec<&String> = fields.keys().collect();
    names.sort_unstable();
    let lines = names.into_iter().map(|name| [name.as_bytes(), b"=", &fields[name]].concat());
    lines.collect::<Vec<_>>().join(&b'\n')
}
