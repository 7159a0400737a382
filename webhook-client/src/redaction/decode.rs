//! The encodings in which a receiver may echo a request: percent-encoding, JSON and HTML escapes, bytes as Latin-1, and
//! base 64. The decoders are lenient: what is no escape sequence is read literally.

use std::ops::Range;

use super::view::View;
use crate::bounds::MIN_SECRET_BYTES;

/// Maximum length in bytes of an HTML character reference.
const MAX_REFERENCE_BYTES: usize = 10;

/// Start of some bytes, as one decoder reads it.
enum Unit {
    /// A byte that is read literally.
    Literal,
    /// A byte, and the length of its escape sequence.
    Byte(u8, usize),
    /// A character, and the length of its escape sequence.
    Character(char, usize),
    /// The start of an escape sequence, which the end of the text cuts.
    Incomplete,
}

/// Digits of a number in an escape sequence.
enum Digits {
    Value(u32),
    Incomplete,
    Malformed,
}

/// Returns every decoding of a view that differs from it.
pub(super) fn decodings(view: &View) -> Vec<View> {
    let decoders = [percent_unit, form_unit, json_unit, html_unit, latin1_unit];
    let escapes = decoders.into_iter().filter_map(|unit| decode_escapes(view, unit));
    escapes.chain(decode_base64(view)).collect()
}

/// Decodes every escape sequence of a view. Returns `None` if it has none.
fn decode_escapes(view: &View, read_unit: fn(&[u8]) -> Unit) -> Option<View> {
    let mut decoded = View::with_capacity(view.bytes.len());
    decoded.reaches_end = view.reaches_end;
    decoded.incomplete_from = view.incomplete_from;
    let mut at = 0;
    while at < view.bytes.len() {
        let consumed = match read_unit(&view.bytes[at..]) {
            Unit::Incomplete if view.reaches_end => {
                decoded.incomplete_from = Some(view.sources[at].start);
                return Some(decoded);
            }
            Unit::Literal | Unit::Incomplete => {
                decoded.push(view.bytes[at], view.sources[at].clone());
                1
            }
            Unit::Byte(byte, length) => {
                decoded.push(byte, view.source(at..at + length));
                length
            }
            Unit::Character(character, length) => {
                let source = view.source(at..at + length);
                let mut buffer = [0; 4];
                character.encode_utf8(&mut buffer).bytes().for_each(|byte| decoded.push(byte, source.clone()));
                length
            }
        };
        at += consumed;
    }
    (decoded.bytes != view.bytes).then_some(decoded)
}

/// Reads `%41`.
fn percent_unit(rest: &[u8]) -> Unit {
    if rest[0] != b'%' {
        return Unit::Literal;
    }
    byte_unit(rest, 1)
}

/// Reads `%41`, and `+` for a space.
fn form_unit(rest: &[u8]) -> Unit {
    if rest[0] == b'+' { Unit::Byte(b' ', 1) } else { percent_unit(rest) }
}

/// Reads the escape sequences of JSON strings, and `\x41` of other languages.
fn json_unit(rest: &[u8]) -> Unit {
    if rest[0] != b'\\' {
        return Unit::Literal;
    }
    match rest.get(1) {
        None => Unit::Incomplete,
        Some(b'u') => utf16_unit(rest),
        Some(b'x') => byte_unit(rest, 2),
        Some(b'b') => Unit::Byte(0x08, 2),
        Some(b'f') => Unit::Byte(0x0c, 2),
        Some(b'n') => Unit::Byte(b'\n', 2),
        Some(b'r') => Unit::Byte(b'\r', 2),
        Some(b't') => Unit::Byte(b'\t', 2),
        Some(other @ (b'"' | b'\'' | b'/' | b'\\')) => Unit::Byte(*other, 2),
        Some(_) => Unit::Literal,
    }
}

/// Reads `\u00e9`, or two of them that are a surrogate pair.
fn utf16_unit(rest: &[u8]) -> Unit {
    let first = match hex_digits(&rest[2..], 4) {
        Digits::Value(value) => value,
        Digits::Incomplete => return Unit::Incomplete,
        Digits::Malformed => return Unit::Literal,
    };
    if let Some(character) = char::from_u32(first) {
        return Unit::Character(character, 6);
    }
    if rest.len() < 12 {
        return Unit::Incomplete;
    }
    match hex_digits(&rest[8..], 4) {
        Digits::Value(second @ 0xdc00..0xe000) if first < 0xdc00 && rest[6..].starts_with(b"\\u") => {
            let code_point = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            char::from_u32(code_point).map_or(Unit::Literal, |character| Unit::Character(character, 12))
        }
        Digits::Value(_) | Digits::Incomplete | Digits::Malformed => Unit::Literal,
    }
}

