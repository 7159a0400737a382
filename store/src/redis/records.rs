//! Records on Redis.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::AccountId;
use gatepost_domain::time::Version;
use tokio::time::Instant;

use crate::account_resources::AccountResource;
use crate::error::{Result, StoreErrorKind};
use crate::format::LaterFormat;
use crate::index::TIMESTAMP_DIGITS;
use crate::ops::{
    DisablesChecksum, ExpectedResponse, IndexName, RawCommit, RawCommitOutcome, RawRecord, RawResponseSwap, RawWrite,
    RecordName, SortOrder, SwapOutcome, Urgency,
};
use crate::options::COMMIT_TIMEOUT;
use crate::record_format::{encode_record_body, format_version};

use super::client::{Arguments, Redis};
use super::gateway_ops::propagation_text;
use super::master_connection::RunId;
use super::reply::Reply;
use super::scripts;

impl Redis {
    pub(crate) async fn commit(&self, commit: RawCommit) -> Result<std::result::Result<RawCommitOutcome, LaterFormat>> {
        let (commit, until) = (Arc::new(commit), Instant::now() + COMMIT_TIMEOUT);
        if commit.urgency == Urgency::Revocation {
            self.inner.unreplicated_log.record_intent(Arc::clone(&commit));
        }
        let (outcome, run) = self.write_unlogged(&commit).await?;
        match &outcome {
            Ok(RawCommitOutcome::Committed(version) | RawCommitOutcome::AlreadyCommitted(version)) => {
                self.acknowledge(commit, *version, &run, until).await?;
            }
            Ok(
                RawCommitOutcome::VersionConflict
                | RawCommitOutcome::DigestTaken
                | RawCommitOutcome::StreamFull
                | RawCommitOutcome::AccountLimitExceeded(..),
            )
            | Err(LaterFormat(_)) => {
                self.inner.unreplicated_log.forget_intent(&commit.event);
            }
        }
        Ok(outcome)
    }

    /// Commits without waiting for replicas. Also returns the run that executed it.
    pub(super) async fn write_unlogged(
        &self,
        commit: &RawCommit,
    ) -> Result<(std::result::Result<RawCommitOutcome, LaterFormat>, RunId)> {
        let (script, max_undelivered) = match commit.urgency {
            Urgency::Ordinary => (&scripts::COMMIT, self.inner.max_entries.to_string()),
            Urgency::Revocation => (&scripts::COMMIT_URGENT, String::new()),
        };
        let mut reply = self.run_script(script, COMMIT_TIMEOUT, commit_arguments(commit, &max_undelivered)).await?;
        let outcome = match reply.status.as_str() {
            "committed" => RawCommitOutcome::Committed(reply.version()?),
            "repeated" => RawCommitOutcome::AlreadyCommitted(reply.version()?),
            "stale" => RawCommitOutcome::VersionConflict,
            "digest-taken" => RawCommitOutcome::DigestTaken,
            "stream-full" => RawCommitOutcome::StreamFull,
            "over-bound" => parse_over_bound(&mut reply)?,
            "later-format" => return Ok((Err(LaterFormat(reply.next()?)), reply.run)),
            _ => return reply.unexpected_status(),
        };
        Ok((Ok(outcome), reply.run))
    }

    /// Logs a commit and waits until it may be acknowledged. A revocation is logged before the wait: once it is
    /// applied, a retried request only checks that it is present.
    async fn acknowledge(&self, commit: Arc<RawCommit>, version: Version, run: &RunId, until: Instant) -> Result<()> {
        if commit.urgency == Urgency::Revocation {
            self.inner.unreplicated_log.record_commit(Arc::clone(&commit), version);
            self.replay_unless_master(run);
        }
        self.inner.connections.confirm(run, until).await?;
        if commit.urgency == Urgency::Ordinary {
            self.inner.unreplicated_log.record_commit(commit, version);
        }
        self.replay_unless_master(run);
        Ok(())
    }

    pub(crate) async fn records(&self, names: Vec<RecordName>) -> Result<Vec<Option<RawRecord>>> {
        let count = names.len();
        let arguments = names.into_iter().fold(Arguments::default(), |arguments, name| arguments.bytes(name.0));
        let mut reply = self.run_script(&scripts::RECORDS, COMMIT_TIMEOUT, arguments).await?;
        (0..count).map(|_| reply.record()).collect()
    }

    pub(crate) async fn stored_response(&self, name: String) -> Result<Option<Vec<u8>>> {
        self.run_script(&scripts::STORED_RESPONSE, COMMIT_TIMEOUT, Arguments::default().bytes(name)).await?.next()
    }

