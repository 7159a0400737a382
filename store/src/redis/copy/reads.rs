//! Reading the keys of a store as entries. Those of queues are in `queue_reads`, of rate limits and usage in `meter_reads`.

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use gatepost_domain::time::Version;

use super::keys::CopiedKey;
use super::values::{CHUNK, first_line, number, text, whole_unsigned};
use crate::copied_entry::{CopiedBatch, CopiedChange, CopiedEntry, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, StoreNumber};
use crate::error::{Result, StoreErrorKind};
use crate::record_format::parse_version;
use crate::redis::Redis;

/// Keys that are read at the same time.
const CONCURRENT_READS: usize = 64;
/// Fields of the meta hash besides the numbers: the header, the number of waiting deliveries, which is counted, the end of
/// the invalidation stream, which is not copied, and the mark of a copy.
const OTHER_META_FIELDS: [&str; 9] =
    ["id", "envelope", "store_id", "sealed_envelope", "format", "min_reader", "deliveries", "invalidated", "copy"];

/// A stream entry as Redis returns it: id and fields.
type StreamRow = (String, Vec<(String, Vec<u8>)>);

/// Where entries go, in batches without a position.
pub(super) struct Batches<'a> {
    out: &'a mpsc::Sender<CopiedBatch>,
}

impl Batches<'_> {
    pub(super) async fn send(&self, entries: Vec<CopiedEntry>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let batch = CopiedBatch { entries, position: None };
        self.out.send(batch).await.map_err(|_| StoreErrorKind::Unavailable.with("the copy was given up"))
    }
}

impl Redis {
    /// Reads keys and sends what they have.
    pub(super) async fn read_keys(&self, keys: Vec<CopiedKey>, out: &mpsc::Sender<CopiedBatch>) -> Result<()> {
        let batches = Batches { out };
        let (large, small): (Vec<_>, Vec<_>) = keys.into_iter().partition(is_large);
        let mut read = stream::iter(small.iter().map(|key| self.read_small(key))).buffer_unordered(CONCURRENT_READS);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(read) = read.try_next().await? {
            bytes += read.iter().map(size).sum::<usize>();
            entries.extend(read);
            if entries.len() >= MAX_BATCH_ENTRIES || bytes >= MAX_BATCH_BYTES {
                batches.send(std::mem::take(&mut entries)).await?;
                bytes = 0;
            }
        }
        batches.send(entries).await?;
        for key in &large {
            self.read_large(key, &batches).await?;
        }
        Ok(())
    }

    /// Reads a key that one command reads.
    async fn read_small(&self, key: &CopiedKey) -> Result<Vec<CopiedEntry>> {
        match key.kind {
            "attempts:" => self.read_attempts(key).await,
            "counts:" | "failures:" | "hours:" | "recoveries:" => self.read_small_hash(key).await,
            "window" => self.read_window(key).await,
            _ => {
                let value: Option<Vec<u8>> = self.query(redis::cmd("GET").arg(&key.key)).await?;
                // Some keys expire.
                value.map_or(Ok(Vec::new()), |value| Ok(vec![parse_string(key, value)?]))
            }
        }
    }

    async fn read_large(&self, key: &CopiedKey, batches: &Batches<'_>) -> Result<()> {
        match key.kind {
            "meta" => {
                let numbers = self.store_numbers().await?.into_iter();
                batches.send(numbers.map(|(number, value)| CopiedEntry::Number { number, value }).collect()).await
            }
            "stream" => self.read_stream(key, batches).await,
            "index:" => self.read_index(key, batches).await,
            "sealed" => self.read_sealed(key, batches).await,
            "usage:" => self.read_usage(key, batches).await,
            "last-used" => self.read_last_uses(key, batches).await,
            "key-usage" | "past-usage" => self.read_key_usage(key, batches).await,
            _ => self.read_queue_key(key, batches).await,
        }
    }

    /// Reads the numbers of the store that are not 0.
    pub(crate) async fn store_numbers(&self) -> Result<Vec<(StoreNumber, u64)>> {
        let stored: Vec<(String, Vec<u8>)> = self.query(redis::cmd("HGETALL").arg(self.meta_key())).await?;
        let mut numbers = Vec::new();
        for (field, value) in stored {
            match StoreNumber::ALL.into_iter().find(|number| number.redis_field() == field) {
                Some(number) => numbers.push((number, parse_store_number(number, &value)?)),
                None if OTHER_META_FIELDS.contains(&field.as_str()) => {}
                None => return Err(StoreErrorKind::Refused.with(format!("the store has the unknown number {field}"))),
            }
        }
        numbers.retain(|(_, value)| *value != 0);
        Ok(numbers)
    }

    async fn read_stream(&self, key: &CopiedKey, batches: &Batches<'_>) -> Result<()> {
        let mut after = "-".to_owned();
        loop {
            let mut command = redis::cmd("XRANGE");
            command.arg(&key.key).arg(&after).arg("+").arg("COUNT").arg(CHUNK);
            let stored: Vec<StreamRow> = self.query(&command).await?;
            let Some((last, _)) = stored.last() else { return Ok(()) };
            after = format!("({last}");
            let changes = stored.into_iter().map(|(id, fields)| parse_change(&id, fields).map(CopiedEntry::Change));
            batches.send(changes.collect::<Result<_>>()?).await?;
        }
    }

