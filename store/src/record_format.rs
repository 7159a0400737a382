//! Stored encoding of records and invalidations, the same on both backends.
//!
//! A record is six lines: version, event id, parent, expiry time in ms, public JSON, private JSON.

use gatepost_domain::change::Invalidation;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{EventId, ProjectId};
use gatepost_domain::time::{Timestamp, Version};

use crate::error::{Result, StoreErrorKind};
use crate::ops::{Image, RawRecord};

/// Formats a version as `ms-sequence`, like a Redis stream id.
pub(crate) fn format_version(version: Version) -> String {
    let (ms, sequence) = version.parts();
    format!("{ms}-{sequence}")
}

/// Parses the output of [`format_version`].
pub(crate) fn parse_version(text: &str) -> Result<Version> {
    let parts = text.split_once('-').and_then(|(ms, sequence)| Some((ms.parse().ok()?, sequence.parse().ok()?)));
    let version = parts.and_then(|(ms, sequence)| Version::checked_from_parts(ms, sequence));
    version.ok_or_else(|| corrupt(format!("{text:?} is not a version")))
}

/// Encodes a record without its version, which the store's clock decides.
pub(crate) fn encode_record_body(event: &EventId, image: &Image) -> Vec<u8> {
    let head = format!("{event}\n{}\n{}\n", image.parent, image.usable_until.as_ms());
    [head.as_bytes(), &image.public, b"\n", &image.private].concat()
}

pub(crate) fn encode_record(version: Version, event: &EventId, image: &Image) -> Vec<u8> {
    [format_version(version).as_bytes(), b"\n", &encode_record_body(event, image)].concat()
}

/// Decodes a record.
pub(crate) fn decode_record(bytes: &[u8], first_used_at: Option<Timestamp>) -> Result<RawRecord> {
    let mut lines = bytes.splitn(6, |byte| *byte == b'\n');
    let mut line = || lines.next().ok_or_else(|| corrupt("a stored record has too few lines".to_owned()));
    let (version, event, parent, usable_until) = (line()?, line()?, line()?, line()?);
    let (public, private) = (line()?.to_vec(), line()?.to_vec());
    let usable_until =
        text(usable_until)?.parse().map_err(|_| corrupt("a stored record has a bad expiry time".to_owned()))?;
    Ok(RawRecord {
        version: parse_version(text(version)?)?,
        event: EventId::parse(text(event)?).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        image: Image {
            parent: text(parent)?.to_owned(),
            usable_until: Timestamp::from_ms(usable_until),
            public,
            private,
        },
        first_used_at,
    })
}

/// Encodes an invalidation as kind and data: concatenated digests, or a project id.
pub(crate) fn encode_invalidation(invalidation: &Invalidation) -> (&'static str, Vec<u8>) {
    match invalidation {
        Invalidation::None => ("none", Vec::new()),
        Invalidation::Digests(digests) => ("digests", digests.iter().flat_map(|digest| *digest.as_bytes()).collect()),
        Invalidation::Project(project) => ("project", project.as_str().as_bytes().to_vec()),
        Invalidation::All => ("all", Vec::new()),
    }
}

/// Decodes the output of [`encode_invalidation`]. `None` if it is unknown; then everything must be invalidated.
pub(crate) fn decode_invalidation(kind: &str, data: &[u8]) -> Option<Invalidation> {
    match kind {
        "none" => Some(Invalidation::None),
        "digests" => {
            let (digests, rest) = data.as_chunks::<32>();
            let digests = digests.iter().map(|bytes| Digest::from_bytes(*bytes)).collect();
            rest.is_empty().then_some(Invalidation::Digests(digests))
        }
        "project" => std::str::from_utf8(data).ok().and_then(|id| ProjectId::parse(id).ok()).map(Invalidation::Project),
        "all" => Some(Invalidation::All),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

fn corrupt(what: String) -> crate::error::StoreError {
    StoreErrorKind::Corrupt.with(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_parsed_only_if_both_parts_fit() {
        let latest = Version::from_u64(u64::MAX);
        for version in [Version::ZERO, Version::from_parts(1_700_000_000_002, 3), latest] {
            assert_eq!(parse_version(&format_version(version)).unwrap(), version);
        }
        let (ms, sequence) = latest.parts();
        let (late, high) = (format!("{}-0", ms + 1), format!("1-{}", sequence + 1));
        let max = u64::MAX;
        let beyond =
            [late, high, format!("{max}-0"), format!("{ms}-{max}"), format!("{max}-{max}"), format!("{max}0-0")];
        for text in beyond.iter().map(String::as_str).chain(["", "-", "1", "1-", "-1", "1-2-3", "a-b", " 1-0"]) {
            assert_eq!(parse_version(text).unwrap_err().kind(), StoreErrorKind::Corrupt, "{text}");
        }
    }
}
