//! The keys of a store: which of them a copy reads, and why not the others.

use crate::error::{Result, StoreErrorKind};

/// What a copy does with keys of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyUse {
    /// Reads them.
    Read,
    /// Reads them together with those of another name, or not at all: the writer derives them.
    Derived,
    /// Leaves them out.
    LeftOut,
}

use KeyUse::{Derived, LeftOut, Read};

/// A name of keys, what a copy does with them, and the name from which they are derived or why they are left out.
type KeyName = (&'static str, KeyUse, &'static str);

/// Names of the keys with the hash tag of the store, as in `common.lua`. A name that ends with a colon is followed by
/// another one.
const RECORD_KEYS: [KeyName; 45] = [
    ("meta", Read, ""),
    ("stream", Read, ""),
    ("invalidations", LeftOut, "gateways start at its end"),
    ("sealed", Read, ""),
    ("sealed-ages", Derived, "sealed"),
    ("gateways", LeftOut, "gateways register again"),
    ("gateway-reads", LeftOut, "gateways register again"),
    ("gateway-info", LeftOut, "gateways register again"),
    ("events", Read, ""),
    ("events-left", Derived, "events"),
    ("ready", Derived, "delivery:"),
    // Of these only the holds: a cap ends with the next lease.
    ("capped", Read, ""),
    ("leasing", Derived, "delivery:"),
    ("leased", Derived, "delivery:"),
    ("dead-ages", Derived, "dead:"),
    ("dead-sealed-ages", Derived, "dead:"),
    ("recovering", Derived, "recoveries:"),
    ("log-checks", Read, ""),
    ("quarantine", Read, ""),
    ("confirm", LeftOut, "it is empty"),
    ("never", LeftOut, "it does not exist"),
    ("counting", Read, ""),
    ("record:", Read, ""),
    ("first-use:", Read, ""),
    ("receipt:", Read, ""),
    ("removed:", Read, ""),
    ("digest:", Read, ""),
    ("index:", Read, ""),
    ("queue:", Derived, "delivery:"),
    ("made:", Derived, "delivery:"),
    ("delivery:", Read, ""),
    ("held:", Derived, "delivery:"),
    ("attempts:", Read, ""),
    ("dead:", Read, ""),
    ("dead-times:", Derived, "dead:"),
    ("dead-made:", Derived, "dead:"),
    ("dead-sealed:", Derived, "dead:"),
    ("delivered:", Read, ""),
    ("dropped:", Read, ""),
    ("log:", Derived, "delivered:"),
    ("last-attempts:", Derived, "delivery:"),
    ("recoveries:", Read, ""),
    ("hours:", Read, ""),
    ("failures:", Read, ""),
    ("counts:", Read, ""),
];

/// Names of the keys with hash tags of their own: of windows, and of the usage of projects.
const METER_KEYS: [KeyName; 6] = [
    ("window", Read, ""),
    ("usage-hours", Derived, "usage:"),
    ("usage:", Read, ""),
    ("last-used", Read, ""),
    ("key-usage", Read, ""),
    ("past-usage", Read, ""),
];

/// Start of the hash tags of a trial (`gatepost check --store`) below that of the store.
const TRIAL_TAG: &str = "check-";

/// A key that a copy reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopiedKey {
    /// The key as stored.
    pub(super) key: Vec<u8>,
    /// Its name in [`RECORD_KEYS`] or [`METER_KEYS`].
    pub(super) kind: &'static str,
    /// What follows the name: an id, an index, an hour. Bytes for digests.
    pub(super) name: Vec<u8>,
    /// Name of the window, the project whose usage it is, or the project and group; empty for records.
    pub(super) meter: String,
}

/// Returns the pattern of all keys of a namespace.
pub(super) fn pattern(namespace: &str) -> String {
    format!("{{{namespace}[:}}]*")
}

