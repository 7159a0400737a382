//! Reading and trimming the queues on Redis.

use std::time::Duration;

use gatepost_domain::id::{EventId, WebhookId};
use gatepost_domain::time::{Timestamp, Version};

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::ops::{DeadLetterPosition, DueWebhooks, QueueStats, RawDeadLetter, RetentionPolicy, TrimStats};
use crate::options::COMMIT_TIMEOUT;
use crate::record_format::{format_version, parse_version};

use super::client::{Arguments, Redis};
use super::queue::read_event_id;
use super::reply::Reply;
use super::scripts;

impl Redis {
    pub(crate) async fn fan_out_cursor(&self) -> Result<Version> {
        self.position("fan-out").await
    }

    pub(crate) async fn due_webhooks(&self, skip: u32, limit: u32) -> Result<DueWebhooks> {
        let arguments = Arguments::default().number(skip).number(limit);
        let mut reply = self.run_script(&scripts::DUE_WEBHOOKS, COMMIT_TIMEOUT, arguments).await?;
        let next_in_ms: Option<u64> = reply.next()?;
        let mut webhooks = Vec::new();
        while !reply.is_empty() {
            let webhook_id: String = reply.next()?;
            webhooks.push(WebhookId::parse(&webhook_id).map_err(|error| StoreErrorKind::Corrupt.with(error))?);
        }
        Ok(DueWebhooks { webhooks, next_in: next_in_ms.map(Duration::from_millis) })
    }

    pub(crate) async fn attempts(&self, webhook: WebhookId, limit: u32) -> Result<Vec<Vec<u8>>> {
        let arguments = Arguments::default().text(webhook.as_str()).number(limit);
        self.run_script(&scripts::ATTEMPTS, COMMIT_TIMEOUT, arguments).await?.next()
    }

    pub(crate) async fn dead_letters(
        &self,
        webhook: WebhookId,
        after: Option<DeadLetterPosition>,
        limit: u32,
    ) -> Result<Vec<RawDeadLetter>> {
        let arguments = Arguments::default().text(webhook.as_str()).number(limit);
        let arguments = match after {
            Some(position) => arguments.number(position.died_at.as_ms()).text(position.event.as_str()),
            None => arguments.text("").text(""),
        };
        let mut reply = self.run_script(&scripts::DEAD_LETTERS, COMMIT_TIMEOUT, arguments).await?;
        let mut letters = Vec::new();
        while !reply.is_empty() {
            letters.push(read_dead_letter(&mut reply)?);
        }
        Ok(letters)
    }

    pub(crate) async fn dead_letter(&self, webhook: WebhookId, event: EventId) -> Result<Option<RawDeadLetter>> {
        let arguments = Arguments::default().text(webhook.as_str()).text(event.as_str());
        let mut reply = self.run_script(&scripts::DEAD_LETTER, COMMIT_TIMEOUT, arguments).await?;
        if reply.is_empty() { Ok(None) } else { read_dead_letter(&mut reply).map(Some) }
    }

    pub(crate) async fn quarantine(&self, before: Version, limit: u32) -> Result<Vec<(Version, Vec<u8>, String)>> {
        let arguments = Arguments::default().bytes(format_version(before)).number(limit);
        let stored: Vec<Vec<u8>> = self.run_script(&scripts::QUARANTINE, COMMIT_TIMEOUT, arguments).await?.next()?;
        stored.iter().map(|bytes| parse_quarantined(bytes).ok_or_else(corrupt_letter)?).collect()
    }

    pub(crate) async fn queue_stats(&self) -> Result<QueueStats> {
        let mut reply = self.run_script(&scripts::QUEUE_NUMBERS, COMMIT_TIMEOUT, Arguments::default()).await?;
        Ok(QueueStats {
            pending: reply.next()?,
            leased: reply.next()?,
            dead_letters: reply.next()?,
            quarantined: reply.next()?,
            max_overdue: reply.next().map(Duration::from_millis)?,
            fan_out_backlog: reply.next()?,
            dead_letters_dropped: reply.next()?,
        })
    }

    pub(crate) async fn trim(&self, rule: RetentionPolicy) -> Result<TrimStats> {
        let arguments = Arguments::default()
            .ms(rule.max_age)
            .number(rule.max_entries)
            .ms(rule.max_sealed_secret_age)
            .ms(rule.max_dead_letter_age)
            .ms(rule.max_log_age)
            .text(&rule.oldest_attempt.to_string())
            .number(rule.batch);
        let mut reply = self.run_script(&scripts::TRIM, COMMIT_TIMEOUT, arguments).await?;
        Ok(TrimStats {
            entries: reply.next()?,
            sealed_secrets: reply.next()?,
            dead_letters: reply.next()?,
            trimmed_through: reply.version()?,
        })
    }
}

pub(super) fn read_dead_letter(reply: &mut Reply) -> Result<RawDeadLetter> {
    let event_id = read_event_id(reply)?;
    let letter: Vec<u8> = reply.next()?;
    parse_dead_letter(event_id, &letter, reply.next()?)
}

/// Splits `ms of death\nattempts\nreason\nbody`.
pub(super) fn parse_dead_letter(event: EventId, letter: &[u8], sealed: Option<Vec<u8>>) -> Result<RawDeadLetter> {
    let mut lines = letter.splitn(4, |byte| *byte == b'\n');
    let mut next_line = || lines.next().ok_or_else(corrupt_letter);
    let (died_ms, attempts_made, reason) = (next_line()?, next_line()?, next_line()?);
    Ok(RawDeadLetter {
        event,
        died_at: Timestamp::from_ms(parse_number(died_ms)?),
        attempts_made: u32::try_from(parse_number(attempts_made)?).unwrap_or(u32::MAX),
        reason: String::from_utf8_lossy(reason).into_owned(),
        body: next_line()?.to_vec(),
        sealed,
    })
}

/// Splits `version\nreason\nbytes`.
pub(super) fn parse_quarantined(stored: &[u8]) -> Option<Result<(Version, Vec<u8>, String)>> {
    let mut lines = stored.splitn(3, |byte| *byte == b'\n');
    let (version, reason, bytes) = (lines.next()?, lines.next()?, lines.next()?);
    let version = parse_version(std::str::from_utf8(version).ok()?);
    Some(version.map(|version| (version, bytes.to_vec(), String::from_utf8_lossy(reason).into_owned())))
}

fn parse_number(line: &[u8]) -> Result<u64> {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or_else(corrupt_letter)
}

fn corrupt_letter() -> StoreError {
    StoreErrorKind::Corrupt.with("a dead letter or a quarantined entry cannot be decoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_dead_letter_decodes() {
        let event = EventId::parse("evt_00event").unwrap();
        let letter = b"1700000000001\n10\nthe receiver responded with 500\n{\"action\":\"api-key.created\"}";
        let expected = RawDeadLetter {
            event: event.clone(),
            died_at: Timestamp::from_ms(1_700_000_000_001),
            attempts_made: 10,
            reason: "the receiver responded with 500".to_owned(),
            body: br#"{"action":"api-key.created"}"#.to_vec(),
            sealed: Some(vec![7; 8]),
        };
        assert_eq!(parse_dead_letter(event.clone(), letter, Some(vec![7; 8])).unwrap(), expected);
        for cut in [&b""[..], b"1700000000001", b"1700000000001\n10\nreason", b"now\n10\nreason\n{}"] {
            assert_eq!(parse_dead_letter(event.clone(), cut, None).unwrap_err().kind(), StoreErrorKind::Corrupt);
        }
    }
}
