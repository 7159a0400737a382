//! Reading rate limit windows and usage as entries.

use futures::stream::{self, StreamExt, TryStreamExt};

use super::keys::CopiedKey;
use super::reads::Batches;
use super::values::{number, text};
use crate::copied_entry::{CopiedEntry, CopiedKeyUsage, CopiedWindow};
use crate::error::Result;
use crate::ops::{KeyGroup, UsesPart};
use crate::redis::Redis;
use crate::redis::usage::parse_usage_tag;

/// Keys whose records are looked for at the same time.
const CONCURRENT_LOOKUPS: usize = 64;

impl Redis {
    pub(super) async fn read_window(&self, key: &CopiedKey) -> Result<Vec<CopiedEntry>> {
        const FIELDS: [&str; 5] = ["ends-at", "leased", "generation", "limit", "length"];
        let mut command = redis::cmd("HMGET");
        let values: Vec<Option<Vec<u8>>> = self.query(command.arg(&key.key).arg(&FIELDS)).await?;
        let field = |position: usize| match values.get(position) {
            Some(Some(value)) if !value.is_empty() => number(value),
            _ => Ok(0),
        };
        Ok(vec![CopiedEntry::Window(CopiedWindow {
            name: key.meter.clone(),
            ends_at_ms: field(0)?,
            leased: field(1)?,
            generation: u32::try_from(field(2)?).unwrap_or(u32::MAX),
            limit: field(3)?,
            length_ms: field(4)?,
        })])
    }

    pub(super) async fn read_usage(&self, key: &CopiedKey, batches: &Batches<'_>) -> Result<()> {
        let (hour, mut cursor) = (number(&key.name)?, 0);
        loop {
            let mut entries = Vec::new();
            for (field, count) in self.hash_chunk(&key.key, &mut cursor).await? {
                // The field without a name is the sum of the others.
                if !field.is_empty() {
                    let (project, count) = (key.meter.clone(), number(&count)?);
                    entries.push(CopiedEntry::Usage { hour, project, key: text(field)?, count });
                }
            }
            batches.send(entries).await?;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    pub(super) async fn read_key_usage(&self, key: &CopiedKey, batches: &Batches<'_>) -> Result<()> {
        let KeyGroup { project, group } = parse_usage_tag(&key.meter)?;
        let part = if key.kind == UsesPart::Past.suffix() { UsesPart::Past } else { UsesPart::Recent };
        let mut cursor = 0;
        loop {
            let uses = self.hash_chunk(&key.key, &mut cursor).await?.into_iter().map(|(key, uses)| {
                let usage = CopiedKeyUsage { project: project.clone(), group, part, key: text(key)?, uses };
                Ok(CopiedEntry::KeyUsage(usage))
            });
            batches.send(uses.collect::<Result<_>>()?).await?;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    /// Reads the last uses of keys that have records, as no operation reads others.
    pub(super) async fn read_last_uses(&self, key: &CopiedKey, batches: &Batches<'_>) -> Result<()> {
        let mut cursor = 0;
        loop {
            let fields = self.hash_chunk(&key.key, &mut cursor).await?;
            let uses = stream::iter(fields).map(|(name, ms)| self.read_last_use(&key.meter, name, ms));
            let entries: Vec<_> = uses.buffer_unordered(CONCURRENT_LOOKUPS).try_collect().await?;
            batches.send(entries.into_iter().flatten().collect()).await?;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    async fn read_last_use(&self, project: &str, key: Vec<u8>, ms: Vec<u8>) -> Result<Option<CopiedEntry>> {
        let record = self.record_key("record:", &key);
        let has_record: bool = self.query(redis::cmd("EXISTS").arg(record)).await?;
        let (project, key, ms) = (project.to_owned(), text(key)?, number(&ms)?);
        Ok(has_record.then_some(CopiedEntry::LastUse { project, key, ms }))
    }
}