    pub(crate) async fn swap_response(&self, swap: RawResponseSwap) -> Result<SwapOutcome> {
        let until = Instant::now() + COMMIT_TIMEOUT;
        let (expect, bytes) = match swap.expected {
            ExpectedResponse::Any => ("any", Vec::new()),
            ExpectedResponse::Absent => ("nothing", Vec::new()),
            ExpectedResponse::Exactly(bytes) => ("same", bytes),
        };
        let (action, sealed, retention) = match swap.new {
            Some(response) => ("put", response.sealed, response.ttl),
            None => ("remove", Vec::new(), Duration::ZERO),
        };
        let arguments = Arguments::default().bytes(swap.name).text(expect).bytes(bytes);
        let arguments = arguments.text(action).bytes(sealed).ms(retention);
        let mut reply = self.run_script(&scripts::SWAP_STORED_RESPONSE, COMMIT_TIMEOUT, arguments).await?;
        self.inner.connections.confirm(&reply.run, until).await?;
        match reply.status.as_str() {
            "yes" => Ok(SwapOutcome::Swapped),
            "no" => Ok(SwapOutcome::Conflict(reply.next()?)),
            _ => reply.unexpected_status(),
        }
    }

    pub(crate) async fn list(
        &self,
        index: IndexName,
        order: SortOrder,
        after: String,
        limit: u32,
    ) -> Result<Vec<(String, RawRecord)>> {
        let order = match order {
            SortOrder::OldestFirst => "oldest-first",
            SortOrder::NewestFirst => "newest-first",
        };
        let arguments = Arguments::default().bytes(index.0).text(order).bytes(after);
        let arguments = arguments.number(limit).number(TIMESTAMP_DIGITS);
        let mut reply = self.run_script(&scripts::LIST, COMMIT_TIMEOUT, arguments).await?;
        let mut listed = Vec::new();
        while !reply.is_empty() {
            let member: String = reply.next()?;
            let record = reply.record()?;
            let record = record.ok_or_else(|| StoreErrorKind::Corrupt.with(format!("{member} has no record")))?;
            listed.push((member, record));
        }
        Ok(listed)
    }

    pub(crate) async fn count_listed(&self, index: IndexName, limit: u32) -> Result<u32> {
        let arguments = Arguments::default().bytes(index.0);
        let mut reply = self.run_script(&scripts::COUNT_LISTED, COMMIT_TIMEOUT, arguments).await?;
        let count: u64 = reply.next()?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX).min(limit))
    }
}

fn commit_arguments(commit: &RawCommit, max_undelivered: &str) -> Arguments {
    let (invalidation, invalidation_data) = crate::record_format::encode_invalidation(&commit.payload.invalidation);
    let mut arguments = Arguments::default()
        .text(commit.event.as_str())
        .text(max_undelivered)
        .bytes(commit.format.map(|format| format.to_string()).unwrap_or_default())
        .number(u64::from(commit.disables_checksum == DisablesChecksum::Yes))
        .bytes(commit.sealed.clone().unwrap_or_default())
        .text(commit.payload.action.as_str())
        .text(invalidation)
        .bytes(invalidation_data)
        .text(propagation_text(commit.payload.propagation))
        .bytes(commit.payload.metadata.clone())
        .bytes(commit.payload.image.clone())
        .text(commit.account.as_ref().map_or("", AccountId::as_str));
    for resource in AccountResource::ALL {
        let limit = commit.limits.and_then(|limits| limits.limit_of(resource));
        arguments = arguments.bytes(limit.map(|limit| limit.to_string()).unwrap_or_default());
    }
    arguments = arguments.number(commit.writes.len() as u64);
    for write in &commit.writes {
        arguments = write_arguments(arguments, commit, write);
    }
    arguments = arguments.number(commit.digests_set.len() as u64);
    for (digest, name) in &commit.digests_set {
        arguments = arguments.bytes(digest.as_bytes().to_vec()).text(&name.0);
    }
    arguments = arguments.number(commit.digests_drop.len() as u64);
    for digest in &commit.digests_drop {
        arguments = arguments.bytes(digest.as_bytes().to_vec());
    }
    for members in [&commit.index_set, &commit.index_drop] {
        arguments = arguments.number(members.len() as u64);
        for (index, member) in members {
            arguments = arguments.text(&index.0).text(member);
        }
    }
    arguments = arguments.number(commit.stored_responses.len() as u64);
    for response in &commit.stored_responses {
        arguments = arguments.text(&response.name).ms(response.ttl).bytes(response.sealed.clone());
    }
    arguments
}

fn parse_over_bound(reply: &mut Reply) -> Result<RawCommitOutcome> {
    let (resource, limit): (String, String) = (reply.next()?, reply.next()?);
    let parsed = AccountResource::parse(&resource).zip(limit.parse().ok());
    let (resource, limit) =
        parsed.ok_or_else(|| StoreErrorKind::Corrupt.with(format!("{resource} {limit} is not an account limit")))?;
    Ok(RawCommitOutcome::AccountLimitExceeded(resource, limit))
}

fn write_arguments(arguments: Arguments, commit: &RawCommit, write: &RawWrite) -> Arguments {
    arguments
        .text(&write.name.0)
        .bytes(write.expected_version.map(format_version).unwrap_or_default())
        .bytes(write.new.as_ref().map(|image| encode_record_body(&commit.event, image)).unwrap_or_default())
        .text(&write.index_entry.index.0)
        .text(&write.index_entry.member)
        .bytes(write.index_entry.delta.to_string())
}
