//! Look-ups, claims, feed and heartbeats on Redis.

use std::collections::HashMap;
use std::time::Duration;

use gatepost_domain::change::{Action, Fence, Scope};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{EventId, GatewayId};
use gatepost_domain::time::Version;
use redis::Value;
use tokio::time::Instant;

use crate::act::{
    Beat, Claim, CursorState, Heartbeat, Judged, KnownGateway, RawClaim, RawEntry, RawFeed, RawLookup, RecordName,
    Told, Undecodable,
};
use crate::change::{accounts_index, checksum};
use crate::error::{Result, StoreErrorKind};
use crate::options::{CLAIM_DEADLINE, COMMIT_DEADLINE, HEARTBEAT_DEADLINE, LOOKUP_DEADLINE, MAX_FEED_WAIT};
use crate::packed::{parse_scope, parse_version, unpack, version_text};

use super::answer::Answer;
use super::link::RunId;
use super::{Arguments, Redis, scripts};

/// The format of entries that this version writes.
const FORMAT: &[u8] = b"1";

/// An entry as Redis answers it: id and fields.
type StoredEntry = (String, HashMap<String, Vec<u8>>);

impl Redis {
    pub(crate) async fn lookup(&self, digest: Digest) -> Result<RawLookup> {
        let arguments = Arguments::default().bytes(digest.as_bytes().to_vec()).bytes(accounts_index().0);
        let mut answer = self.act(&scripts::LOOKUP, LOOKUP_DEADLINE, arguments).await?;
        let (as_of, accounts) = (answer.version()?, answer.next()?);
        let name: Option<String> = answer.next()?;
        let Some(name) = name else { return Ok(RawLookup { as_of, accounts, found: None }) };
        let record = answer.record()?;
        let owner: Option<Vec<u8>> = answer.next()?;
        let owner = owner.map(|bytes| unpack(&bytes, None)).transpose()?;
        Ok(RawLookup { as_of, accounts, found: record.map(|record| (RecordName(name), record, owner)) })
    }

    pub(crate) async fn claim_first_use(&self, claim: RawClaim) -> Result<Claim> {
        let (answer, run) = self.claim(&claim).await?;
        let version = match answer {
            Claim::Won(version) => Some(version),
            Claim::Already(_) => None,
            Claim::NotActive => return Ok(answer),
        };
        self.inner.remembered.claim(claim, version);
        self.acknowledged_by(&run);
        Ok(answer)
    }

    /// Claims without remembering it, and tells which run has done so.
    pub(super) async fn claim(&self, claim: &RawClaim) -> Result<(Claim, RunId)> {
        let until = Instant::now() + CLAIM_DEADLINE;
        let arguments = Arguments::default()
            .text(claim.key.as_str())
            .bytes(claim.digest.as_bytes().to_vec())
            .text(claim.event.as_str())
            .text(Action::ApiKeyFirstUsed.as_str())
            .bytes(claim.head.clone());
        let mut answer = self.act(&scripts::CLAIM_FIRST_USE, CLAIM_DEADLINE, arguments).await?;
        let claimed = match answer.word.as_str() {
            "won" => Claim::Won(answer.version()?),
            "already" => Claim::Already(answer.moment()?),
            "not-active" => return Ok((Claim::NotActive, answer.run)),
            _ => return answer.unknown(),
        };
        self.inner.connections.confirm(&answer.run, until).await?;
        Ok((claimed, answer.run))
    }