/// Returns how a copy reads a key of the namespace; `None` if it does not.
///
/// # Errors
///
/// [`StoreErrorKind::Refused`] for a key that this release does not know: a copy without it might lack something.
pub(super) fn classify(namespace: &str, key: Vec<u8>) -> Result<Option<CopiedKey>> {
    let unknown = |key: &[u8]| {
        StoreErrorKind::Refused.with(format!(
            "the key {} is not one of this release: copy with the release that wrote it, or remove the key",
            String::from_utf8_lossy(key)
        ))
    };
    let rest = key.strip_prefix(format!("{{{namespace}").as_bytes()).ok_or_else(|| unknown(&key))?;
    let (tag, rest) = split_once(rest, b"}:").ok_or_else(|| unknown(&key))?;
    let meter = match tag {
        [] => String::new(),
        [b':', name @ ..] => String::from_utf8(name.to_vec()).map_err(|_| unknown(&key))?,
        [..] => return Err(unknown(&key)),
    };
    if meter.starts_with(TRIAL_TAG) {
        return Ok(None);
    }
    let table = if tag.is_empty() { &RECORD_KEYS[..] } else { &METER_KEYS[..] };
    let (kind, name) = match split_once(rest, b":") {
        Some((kind, name)) => ([kind, b":"].concat(), name.to_vec()),
        None => (rest.to_vec(), Vec::new()),
    };
    match table.iter().find(|(known, ..)| known.as_bytes() == kind) {
        Some((kind, Read, _)) => Ok(Some(CopiedKey { key, kind, name, meter })),
        Some((_, Derived | LeftOut, _)) => Ok(None),
        None => Err(unknown(&key)),
    }
}

/// Returns the names of keys that a copy should write, but that are not among these.
#[cfg(test)]
pub(super) fn missing_names(keys: &[Vec<u8>]) -> Vec<&'static str> {
    let is_written = |name: &str| {
        let name = format!("}}:{name}");
        keys.iter().any(|key| {
            let text = String::from_utf8_lossy(key);
            if name.ends_with(':') { text.contains(&name) } else { text.ends_with(&name) }
        })
    };
    let names = RECORD_KEYS.iter().chain(&METER_KEYS).filter(|(_, key_use, _)| *key_use != LeftOut);
    names.map(|(name, ..)| *name).filter(|name| !is_written(name)).collect()
}

fn split_once<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(separator.len()).position(|window| window == separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::redis::removal::key_names;

    fn read(key: &str) -> Option<CopiedKey> {
        classify("gp", key.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn every_key_of_the_scripts_is_read_or_has_a_reason() {
        let known: BTreeSet<&str> = RECORD_KEYS.iter().map(|(name, ..)| *name).collect();
        let named: BTreeSet<&str> = key_names().chain(["meta"]).collect();
        assert_eq!(known, named);
        let source = concat!(
            include_str!("../rate_limits.rs"),
            include_str!("../hourly_usage.rs"),
            include_str!("../usage.rs"),
            include_str!("../lua/add_hourly_usage.lua")
        );
        for (name, ..) in METER_KEYS {
            assert!(source.contains(&format!("'{name}'")) || source.contains(&format!("\"{name}\"")), "{name}");
        }
        for (_, key_use, why) in RECORD_KEYS.into_iter().chain(METER_KEYS) {
            let is_read = |(name, key_use, _): &KeyName| *name == why && *key_use == Read;
            assert!(key_use != Derived || RECORD_KEYS.iter().chain(&METER_KEYS).any(is_read), "{why}");
            assert_eq!(key_use == Read, why.is_empty());
        }
    }

    #[test]
    fn keys_are_told_apart_by_tag_and_name() {
        let key = read("{gp}:index:projects:acc_1").unwrap();
        assert_eq!((key.kind, key.name.as_slice(), key.meter.as_str()), ("index:", &b"projects:acc_1"[..], ""));
        let key = read("{gp:prj_1}:usage:480000").unwrap();
        assert_eq!((key.kind, key.name.as_slice(), key.meter.as_str()), ("usage:", &b"480000"[..], "prj_1"));
        assert_eq!(read("{gp:key_1:rate}:window").unwrap().meter, "key_1:rate");
        assert_eq!(read("{gp}:gateways"), None);
        assert_eq!(read("{gp:check-aB3}:meta"), None);
        let digest = [&b"{gp}:digest:"[..], &[b'}', b':', 0, 255]].concat();
        assert_eq!(classify("gp", digest).unwrap().unwrap().name, [b'}', b':', 0, 255]);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        for key in ["{gp}:new", "{gp}:new:1", "{gp:x}:new", "{gp}", "{gp2}:meta", "other"] {
            assert_eq!(classify("gp", key.as_bytes().to_vec()).unwrap_err().kind(), StoreErrorKind::Refused, "{key}");
        }
    }
}
