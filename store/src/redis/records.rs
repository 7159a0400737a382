//! Records on Redis.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::AccountId;
use gatepost_domain::time::Version;
use tokio::time::Instant;

use crate::act::{
    CommitAnswer, IndexName, Loosens, Order, RawCommit, RawRecord, RawSwap, RawWrite, RecordName, Standing, Swapped,
    Urgency,
};
use crate::change::MOMENT_DIGITS;
use crate::counts::AccountResource;
use crate::error::{Result, StoreErrorKind};
use crate::format::LaterFormat;
use crate::options::COMMIT_DEADLINE;
use crate::packed::{pack_image, version_text};

use super::answer::Answer;
use super::edge::fence_text;
use super::link::RunId;
use super::{Arguments, Redis, scripts};

impl Redis {
    pub(crate) async fn commit(&self, commit: RawCommit) -> Result<std::result::Result<CommitAnswer, LaterFormat>> {
        let (commit, until) = (Arc::new(commit), Instant::now() + COMMIT_DEADLINE);
        if commit.urgency == Urgency::ShutsOff {
            self.inner.remembered.intend(Arc::clone(&commit));
        }
        let (written, run) = self.write(&commit).await?;
        match &written {
            Ok(CommitAnswer::Committed(version) | CommitAnswer::Repeated(version)) => {
                self.acknowledge(commit, *version, &run, until).await?;
            }
            Ok(
                CommitAnswer::Stale
                | CommitAnswer::DigestTaken
                | CommitAnswer::StreamFull
                | CommitAnswer::OverBound(..),
            )
            | Err(LaterFormat(_)) => {
                self.inner.remembered.refused(&commit.event);
            }
        }
        Ok(written)
    }

    /// Commits without waiting for replicas, and tells which run has done so.
    pub(super) async fn write(
        &self,
        commit: &RawCommit,
    ) -> Result<(std::result::Result<CommitAnswer, LaterFormat>, RunId)> {
        let (script, max_waiting) = match commit.urgency {
            Urgency::Ordinary => (&scripts::COMMIT, self.inner.max_entries.to_string()),
            Urgency::ShutsOff => (&scripts::COMMIT_SHUTTING_OFF, String::new()),
        };
        let mut answer = self.act(script, COMMIT_DEADLINE, arguments(commit, &max_waiting)).await?;
        let ended = match answer.word.as_str() {
            "committed" => CommitAnswer::Committed(answer.version()?),
            "repeated" => CommitAnswer::Repeated(answer.version()?),
            "stale" => CommitAnswer::Stale,
            "digest-taken" => CommitAnswer::DigestTaken,
            "stream-full" => CommitAnswer::StreamFull,
            "over-bound" => over_bound(&mut answer)?,
            "later-format" => return Ok((Err(LaterFormat(answer.next()?)), answer.run)),
            _ => return answer.unknown(),
        };
        Ok((Ok(ended), answer.run))
    }

    /// Remembers a commit and waits until it may be acknowledged. What shuts something off is remembered before: once
    /// it stands, a repeated request only asks whether it does.
    async fn acknowledge(&self, commit: Arc<RawCommit>, version: Version, run: &RunId, until: Instant) -> Result<()> {
        if commit.urgency == Urgency::ShutsOff {
            self.inner.remembered.commit(Arc::clone(&commit), version);
            self.acknowledged_by(run);
        }
        self.inner.connections.confirm(run, until).await?;
        if commit.urgency == Urgency::Ordinary {
            self.inner.remembered.commit(commit, version);
        }
        self.acknowledged_by(run);
        Ok(())
    }

    pub(crate) async fn records(&self, names: Vec<RecordName>) -> Result<Vec<Option<RawRecord>>> {
        let count = names.len();
        let arguments = names.into_iter().fold(Arguments::default(), |arguments, name| arguments.bytes(name.0));
        let mut answer = self.act(&scripts::RECORDS, COMMIT_DEADLINE, arguments).await?;
        (0..count).map(|_| answer.record()).collect()
    }

    pub(crate) async fn receipt(&self, name: String) -> Result<Option<Vec<u8>>> {
        self.act(&scripts::RECEIPT, COMMIT_DEADLINE, Arguments::default().bytes(name)).await?.next()
    }

