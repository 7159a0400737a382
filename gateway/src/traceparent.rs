//! `traceparent`, the header of W3C Trace Context (level 1) that names the trace of a request.

use std::num::NonZeroU64;
use std::ops::Range;

/// Length of a value of version 00.
const VALUE_BYTES: usize = 55;
const TRACE_ID_DIGITS: usize = 32;
const DIGITS_PER_NUMBER: usize = 16;
const TRACE_ID: Range<usize> = 3..35;
const PARENT_ID: Range<usize> = 36..52;
/// The one flag that is defined.
const SAMPLED_FLAG: u32 = 1;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Both digits of each byte.
const HEX_PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [HEX_DIGITS[byte >> 4], HEX_DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// A trace id: lower-case hex digits, not all of them 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId([u8; TRACE_ID_DIGITS]);

/// Whether the sender of a `traceparent` may have recorded the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sampling {
    Sampled,
    NotSampled,
}

/// The parts of a `traceparent` that go on. The id of the sender's span is replaced by each hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traceparent {
    pub(crate) trace_id: TraceId,
    pub(crate) sampling: Sampling,
}

/// Value of a `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceparentValue([u8; VALUE_BYTES]);

impl TraceId {
    pub(crate) fn new(high: u64, low: NonZeroU64) -> Self {
        let mut digits = [0; TRACE_ID_DIGITS];
        let (first, second) = digits.split_at_mut(DIGITS_PER_NUMBER);
        write_hex(first, high);
        write_hex(second, low.get());
        Self(digits)
    }
}

impl Traceparent {
    /// Parses a value, also one of a later version, which begins with the fields of version 00 (section 3.2.4). Returns
    /// none if it is not valid.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let (fields, further) = value.split_first_chunk::<VALUE_BYTES>()?;
        let (version, trace_id, parent_id, flags) =
            (&fields[..2], &fields[TRACE_ID], &fields[PARENT_ID], &fields[53..]);
        let is_length_valid = match (version, further) {
            (b"ff", _) => false,
            (_, []) => true,
            (version, [next, ..]) => version != b"00" && *next == b'-',
        };
        let is_zero = |id: &[u8]| id.iter().all(|digit| *digit == b'0');
        let is_valid = is_length_valid
            && [fields[2], fields[35], fields[52]] == [b'-'; 3]
            && [version, trace_id, parent_id, flags].into_iter().all(is_lower_hex)
            && !is_zero(trace_id)
            && !is_zero(parent_id);
        let last_digit = char::from(flags[1]).to_digit(16)?;
        let sampling = if last_digit & SAMPLED_FLAG != 0 { Sampling::Sampled } else { Sampling::NotSampled };
        is_valid.then_some(Self { trace_id: TraceId(trace_id.try_into().ok()?), sampling })
    }

    /// Returns the value that names a span of this trace as the parent of the next ones.
    pub(crate) fn with_parent(self, span_id: NonZeroU64) -> TraceparentValue {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        value[TRACE_ID].copy_from_slice(&self.trace_id.0);
        write_hex(&mut value[PARENT_ID], span_id.get());
        if self.sampling == Sampling::Sampled {
            value[VALUE_BYTES - 1] = b'1';
        }
        TraceparentValue(value)
    }
}

impl TraceparentValue {
    pub(crate) fn as_bytes(&self) -> &[u8; VALUE_BYTES] {
        &self.0
    }

    pub(crate) fn trace_id(&self) -> &str {
        std::str::from_utf8(&self.0[TRACE_ID]).unwrap_or_default()
    }
}

fn is_lower_hex(digits: &[u8]) -> bool {
    digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Writes the 16 digits of a number.
fn write_hex(digits: &mut [u8], number: u64) {
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(number.to_be_bytes()) {
        *pair = HEX_PAIRS[usize::from(byte)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn passed_on(value: &str) -> Option<String> {
        let value = Traceparent::parse(value.as_bytes())?.with_parent(NonZeroU64::MIN);
        Some(String::from_utf8(value.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn a_valid_value_is_passed_on_with_another_parent_and_the_sampled_flag_only() {
        let expected = |flags| Some(format!("00-0af7651916cd43dd8448eb211c80319c-0000000000000001-{flags}"));
        for (end, flags) in [("00", "00"), ("01", "01"), ("02", "00"), ("0a", "00"), ("0b", "01"), ("ff", "01")] {
            assert_eq!(passed_on(&VALID.replace("-01", &format!("-{end}"))), expected(flags), "{end}");
        }
        for later in [VALID.replace("00-0a", "01-0a"), VALID.replace("00-0a", "cc-0a") + "-what-ever"] {
            assert_eq!(passed_on(&later), expected("01"), "{later}");
        }
    }

    #[test]
    fn a_value_that_is_not_strictly_valid_is_refused() {
        let mut invalid: Vec<String> = (0..VALID.len()).map(|length| VALID[..length].to_owned()).collect();
        for at in 0..VALID.len() {
            let wrong = if VALID.as_bytes()[at] == b'-' { "0" } else { "-" };
            for byte in [wrong, "A", "g", " ", "/", ":", "`"] {
                invalid.push(format!("{}{byte}{}", &VALID[..at], &VALID[at + 1..]));
            }
        }
        let more = ["", "-", "-00", " ", ",00"].map(|end| format!("{VALID}{end}"));
        invalid.extend(more.into_iter().skip(1));
        invalid.extend(["0", "00", "-", " "].map(|start| format!("{start}{VALID}")));
        invalid.push(VALID.to_uppercase());
        invalid.push(VALID.replace("00-0a", "ff-0a"));
        invalid.push(VALID.replace("00-0a", "01-0a") + "00");
        invalid.push(VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)));
        invalid.push(VALID.replace("b7ad6b7169203331", &"0".repeat(16)));
        for value in invalid {
            assert_eq!(passed_on(&value), None, "{value:?}");
        }
    }

    #[test]
    fn ids_are_written_as_hex() {
        let traceparent = Traceparent {
            trace_id: TraceId::new(0x0123_4567_89ab_cdef, NonZeroU64::MIN),
            sampling: Sampling::NotSampled,
        };
        let value = traceparent.with_parent(NonZeroU64::MAX);
        assert_eq!(value.as_bytes(), b"00-0123456789abcdef0000000000000001-ffffffffffffffff-00");
        assert_eq!(Traceparent::parse(value.as_bytes()), Some(traceparent));
    }
}
