//! Other readings of a path with quirks: what a server makes of it that decodes escapes, or cuts parameters off.

use super::error::PathError;
use super::escapes;

/// How often a server may decode a path.
const MAX_DECODINGS: usize = 2;

/// Returns each path that a server may read in a canonical one, in decoded form: decoded no, one or two times, and with
/// or without `;` parameters, which may be cut off before or after each time. Empty segments are both left in and left
/// out.
///
/// # Errors
/// [`PathError::DotSegment`] if a reading leads out of its directory.
pub fn other_readings(canonical: &str) -> Result<Vec<Vec<u8>>, PathError> {
    let mut readings = vec![canonical.as_bytes().to_vec()];
    let mut latest = readings.clone();
    for round in 0..=MAX_DECODINGS {
        if round > 0 {
            latest = latest.iter().map(|path| escapes::decode(path, |_| true)).collect();
            readings.extend(latest.iter().cloned());
        }
        let cut: Vec<Vec<u8>> = latest.iter().map(|path| without_parameters(path)).collect();
        readings.extend(cut.iter().cloned());
        latest.extend(cut);
        latest.sort_unstable();
        latest.dedup();
    }
    let merged: Vec<Vec<u8>> = readings.iter().map(|path| without_empty_segments(path)).collect();
    readings.extend(merged);
    readings.sort_unstable();
    readings.dedup();
    if readings.iter().any(|path| has_dot_segment(path)) { Err(PathError::DotSegment) } else { Ok(readings) }
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let cut = segments.map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default());
    cut.collect::<Vec<_>>().join(&b'/')
}

fn without_empty_segments(path: &[u8]) -> Vec<u8> {
    let mut merged: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || merged.last() != Some(&b'/') {
            merged.push(*byte);
        }
    }
    merged
}

/// Returns whether a segment has dots and spaces only, or before a `?` or `#` that ends the path.
fn has_dot_segment(path: &[u8]) -> bool {
    let segments = path.split(|byte| matches!(byte, b'/' | b'\\'));
    let ended = segments.map(|segment| segment.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default());
    ended.into_iter().any(|segment| !segment.is_empty() && segment.iter().all(|byte| matches!(byte, b'.' | b' ')))
}
