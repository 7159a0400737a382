//! The invalidation stream on Redis. Gateways read it without a script, each change with one command.

use std::time::Duration;

use gatepost_domain::change::{Invalidation, Propagation};
use gatepost_domain::id::EventId;
use gatepost_domain::record::Status;
use gatepost_domain::time::Version;
use redis::Value;
use redis::streams::{StreamId, StreamReadReply};

use crate::error::{Result, StoreErrorKind};
use crate::ops::{CursorState, FeedCheck, FeedCursor, InvalidationBatch, InvalidationEntry};
use crate::options::{COMMIT_TIMEOUT, MAX_FEED_WAIT};
use crate::record_format::{decode_invalidation, format_version, parse_version};

use super::client::{Arguments, Redis};
use super::reply::Reply;
use super::scripts;

/// Field of an entry; see `invalidations.lua` for its content.
const FIELD: &str = "p";

/// An entry and the one before it, if it is readable.
struct LinkedEntry {
    previous: Option<FeedCursor>,
    entry: InvalidationEntry,
}

impl Redis {
    /// Reads entries after a cursor. Waits up to `wait` (at most 2 s) for the first.
    pub(crate) async fn invalidations(
        &self,
        cursor: FeedCursor,
        limit: u32,
        wait: Duration,
    ) -> Result<InvalidationBatch> {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(limit);
        let wait = wait.min(MAX_FEED_WAIT);
        if !wait.is_zero() {
            command.arg("BLOCK").arg(wait.as_millis().max(1).to_string());
        }
        let stream = format!("{{{}}}:invalidations", self.inner.namespace);
        command.arg("STREAMS").arg(stream).arg(format_version(cursor.version));
        let reply = self.inner.connections.run_blocking_command(&command, wait).await?;
        let linked = parse_stream(reply)?;
        if linked.first().and_then(|first| first.previous.as_ref()).is_some_and(|previous| *previous != cursor) {
            return self.check_invalidations(&cursor).await;
        }
        let entries: Vec<_> = linked.into_iter().map(|linked| linked.entry).collect();
        let end = entries.last().map_or(cursor, cursor_at);
        let cursor_check = FeedCheck { state: CursorState::Present, trimmed_through: Version::ZERO, end };
        Ok(InvalidationBatch { entries, cursor_check })
    }

    /// Checks a cursor that the next entry does not continue.
    async fn check_invalidations(&self, cursor: &FeedCursor) -> Result<InvalidationBatch> {
        let arguments = Arguments::default().bytes(format_version(cursor.version)).text(event_text(cursor));
        let mut reply = self.run_script(&scripts::CHECK_INVALIDATIONS, COMMIT_TIMEOUT, arguments).await?;
        let state = parse_state(&reply.next::<String>()?)?;
        let cursor_check = FeedCheck { state, trimmed_through: Version::ZERO, end: read_end(&mut reply)? };
        Ok(InvalidationBatch { entries: Vec::new(), cursor_check })
    }
}

/// Returns the event at a cursor as the scripts expect it.
pub(super) fn event_text(cursor: &FeedCursor) -> &str {
    cursor.event.as_ref().map_or("", EventId::as_str)
}

pub(super) fn parse_state(text: &str) -> Result<CursorState> {
    match text {
        "present" => Ok(CursorState::Present),
        "trimmed" => Ok(CursorState::Trimmed),
        "foreign" => Ok(CursorState::Diverged),
        other => Err(StoreErrorKind::Corrupt.with(format!("unexpected cursor state {other:?}"))),
    }
}

/// Reads the end of the stream that gateways should read: its name, position and event.
pub(super) fn read_end(reply: &mut Reply) -> Result<FeedCursor> {
    let stream: String = reply.next()?;
    let (version, event) = (reply.version()?, parse_event(&reply.next::<String>()?));
    match stream.as_str() {
        "changes" => Ok(FeedCursor::in_changes(version, event)),
        "invalidations" => Ok(FeedCursor::in_invalidations(version, event)),
        other => Err(StoreErrorKind::Corrupt.with(format!("unexpected stream {other:?}"))),
    }
}

fn parse_stream(reply: Value) -> Result<Vec<LinkedEntry>> {
    let reply: Option<StreamReadReply> =
        redis::from_redis_value(reply).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    let streams = reply.map(|reply| reply.keys).unwrap_or_default();
    streams.into_iter().flat_map(|stream| stream.ids).map(parse_entry).collect()
}

fn parse_entry(stored: StreamId) -> Result<LinkedEntry> {
    let version = parse_version(&stored.id)?;
    let packed: Option<Vec<u8>> = stored.get(FIELD);
    Ok(packed.and_then(|packed| decode(version, &packed)).unwrap_or_else(|| undecodable(version)))
}

/// Returns what an entry invalidates that cannot be decoded: everything.
fn undecodable(version: Version) -> LinkedEntry {
    let (invalidation, propagation) = (Invalidation::All, Propagation::Fenced);
    let entry = InvalidationEntry { version, event: None, invalidation, propagation, status: None };
    LinkedEntry { previous: None, entry }
}

fn decode(version: Version, packed: &[u8]) -> Option<LinkedEntry> {
    let end_of_head = packed.iter().position(|byte| *byte == b'\n')?;
    let (head, data) = (std::str::from_utf8(&packed[..end_of_head]).ok()?, &packed[end_of_head + 1..]);
    let mut parts = head.split(' ');
    let mut part = || parts.next();
    let previous = Some(FeedCursor::in_invalidations(parse_version(part()?).ok()?, parse_event(part()?)));
    let event = parse_event(part()?);
    let propagation = if part()? == "1" { Propagation::Fenced } else { Propagation::Relaxed };
    let status = match part()? {
        "1" => Some(Status::Active),
        "0" => Some(Status::Inactive),
        _ => None,
    };
    let invalidation = decode_invalidation(part()?, data).unwrap_or(Invalidation::All);
    // The script has it of every record.
    let status = status.filter(|_| matches!(invalidation, Invalidation::Digests(_) | Invalidation::Project(_)));
    Some(LinkedEntry { previous, entry: InvalidationEntry { version, event, invalidation, propagation, status } })
}

fn parse_event(text: &str) -> Option<EventId> {
    EventId::parse(text).ok()
}

fn cursor_at(entry: &InvalidationEntry) -> FeedCursor {
    FeedCursor::in_invalidations(entry.version, entry.event.clone())
}