    async fn read_index(&self, key: &CopiedKey, batches: &Batches<'_>) -> Result<()> {
        let index = text(key.name.clone())?;
        for rank in (0..).step_by(CHUNK.unsigned_abs()) {
            let members = self.set_chunk(&key.key, rank).await?;
            if members.is_empty() {
                break;
            }
            let members = members
                .into_iter()
                .map(|(member, _)| Ok(CopiedEntry::IndexMember { index: index.clone(), member: text(member)? }));
            batches.send(members.collect::<Result<_>>()?).await?;
        }
        Ok(())
    }

    async fn read_sealed(&self, key: &CopiedKey, batches: &Batches<'_>) -> Result<()> {
        let (ages, mut cursor) = (self.record_key("sealed-ages", b""), 0);
        loop {
            let (events, secrets): (Vec<_>, Vec<_>) = self.hash_chunk(&key.key, &mut cursor).await?.into_iter().unzip();
            let times = self.scores(&ages, &events).await?;
            let mut entries = Vec::new();
            for ((event, sealed), ms) in events.into_iter().zip(secrets).zip(times) {
                let ms = whole_unsigned(ms.unwrap_or(0.0));
                entries.push(CopiedEntry::SealedSecret { event: text(event)?, ms, sealed });
            }
            batches.send(entries).await?;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

/// Returns whether the key is read in several parts.
fn is_large(key: &CopiedKey) -> bool {
    const LARGE: [&str; 17] = [
        "meta",
        "stream",
        "index:",
        "sealed",
        "usage:",
        "last-used",
        "key-usage",
        "past-usage",
        "events",
        "capped",
        "log-checks",
        "quarantine",
        "counting",
        "delivery:",
        "delivered:",
        "dropped:",
        "dead:",
    ];
    LARGE.contains(&key.kind)
}

/// Returns the bytes of an entry that may be large.
fn size(entry: &CopiedEntry) -> usize {
    if let CopiedEntry::Record { bytes, .. } | CopiedEntry::StoredResponse { sealed: bytes, .. } = entry {
        return bytes.len();
    }
    if let CopiedEntry::Attempts { newest_first, .. } = entry {
        return newest_first.iter().map(Vec::len).sum();
    }
    0
}

fn parse_string(key: &CopiedKey, value: Vec<u8>) -> Result<CopiedEntry> {
    let name = || text(key.name.clone());
    Ok(match key.kind {
        "record:" => CopiedEntry::Record { name: name()?, bytes: value },
        "first-use:" => CopiedEntry::FirstUse { key: name()?, ms: number(&value)? },
        "receipt:" => {
            let (expires_ms, sealed) = first_line(&value)?;
            CopiedEntry::StoredResponse { name: name()?, expires_ms: number(expires_ms)?, sealed: sealed.to_vec() }
        }
        "removed:" => {
            let (event, version) = first_line(&value)?;
            let (event, version) = (text(event.to_vec())?, parse_version(&text(version.to_vec())?)?);
            CopiedEntry::Removal { record: name()?, event, version }
        }
        "digest:" => {
            let digest = key.name.as_slice().try_into().map_err(|error| StoreErrorKind::Corrupt.with(error))?;
            CopiedEntry::Digest { digest, record: text(value)? }
        }
        other => return Err(StoreErrorKind::Corrupt.with(format!("no reader for the keys {other}"))),
    })
}

/// Parses a number of the meta hash. The state of the counting is one less than in the embedded store.
fn parse_store_number(store_number: StoreNumber, value: &[u8]) -> Result<u64> {
    if store_number.is_position() {
        return Ok(parse_version(&text(value.to_vec())?)?.as_u64());
    }
    let value: u64 = number(value)?;
    Ok(if store_number == StoreNumber::Counted { value + 1 } else { value })
}

fn parse_change(id: &str, fields: Vec<(String, Vec<u8>)>) -> Result<CopiedChange> {
    let mut change = CopiedChange {
        version: parse_version(id)?,
        format: 0,
        event: String::new(),
        action: String::new(),
        scope: String::new(),
        scope_data: Vec::new(),
        is_fenced: false,
        head: String::new(),
        image: String::new(),
    };
    for (field, value) in fields {
        match field.as_str() {
            "v" => change.format = number(&value)?,
            "e" => change.event = text(value)?,
            "a" => change.action = text(value)?,
            "s" => change.scope = text(value)?,
            "d" => change.scope_data = value,
            "f" => change.is_fenced = value == b"1",
            "h" => change.head = text(value)?,
            "i" => change.image = text(value)?,
            other => {
                let what = format!("the stream entry {id} has the unknown field {other}");
                return Err(StoreErrorKind::Refused.with(what));
            }
        }
    }
    Ok(change)
}

/// Returns the position as Redis stores it, or the number.
pub(super) fn format_store_number(number: StoreNumber, value: u64) -> String {
    if number.is_position() {
        return crate::record_format::format_version(Version::from_u64(value));
    }
    if number == StoreNumber::Counted { value.saturating_sub(1) } else { value }.to_string()
}
