//! Base 62 text: the alphabet of generated keys and ids.

use rand::CryptoRng;

/// The alphabet in ascending ASCII order, so that encoded numbers of one length sort as numbers.
pub const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Maximum number of digits of a `u64`.
const MAX_DIGITS: usize = 11;

/// Largest multiple of 62 below 256. Bytes from here on are skipped because they would favour the first digits.
const UNBIASED_BYTES: u8 = 248;

/// Appends `count` uniformly random digits, 5.95 bits each.
pub fn push_random(text: &mut String, count: usize, rng: &mut impl CryptoRng) {
    let mut left = count;
    while left > 0 {
        let mut bytes = [0_u8; 32];
        rng.fill_bytes(&mut bytes);
        for byte in bytes.into_iter().filter(|b| *b < UNBIASED_BYTES).take(left) {
            text.push(digit(usize::from(byte % 62)));
            left -= 1;
        }
    }
}

/// Appends `number` as exactly `width` digits (at most 11), most significant first. Higher digits are dropped.
pub fn push_number(text: &mut String, number: u64, width: u32) {
    let digits = digits::<MAX_DIGITS>(number);
    text.extend(digits.iter().skip(MAX_DIGITS - width as usize).map(|digit| char::from(*digit)));
}

/// Returns `number` as exactly `N` digits, most significant first. Higher digits are dropped.
pub fn digits<const N: usize>(number: u64) -> [u8; N] {
    let mut digits = [ALPHABET[0]; N];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

/// Returns the number that digits stand for, most significant first. `None` if the text is empty, not base 62, or too
/// large.
pub fn parse_number(text: &str) -> Option<u64> {
    let value = |byte| ALPHABET.binary_search(&byte).ok().map(|value| value as u64);
    let add = |so_far: u64, byte| so_far.checked_mul(62)?.checked_add(value(byte)?);
    if text.is_empty() { None } else { text.bytes().try_fold(0, add) }
}

/// Returns whether every character of `text` is in the alphabet.
pub fn is_base62(text: &str) -> bool {
    // No short circuit: without it the compiler can vectorise the loop.
    text.bytes().fold(true, |so_far, byte| so_far & byte.is_ascii_alphanumeric())
}

fn digit(value: usize) -> char {
    char::from(ALPHABET[value])
}
