//! Reading the queues of a store as entries.

use std::collections::BTreeMap;

use gatepost_domain::id::WebhookId;

use super::keys::CopiedKey;
use super::queue_values::{parse_dead_letter, parse_delivery, parse_quarantined, parse_recovery};
use super::reads::Batches;
use super::values::{CHUNK, first_line, number, text, whole, whole_unsigned};
use crate::copied_entry::{CopiedDeadLetter, CopiedDelivery, CopiedEntry, CopiedLogEntry};
use crate::error::{Result, StoreErrorKind};
use crate::ops::{DeliveryKind, SortOrder};
use crate::redis::Redis;

/// End of the fields of holds in the hash of caps.
const HOLD_SUFFIX: &str = " hold";

impl Redis {
    pub(super) async fn read_queue_key(&self, key: &CopiedKey, batches: &Batches<'_>) -> Result<()> {
        match key.kind {
            "log-checks" => return self.read_log_checks(key, batches).await,
            "quarantine" => return self.read_quarantine(key, batches).await,
            "delivered:" => return self.read_log(key, DeliveryKind::Delivered, batches).await,
            "dropped:" => return self.read_log(key, DeliveryKind::Dropped, batches).await,
            _ => {}
        }
        let mut cursor = 0;
        loop {
            let fields = self.hash_chunk(&key.key, &mut cursor).await?;
            batches.send(self.read_fields(key, fields).await?).await?;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    async fn read_fields(&self, key: &CopiedKey, fields: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Vec<CopiedEntry>> {
        match key.kind {
            "events" => self.read_events(fields).await,
            "delivery:" => self.read_deliveries(text(key.name.clone())?, fields).await,
            "dead:" => self.read_dead_letters(text(key.name.clone())?, fields).await,
            "capped" => fields.into_iter().filter_map(|(field, until)| parse_hold(field, &until).transpose()).collect(),
            "counting" => {
                let parse =
                    |(index, member)| Ok(CopiedEntry::CountingProgress { index: text(index)?, member: text(member)? });
                fields.into_iter().map(parse).collect()
            }
            other => Err(StoreErrorKind::Corrupt.with(format!("no reader for the keys {other}"))),
        }
    }

    async fn read_events(&self, fields: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Vec<CopiedEntry>> {
        let (events, bodies): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        let left = self.fields(&self.record_key("events-left", b""), &events).await?;
        let rows = events.into_iter().zip(bodies).zip(left);
        let entries = rows.map(|((event, body), left)| {
            let deliveries_left = left.map_or(Ok(0), |left| number(&left))?;
            Ok(CopiedEntry::EventBody { event: text(event)?, deliveries_left, body })
        });
        entries.collect()
    }

    async fn read_deliveries(&self, webhook: String, fields: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Vec<CopiedEntry>> {
        let (events, states): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        let sequences = self.scores(&self.record_key("made:", webhook.as_bytes()), &events).await?;
        let last_attempts = self.fields(&self.record_key("last-attempts:", webhook.as_bytes()), &events).await?;
        let mut entries = Vec::new();
        for (((event, state), sequence), last_attempt) in
            events.into_iter().zip(states).zip(sequences).zip(last_attempts)
        {
            let delivery = parse_delivery(&webhook, text(event)?, &state)?;
            let sequence = sequence.map(whole_unsigned);
            entries.push(CopiedEntry::Delivery(CopiedDelivery { sequence, last_attempt, ..delivery }));
        }
        Ok(entries)
    }

    /// Gives dead letters of early versions a place in the order of creation, as each list of them does.
    async fn number_dead_letters(&self, webhook: &str) -> Result<()> {
        let webhook = WebhookId::parse(webhook).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        self.deliveries(webhook, vec![DeliveryKind::Dead], SortOrder::OldestFirst, None, 1).await.map(drop)
    }

    async fn read_dead_letters(&self, webhook: String, fields: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Vec<CopiedEntry>> {
        let (events, letters): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        let key = |kind| self.record_key(kind, webhook.as_bytes());
        let mut sequences = self.scores(&key("dead-made:"), &events).await?;
        if sequences.contains(&None) {
            self.number_dead_letters(&webhook).await?;
            sequences = self.scores(&key("dead-made:"), &events).await?;
        }
        let logged = self.fields(&key("log:"), &events).await?;
        let secrets = self.fields(&key("dead-sealed:"), &events).await?;
        let mut entries = Vec::new();
        for ((((event, letter), sequence), logged), sealed) in
            events.into_iter().zip(letters).zip(sequences).zip(logged).zip(secrets)
        {
            let letter = parse_dead_letter(&webhook, text(event)?, &letter)?;
            let sequence = whole(sequence.unwrap_or(0.0));
            let summary = logged.map_or(Ok(Vec::new()), |line| Ok(first_line(&line)?.1.to_vec()))?;
            entries.push(CopiedEntry::DeadLetter(CopiedDeadLetter { sealed, sequence, summary, ..letter }));
        }
        Ok(entries)
    }

    async fn read_log(&self, key: &CopiedKey, kind: DeliveryKind, batches: &Batches<'_>) -> Result<()> {
        let webhook = text(key.name.clone())?;
        for rank in (0..).step_by(CHUNK.unsigned_abs()) {
            let (events, scores): (Vec<_>, Vec<_>) = self.set_chunk(&key.key, rank).await?.into_iter().unzip();
            if events.is_empty() {
                break;
            }
            let lines = self.fields(&self.record_key("log:", webhook.as_bytes()), &events).await?;
            let mut entries = Vec::new();
            for ((event, score), line) in events.into_iter().zip(scores).zip(lines) {
                let line = line.ok_or_else(|| {
                    StoreErrorKind::Corrupt.with(format!("an entry of the log of {webhook} is missing"))
                })?;
                let (ended_ms, summary) = first_line(&line)?;
                entries.push(CopiedEntry::LogEntry(CopiedLogEntry {
                    webhook: webhook.clone(),
                    event: text(event)?,
                    kind,
                    sequence: whole(score),
                    ended_ms: number(ended_ms)?,
                    summary: summary.to_vec(),
                }));
            }
            batches.send(entries).await?;
        }
        Ok(())
    }

    async fn read_log_checks(&self, key: &CopiedKey, batches: &Batches<'_>) -> Result<()> {
        for rank in (0..).step_by(CHUNK.unsigned_abs()) {
            let members = self.set_chunk(&key.key, rank).await?;
            if members.is_empty() {
                break;
            }
            let parse =
                |(webhook, at)| Ok(CopiedEntry::LogCheck { webhook: text(webhook)?, at_ms: whole_unsigned(at) });
            batches.send(members.into_iter().map(parse).collect::<Result<_>>()?).await?;
        }
        Ok(())
    }

    async fn read_quarantine(&self, key: &CopiedKey, batches: &Batches<'_>) -> Result<()> {
        for first in (0..).step_by(CHUNK.unsigned_abs()) {
            let mut command = redis::cmd("LRANGE");
            let items: Vec<Vec<u8>> = self.query(command.arg(&key.key).arg(first).arg(first + CHUNK - 1)).await?;
            if items.is_empty() {
                break;
            }
            batches.send(items.iter().map(|item| parse_quarantined(item)).collect::<Result<_>>()?).await?;
        }
        Ok(())
    }

    pub(super) async fn read_attempts(&self, key: &CopiedKey) -> Result<Vec<CopiedEntry>> {
        let newest_first: Vec<Vec<u8>> = self.query(redis::cmd("LRANGE").arg(&key.key).arg(0).arg(-1)).await?;
        Ok(vec![CopiedEntry::Attempts { webhook: text(key.name.clone())?, newest_first }])
    }

    /// Reads a hash of few fields.
    pub(super) async fn read_small_hash(&self, key: &CopiedKey) -> Result<Vec<CopiedEntry>> {
        let name = text(key.name.clone())?;
        let fields: BTreeMap<String, Vec<u8>> = self.query(redis::cmd("HGETALL").arg(&key.key)).await?;
        match key.kind {
            "counts:" => {
                let count = |(resource, count): (String, Vec<u8>)| {
                    Ok(CopiedEntry::AccountCount { account: name.clone(), resource, count: number(&count)? })
                };
                fields.into_iter().map(count).collect()
            }
            "recoveries:" => {
                let recovery = |(id, state): (String, Vec<u8>)| {
                    Ok(CopiedEntry::Recovery { webhook: name.clone(), recovery: parse_recovery(&id, &state)? })
                };
                fields.into_iter().map(recovery).collect()
            }
            "failures:" => {
                let field = |field: &str| fields.get(field).map_or(Ok(0), |value| number(value));
                Ok(vec![CopiedEntry::Failures {
                    webhook: name,
                    failures: field("failures")?,
                    first_ms: field("first")?,
                    refused_ms: field("refused")?,
                    held_ms: field("held")?,
                }])
            }
            _ => parse_hours(&name, &fields),
        }
    }
}

/// Parses a hold; `None` for a cap, which ends with the next lease.
fn parse_hold(field: Vec<u8>, until: &[u8]) -> Result<Option<CopiedEntry>> {
    let field = text(field)?;
    let Some(webhook) = field.strip_suffix(HOLD_SUFFIX) else { return Ok(None) };
    Ok(Some(CopiedEntry::Hold { webhook: webhook.to_owned(), until_ms: number(until)? }))
}

/// Parses the attempts of a webhook by the hour, whose fields are `hour delivered` and `hour failed`.
fn parse_hours(webhook: &str, fields: &BTreeMap<String, Vec<u8>>) -> Result<Vec<CopiedEntry>> {
    let mut hours: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (field, count) in fields {
        let (hour, outcome) = field.split_once(' ').unwrap_or((field, ""));
        let counts = hours.entry(number(hour.as_bytes())?).or_default();
        match outcome {
            "delivered" => counts.0 = number(count)?,
            "failed" => counts.1 = number(count)?,
            other => return Err(StoreErrorKind::Corrupt.with(format!("attempts have the unknown outcome {other:?}"))),
        }
    }
    let entry =
        |(hour, (delivered, failed))| CopiedEntry::Hour { webhook: webhook.to_owned(), hour, delivered, failed };
    Ok(hours.into_iter().map(entry).collect())
}
