//! Reading the queues on Redis, and trimming.

use std::time::Duration;

use gatepost_domain::id::WebhookId;
use gatepost_domain::time::{Timestamp, Version};

use crate::act::{DueWebhooks, QueueNumbers, RawDeadLetter, TrimRule, Trimmed};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::options::COMMIT_DEADLINE;
use crate::packed::parse_version;

use super::answer::Answer;
use super::queue::event;
use super::{Arguments, Redis, scripts};

impl Redis {
    pub(crate) async fn fan_out_cursor(&self) -> Result<Version> {
        self.position("fan-out").await
    }

    pub(crate) async fn due_webhooks(&self, skip: u32, limit: u32) -> Result<DueWebhooks> {
        let arguments = Arguments::default().number(skip).number(limit);
        let mut answer = self.act(&scripts::DUE_WEBHOOKS, COMMIT_DEADLINE, arguments).await?;
        let next_in_ms: Option<u64> = answer.next()?;
        let mut webhooks = Vec::new();
        while !answer.is_empty() {
            let text: String = answer.next()?;
            webhooks.push(WebhookId::parse(&text).map_err(|error| StoreErrorKind::Corrupt.with(error))?);
        }
        Ok(DueWebhooks { webhooks, next_in: next_in_ms.map(Duration::from_millis) })
    }

    pub(crate) async fn attempts(&self, webhook: WebhookId, limit: u32) -> Result<Vec<Vec<u8>>> {
        let arguments = Arguments::default().text(webhook.as_str()).number(limit);
        self.act(&scripts::ATTEMPTS, COMMIT_DEADLINE, arguments).await?.next()
    }

    pub(crate) async fn dead_letters(&self, webhook: WebhookId, limit: u32) -> Result<Vec<RawDeadLetter>> {
        let arguments = Arguments::default().text(webhook.as_str()).number(limit);
        let mut answer = self.act(&scripts::DEAD_LETTERS, COMMIT_DEADLINE, arguments).await?;
        let mut letters = Vec::new();
        while !answer.is_empty() {
            letters.push(dead_letter(&mut answer)?);
        }
        Ok(letters)
    }

    pub(crate) async fn quarantine(&self, limit: u32) -> Result<Vec<(Version, Vec<u8>, String)>> {
        let arguments = Arguments::default().number(limit);
        let stored: Vec<Vec<u8>> = self.act(&scripts::QUARANTINE, COMMIT_DEADLINE, arguments).await?.next()?;
        stored.iter().map(|bytes| quarantined(bytes).ok_or_else(unreadable)?).collect()
    }

    pub(crate) async fn queue_numbers(&self) -> Result<QueueNumbers> {
        let mut answer = self.act(&scripts::QUEUE_NUMBERS, COMMIT_DEADLINE, Arguments::default()).await?;
        Ok(QueueNumbers {
            pending: answer.next()?,
            leased: answer.next()?,
            dead: answer.next()?,
            quarantined: answer.next()?,
            oldest_due: answer.next().map(Duration::from_millis)?,
            not_fanned_out: answer.next()?,
            dead_dropped: answer.next()?,
        })
    }

    pub(crate) async fn trim(&self, rule: TrimRule) -> Result<Trimmed> {
        let arguments = Arguments::default()
            .ms(rule.max_age)
            .number(rule.max_entries)
            .ms(rule.max_sealed_age)
            .ms(rule.max_dead_age)
            .number(rule.batch);
        let mut answer = self.act(&scripts::TRIM, COMMIT_DEADLINE, arguments).await?;
        Ok(Trimmed {
            entries: answer.next()?,
            sealed: answer.next()?,
            dead: answer.next()?,
            trimmed_through: answer.version()?,
        })
    }
}

fn dead_letter(answer: &mut Answer) -> Result<RawDeadLetter> {
    let event = event(answer)?;
    let letter: Vec<u8> = answer.next()?;
    let sealed = answer.next()?;
    let mut lines = letter.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next().ok_or_else(unreadable);
    let (died_ms, attempts_made, reason) = (line()?, line()?, line()?);
    Ok(RawDeadLetter {
        event,
        died_at: Timestamp::from_ms(number(died_ms)?),
        attempts_made: u32::try_from(number(attempts_made)?).unwrap_or(u32::MAX),
        reason: String::from_utf8_lossy(reason).into_owned(),
        body: line()?.to_vec(),
        sealed,
    })
}

/// Takes `version\nreason\nbytes` apart.
fn quarantined(stored: &[u8]) -> Option<Result<(Version, Vec<u8>, String)>> {
    let mut lines = stored.splitn(3, |byte| *byte == b'\n');
    let (version, reason, bytes) = (lines.next()?, lines.next()?, lines.next()?);
    let version = parse_version(std::str::from_utf8(version).ok()?);
    Some(version.map(|version| (version, bytes.to_vec(), String::from_utf8_lossy(reason).into_owned())))
}

fn number(line: &[u8]) -> Result<u64> {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or_else(unreadable)
}

fn unreadable() -> StoreError {
    StoreErrorKind::Corrupt.with("a dead letter or a quarantined entry cannot be read")
}