/// Reads an HTML character reference, such as `&amp;` or `&#x27;`.
fn html_unit(rest: &[u8]) -> Unit {
    if rest[0] != b'&' {
        return Unit::Literal;
    }
    let start = &rest[..rest.len().min(MAX_REFERENCE_BYTES)];
    let Some(length) = start.iter().position(|byte| *byte == b';') else {
        let is_cut =
            rest.len() < MAX_REFERENCE_BYTES && rest[1..].iter().all(|b| b.is_ascii_alphanumeric() || *b == b'#');
        return if is_cut { Unit::Incomplete } else { Unit::Literal };
    };
    let character = match &start[1..length] {
        b"amp" => Some('&'),
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        [b'#', b'x' | b'X', digits @ ..] => numbered_character(digits, 16),
        [b'#', digits @ ..] => numbered_character(digits, 10),
        _ => None,
    };
    character.map_or(Unit::Literal, |character| Unit::Character(character, length + 1))
}

fn numbered_character(digits: &[u8], radix: u32) -> Option<char> {
    let number = u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?;
    char::from_u32(number)
}

/// Reads a character from U+0080 to U+00FF as the byte of this number. Bytes that are no text become such characters
/// where a receiver reads them as Latin-1.
fn latin1_unit(rest: &[u8]) -> Unit {
    match rest {
        [0xc2 | 0xc3, 0x80..0xc0, ..] => Unit::Byte((rest[0] << 6) | (rest[1] & 0x3f), 2),
        [0xc2 | 0xc3] => Unit::Incomplete,
        _ => Unit::Literal,
    }
}

/// Reads a byte of two hexadecimal digits that follow a prefix.
fn byte_unit(rest: &[u8], prefix_bytes: usize) -> Unit {
    match hex_digits(&rest[prefix_bytes..], 2) {
        Digits::Value(value) => Unit::Byte(value.to_le_bytes()[0], prefix_bytes + 2),
        Digits::Incomplete => Unit::Incomplete,
        Digits::Malformed => Unit::Literal,
    }
}

fn hex_digits(rest: &[u8], count: usize) -> Digits {
    let mut value = 0;
    for at in 0..count {
        let Some(byte) = rest.get(at) else { return Digits::Incomplete };
        let Some(digit) = char::from(*byte).to_digit(16) else { return Digits::Malformed };
        value = (value << 4) | digit;
    }
    Digits::Value(value)
}

/// Decodes every run of base 64 characters, from each of its first four: a run may begin before the encoded text does.
fn decode_base64(view: &View) -> impl Iterator<Item = View> {
    base64_runs(view).into_iter().flat_map(move |run| (0..4).filter_map(move |skipped| decode_run(view, &run, skipped)))
}

/// A run of base 64 characters, padding and line ends apart.
struct Run {
    /// Positions in the view, and values of six bits.
    digits: Vec<(usize, u8)>,
    reaches_end: bool,
}

fn base64_runs(view: &View) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < view.bytes.len() {
        let (run, end) = read_run(view, at);
        at = end.max(at + 1);
        if run.digits.len() > 1 {
            runs.push(run);
        }
    }
    runs
}

/// Reads the run that starts at a position, and returns it with its end.
fn read_run(view: &View, start: usize) -> (Run, usize) {
    let is_skipped = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let is_in_run = |byte: &u8| base64_digit(*byte).is_some() || is_skipped(byte);
    let length = view.bytes[start..].iter().take_while(|byte| is_in_run(byte)).count();
    let positions = start..start + length;
    let digits = positions.filter_map(|at| base64_digit(view.bytes[at]).map(|digit| (at, digit))).collect();
    let padding = view.bytes[start + length..].iter().take_while(|byte| **byte == b'=' || is_skipped(byte)).count();
    let end = start + length + padding;
    (Run { digits, reaches_end: view.reaches_end && end == view.bytes.len() }, end)
}

/// Returns the value of a character of base 64 or of its form for URLs.
fn base64_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// Decodes a run without its first characters. Returns `None` if it is too short for a secret or its start.
fn decode_run(view: &View, run: &Run, skipped: usize) -> Option<View> {
    let digits = run.digits.get(skipped..)?;
    let mut decoded = View::with_capacity(digits.len());
    decoded.reaches_end = run.reaches_end;
    for group in digits.chunks(4) {
        for (index, pair) in group.windows(2).enumerate() {
            let (byte, positions) = join_digits(index, pair);
            decoded.push(byte, view.source(positions));
        }
    }
    let is_useful = decoded.bytes.len() >= MIN_SECRET_BYTES || (decoded.reaches_end && !decoded.bytes.is_empty());
    is_useful.then_some(decoded)
}

/// Returns the byte that two neighbouring digits of a group contain, and their positions. The first has six, four or two
/// bits of it.
fn join_digits(index: usize, pair: &[(usize, u8)]) -> (u8, Range<usize>) {
    let bits = u16::from(pair[0].1) << 6 | u16::from(pair[1].1);
    let byte = (bits >> (4 - 2 * index)).to_le_bytes()[0];
    (byte, pair[0].0..pair[1].0 + 1)
}