    /// Blocks on a connection of its own until there is more, then reads under the store's id.
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
        command.arg("STREAMS").arg(format!("{{{}}}:stream", self.inner.namespace)).arg(version_text(cursor));
        let has_more = self.inner.connections.blocking(&command, wait).await? != Value::Nil;
        if has_more { self.read_feed(cursor, event.as_ref(), limit).await } else { Ok(feed) }
    }

    async fn read_feed(&self, cursor: Version, event: Option<&EventId>, limit: u32) -> Result<RawFeed> {
        let event = event.map_or("", EventId::as_str);
        let arguments = Arguments::default().bytes(version_text(cursor)).text(event).number(limit);
        let mut answer = self.act(&scripts::FEED, COMMIT_DEADLINE, arguments).await?;
        let cursor = judged(&mut answer)?;
        let stored: Vec<StoredEntry> = answer.next()?;
        Ok(RawFeed { cursor, entries: stored.into_iter().map(entry).collect::<Result<_>>()? })
    }

    pub(crate) async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Beat> {
        let until = Instant::now() + HEARTBEAT_DEADLINE;
        let arguments = Arguments::default()
            .text(heartbeat.gateway.as_str())
            .bytes(version_text(heartbeat.cursor))
            .text(heartbeat.cursor_event.as_ref().map_or("", EventId::as_str))
            .ms(heartbeat.refuses_within)
            .bytes(accounts_index().0);
        let mut answer = self.act(&scripts::HEARTBEAT, HEARTBEAT_DEADLINE, arguments).await?;
        // A master that has lost its replicas may have been replaced: it must keep nobody live.
        self.inner.connections.confirm(&answer.run, until).await?;
        Ok(Beat {
            cursor: judged(&mut answer)?,
            accounts: answer.next()?,
            checksum: checksum(answer.next::<u64>()? > 0),
        })
    }

    pub(crate) async fn confirm(&self, version: Version, event: EventId) -> Result<Judged> {
        let until = Instant::now() + COMMIT_DEADLINE;
        let mut answer = self.read_cursor(version, Some(&event)).await?;
        self.inner.connections.confirm(&answer.run, until).await?;
        judged(&mut answer)
    }

    pub(crate) async fn judge_cursor(&self, cursor: Version, event: Option<EventId>) -> Result<Judged> {
        judged(&mut self.read_cursor(cursor, event.as_ref()).await?)
    }

    async fn read_cursor(&self, cursor: Version, event: Option<&EventId>) -> Result<Answer> {
        let arguments = Arguments::default().bytes(version_text(cursor)).text(event.map_or("", EventId::as_str));
        self.act(&scripts::JUDGE_CURSOR, COMMIT_DEADLINE, arguments).await
    }

    pub(crate) async fn sign_off(&self, gateway: GatewayId) -> Result<()> {
        let arguments = Arguments::default().text(gateway.as_str());
        self.act(&scripts::SIGN_OFF, COMMIT_DEADLINE, arguments).await.map(drop)
    }

    pub(crate) async fn gateways(&self) -> Result<Vec<KnownGateway>> {
        let mut answer = self.act(&scripts::GATEWAYS, COMMIT_DEADLINE, Arguments::default()).await?;
        let mut gateways = Vec::new();
        while !answer.is_empty() {
            let id: String = answer.next()?;
            let id = GatewayId::parse(&id).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
            let (cursor, refuses_at) = (answer.version()?, answer.moment()?);
            gateways.push(KnownGateway { id, cursor, refuses_at, reads: answer.next()? });
        }
        Ok(gateways)
    }

    pub(crate) async fn last_position(&self) -> Result<Version> {
        self.position("last").await
    }

    pub(super) async fn position(&self, field: &str) -> Result<Version> {
        let mut answer = self.act(&scripts::POSITION, COMMIT_DEADLINE, Arguments::default().text(field)).await?;
        answer.version()
    }
}

/// A fence flag as it stands in the stream.
pub(super) fn fence_text(fence: Fence) -> &'static str {
    match fence {
        Fence::Up => "1",
        Fence::Down => "0",
    }
}

fn judged(answer: &mut Answer) -> Result<Judged> {
    let state = match answer.next::<String>()?.as_str() {
        "present" => CursorState::Present,
        "trimmed" => CursorState::Trimmed,
        "foreign" => CursorState::Foreign,
        other => return Err(StoreErrorKind::Corrupt.with(format!("a cursor is {other:?}"))),
    };
    Ok(Judged { state, last: answer.version()?, trimmed_through: answer.version()? })
}

fn entry((id, mut fields): StoredEntry) -> Result<RawEntry> {
    let text = |name: &str| fields.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let event = text("e").and_then(|event| EventId::parse(event).ok());
    let scope = text("s").zip(fields.get("d")).and_then(|(kind, data)| parse_scope(kind, data));
    let action = text("a").and_then(Action::parse);
    let fence = if text("f") == Some("1") { Fence::Up } else { Fence::Down };
    let reason = if fields.get("v").map(Vec::as_slice) != Some(FORMAT) {
        Some("the entry has another format than this program reads")
    } else if scope.is_none() {
        Some("its scope cannot be read")
    } else if action.is_none() {
        Some("its action is not known")
    } else {
        None
    };
    let told = match (reason, scope, action) {
        (None, Some(scope), Some(action)) => Ok(Told {
            action,
            scope,
            fence,
            head: fields.remove("h").unwrap_or_default(),
            image: fields.remove("i").unwrap_or_default(),
        }),
        (reason, scope, _) => Err(Undecodable {
            scope: scope.unwrap_or(Scope::All),
            bytes: joined(&fields),
            reason: reason.unwrap_or("it cannot be read").to_owned(),
        }),
    };
    Ok(RawEntry { version: parse_version(&id)?, event, told })
}

/// All fields of an entry, one line each, for the quarantine.
fn joined(fields: &HashMap<String, Vec<u8>>) -> Vec<u8> {
    let mut names: Vec<&String> = fields.keys().collect();
    names.sort_unstable();
    let lines = names.into_iter().map(|name| [name.as_bytes(), b"=", &fields[name]].concat());
    lines.collect::<Vec<_>>().join(&b'\n')
}