    pub(crate) async fn swap_receipt(&self, swap: RawSwap) -> Result<Swapped> {
        let until = Instant::now() + COMMIT_DEADLINE;
        let (expect, bytes) = match swap.expect {
            Standing::Any => ("any", Vec::new()),
            Standing::Nothing => ("nothing", Vec::new()),
            Standing::Same(bytes) => ("same", bytes),
        };
        let (what, sealed, kept) = match swap.new {
            Some(receipt) => ("put", receipt.sealed, receipt.kept),
            None => ("remove", Vec::new(), Duration::ZERO),
        };
        let arguments = Arguments::default().bytes(swap.name).text(expect).bytes(bytes);
        let arguments = arguments.text(what).bytes(sealed).ms(kept);
        let mut answer = self.act(&scripts::SWAP_RECEIPT, COMMIT_DEADLINE, arguments).await?;
        self.inner.connections.confirm(&answer.run, until).await?;
        match answer.word.as_str() {
            "yes" => Ok(Swapped::Yes),
            "no" => Ok(Swapped::No(answer.next()?)),
            _ => answer.unknown(),
        }
    }

    pub(crate) async fn list(
        &self,
        index: IndexName,
        order: Order,
        after: String,
        limit: u32,
    ) -> Result<Vec<(String, RawRecord)>> {
        let order = match order {
            Order::OldestFirst => "oldest-first",
            Order::NewestFirst => "newest-first",
        };
        let arguments = Arguments::default().bytes(index.0).text(order).bytes(after);
        let arguments = arguments.number(limit).number(MOMENT_DIGITS);
        let mut answer = self.act(&scripts::LIST, COMMIT_DEADLINE, arguments).await?;
        let mut listed = Vec::new();
        while !answer.is_empty() {
            let member: String = answer.next()?;
            let record = answer.record()?;
            let record = record.ok_or_else(|| StoreErrorKind::Corrupt.with(format!("{member} has no record")))?;
            listed.push((member, record));
        }
        Ok(listed)
    }
}

fn arguments(commit: &RawCommit, max_waiting: &str) -> Arguments {
    let (scope, scope_data) = crate::packed::scope_parts(&commit.told.scope);
    let mut arguments = Arguments::default()
        .text(commit.event.as_str())
        .text(max_waiting)
        .bytes(commit.format.map(|format| format.to_string()).unwrap_or_default())
        .number(u64::from(commit.loosens_checksum == Loosens::Yes))
        .bytes(commit.sealed.clone().unwrap_or_default())
        .text(commit.told.action.as_str())
        .text(scope)
        .bytes(scope_data)
        .text(fence_text(commit.told.fence))
        .bytes(commit.told.head.clone())
        .bytes(commit.told.image.clone())
        .text(commit.account.as_ref().map_or("", AccountId::as_str));
    for resource in AccountResource::ALL {
        let bound = commit.bounds.and_then(|bounds| bounds.of(resource));
        arguments = arguments.bytes(bound.map(|bound| bound.to_string()).unwrap_or_default());
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
    arguments = arguments.number(commit.receipts.len() as u64);
    for receipt in &commit.receipts {
        arguments = arguments.text(&receipt.name).ms(receipt.kept).bytes(receipt.sealed.clone());
    }
    arguments
}

fn over_bound(answer: &mut Answer) -> Result<CommitAnswer> {
    let (resource, bound): (String, String) = (answer.next()?, answer.next()?);
    let known = AccountResource::parse(&resource).zip(bound.parse().ok());
    let (known, bound) =
        known.ok_or_else(|| StoreErrorKind::Corrupt.with(format!("{resource} {bound} is no bound")))?;
    Ok(CommitAnswer::OverBound(known, bound))
}

fn write_arguments(arguments: Arguments, commit: &RawCommit, write: &RawWrite) -> Arguments {
    arguments
        .text(&write.name.0)
        .bytes(write.expect.map(version_text).unwrap_or_default())
        .bytes(write.new.as_ref().map(|image| pack_image(&commit.event, image)).unwrap_or_default())
        .text(&write.entry.index.0)
        .text(&write.entry.member)
        .bytes(write.entry.delta.to_string())
}
