//! The stream of the embedded store: how entries are written and read.

use gatepost_domain::change::{Action, Fence, Scope};
use gatepost_domain::id::EventId;
use gatepost_domain::time::{Timestamp, Version};
use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::tables::{META, STREAM};
use super::{failure, number, set_number};
use crate::act::{RawEntry, Told, Undecodable};
use crate::error::{Result, StoreErrorKind};
use crate::packed::{parse_scope, scope_parts};

/// An entry as stored. Scope and fence stand apart from the images: a process that cannot read an
/// image still applies them.
#[derive(Serialize, Deserialize)]
struct StoredEntry {
    v: u8,
    event: String,
    scope: String,
    scope_data: Vec<u8>,
    fence: bool,
    action: String,
    head: String,
    image: String,
}

/// The part of a stored entry that every version of the program can read.
#[derive(Deserialize)]
struct StoredScope {
    event: Option<String>,
    scope: String,
    scope_data: Vec<u8>,
}

/// The format that this version writes.
const FORMAT: u8 = 1;

/// Appends an entry and answers its position.
pub(super) fn append(transaction: &WriteTransaction, event: &EventId, told: &Told, now: Timestamp) -> Result<Version> {
    let mut meta = transaction.open_table(META).map_err(failure)?;
    let version = Version::from_u64(number(&meta, "last")?).next(now);
    let bytes = encode(event, told)?;
    let mut stream = transaction.open_table(STREAM).map_err(failure)?;
    stream.insert(version.as_u64(), bytes.as_slice()).map_err(failure)?;
    let entries = number(&meta, "entries")?;
    set_number(&mut meta, "last", version.as_u64())?;
    set_number(&mut meta, "entries", entries + 1)?;
    Ok(version)
}

fn encode(event: &EventId, told: &Told) -> Result<Vec<u8>> {
    let (scope, scope_data) = scope_parts(&told.scope);
    let stored = StoredEntry {
        v: FORMAT,
        event: event.to_string(),
        scope: scope.to_owned(),
        scope_data,
        fence: told.fence == Fence::Up,
        action: told.action.as_str().to_owned(),
        head: text(&told.head)?,
        image: text(&told.image)?,
    };
    serde_json::to_vec(&stored).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

/// Reads an entry. What cannot be understood is undecodable, with its scope as far as that is known.
pub(super) fn decode(version: Version, bytes: &[u8]) -> RawEntry {
    let scope: Option<StoredScope> = serde_json::from_slice(bytes).ok();
    let event = scope.as_ref().and_then(|stored| EventId::parse(stored.event.as_deref()?).ok());
    let told = told(bytes).map_err(|reason| Undecodable {
        scope: scope.and_then(|stored| parse_scope(&stored.scope, &stored.scope_data)).unwrap_or(Scope::All),
        bytes: bytes.to_vec(),
        reason,
    });
    RawEntry { version, event, told }
}

fn told(bytes: &[u8]) -> std::result::Result<Told, String> {
    let stored: StoredEntry = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if stored.v != FORMAT {
        return Err(format!("the entry has format {}, this program reads {FORMAT}", stored.v));
    }
    Ok(Told {
        action: Action::parse(&stored.action).ok_or_else(|| format!("no such action: {}", stored.action))?,
        scope: parse_scope(&stored.scope, &stored.scope_data).ok_or("its scope cannot be read")?,
        fence: if stored.fence { Fence::Up } else { Fence::Down },
        head: stored.head.into_bytes(),
        image: stored.image.into_bytes(),
    })
}

/// The event id of the entry at a position, if that can be read; none if there is no such entry.
pub(super) fn event_at(
    stream: &impl ReadableTable<u64, &'static [u8]>,
    version: Version,
) -> Result<Option<Option<EventId>>> {
    let bytes = stream.get(version.as_u64()).map_err(failure)?;
    Ok(bytes.map(|bytes| decode(version, bytes.value()).event))
}

fn text(line: &[u8]) -> Result<String> {
    String::from_utf8(line.to_vec()).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_domain::digest::Digest;

    #[test]
    fn entries_are_stored_as_ever_and_read_back() {
        let event = EventId::parse("evt_00event").unwrap();
        let told = Told {
            action: Action::ApiKeyDeleted,
            scope: Scope::Digests(vec![Digest::from_bytes([1; 32])]),
            fence: Fence::Up,
            head: b"{\"a\":1}".to_vec(),
            image: b"{}".to_vec(),
        };
        let bytes = encode(&event, &told).unwrap();
        insta::assert_snapshot!("embedded_entry", String::from_utf8(bytes.clone()).unwrap());
        let read = decode(Version::from_u64(1), &bytes);
        assert_eq!((read.event, read.told), (Some(event), Ok(told)));
    }

    #[test]
    fn an_entry_of_a_later_format_still_tells_its_scope() {
        let bytes = br#"{"v":2,"event":"evt_00event","scope":"all","scope_data":[],"new":true}"#;
        let Err(undecodable) = decode(Version::from_u64(1), bytes).told else { panic!("it was decoded") };
        assert_eq!(undecodable.scope, Scope::All);
        let bytes = br#"{"v":2,"scope":"none","scope_data":[]}"#;
        let Err(undecodable) = decode(Version::from_u64(1), bytes).told else { panic!("it was decoded") };
        assert_eq!(undecodable.scope, Scope::None);
        let Err(undecodable) = decode(Version::from_u64(1), b"garbage").told else { panic!("it was decoded") };
        assert_eq!(undecodable.scope, Scope::All);
    }
}
