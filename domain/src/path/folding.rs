//! Paths as servers compare them that ignore letter case, or dots and spaces at the end of a segment, as Windows does.

/// What is ignored in a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folding {
    /// Dots and spaces at the end of a segment.
    Ends,
    /// These, and letter case.
    EndsAndCase,
}

/// Writes the folded form of a decoded path into a buffer, whose contents it replaces.
pub fn fold(decoded: &[u8], folding: Folding, folded: &mut Vec<u8>) {
    folded.clear();
    for (number, segment) in decoded.split(|byte| *byte == b'/').enumerate() {
        if number > 0 {
            folded.push(b'/');
        }
        let end = segment.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map_or(0, |last| last + 1);
        folded.extend_from_slice(&segment[..end]);
    }
    if folding == Folding::EndsAndCase {
        fold_case(folded);
    }
}

/// Returns whether a canonical path is surely its own folded form: false for those with escapes. Every request asks.
pub fn is_folded(canonical: &str) -> bool {
    let bytes = canonical.as_bytes();
    // Without a stop at the first such byte, so that the compiler tests many at a time.
    if bytes.iter().fold(false, |so_far, byte| so_far | byte.is_ascii_uppercase() | (*byte == b'%')) {
        return false;
    }
    !bytes.ends_with(b".") && !bytes.windows(2).any(|pair| pair == b"./")
}

fn fold_case(path: &mut Vec<u8>) {
    match std::str::from_utf8(path) {
        Ok(text) if !text.is_ascii() => *path = text.chars().map(fold_character).collect::<String>().into_bytes(),
        Ok(_) | Err(_) => path.make_ascii_lowercase(),
    }
}

/// Returns the lower case of the upper case of a character, which joins those that any of the two maps to one: `K`,
/// the sign of Kelvin, to `k`, and `ſ` to `s`. Only the first character of a longer mapping matters.
fn fold_character(character: char) -> char {
    let upper = character.to_uppercase().next().unwrap_or(character);
    upper.to_lowercase().next().unwrap_or(upper)
}
