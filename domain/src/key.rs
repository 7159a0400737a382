//! Key values: generated values with a checksum, custom values within limits, and their masks.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::base62;

/// First characters of a generated value after its prefix. They are not a partition.
const VALUE_FORMAT: &str = "00";
/// Characters of a generated value after its prefix: format, random digits, checksum.
const BODY_DIGITS: usize = 64;
/// 333 bits.
const RANDOM_DIGITS: usize = BODY_DIGITS - VALUE_FORMAT.len() - CHECKSUM_DIGITS;
/// 256 bits.
const STATIC_TOKEN_DIGITS: usize = 43;
/// Enough base 62 digits for a CRC32.
const CHECKSUM_DIGITS: usize = 6;

/// Minimum length of a custom key value in bytes.
pub const MIN_KEY_BYTES: usize = 8;
/// Maximum length of a key value in bytes. A longer credential is rejected without a lookup.
pub const MAX_KEY_BYTES: usize = 512;
/// Minimum length in bytes of a value of which a mask shows anything.
const MIN_MASKED_BYTES: usize = 16;

/// Environment of a project's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Env {
    /// Production traffic; key values start with `live_`.
    Live,
    /// Testing; key values start with `test_`.
    Test,
}

impl Env {
    /// Returns the name used in the API, in records and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Env::Live => "live",
            Env::Test => "test",
        }
    }

    /// Parses the output of [`Env::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Env::Live, Env::Test].into_iter().find(|env| env.as_str() == text)
    }
}

/// A credential in plaintext. It is wiped from memory when dropped and its `Debug` output is masked.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a plaintext secret.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the plaintext, for responses to its owner. It must never be logged.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Generates an API key value: `live_` or `test_` and 64 base 62 characters.
pub fn generate_api_key(env: Env, rng: &mut impl CryptoRng) -> Secret {
    generate(&format!("{}_", env.as_str()), rng)
}

/// Generates an access key value: `live_access_` and 64 base 62 characters.
pub fn generate_access_key(rng: &mut impl CryptoRng) -> Secret {
    generate("live_access_", rng)
}

/// Generates the token that a webhook sends as `theauthapi-signature`: `wht_` and 256 bits. It grants no access
/// to Gatepost.
pub fn generate_static_token(rng: &mut impl CryptoRng) -> Secret {
    let mut text = "wht_".to_owned();
    base62::push_random(&mut text, STATIC_TOKEN_DIGITS, rng);
    Secret::new(text)
}

fn generate(prefix: &str, rng: &mut impl CryptoRng) -> Secret {
    let mut text = String::with_capacity(prefix.len() + BODY_DIGITS);
    text.push_str(prefix);
    text.push_str(VALUE_FORMAT);
    base62::push_random(&mut text, RANDOM_DIGITS, rng);
    let checksum = crc32fast::hash(text.as_bytes());
    base62::push_number(&mut text, u64::from(checksum), CHECKSUM_DIGITS as u32);
    Secret::new(text)
}

/// Why a text cannot be a key. Found without a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFormatError {
    /// Shorter than [`MIN_KEY_BYTES`] or longer than [`MAX_KEY_BYTES`].
    #[error("a key has 8 to 512 characters")]
    Length,
    /// Contains something other than visible ASCII, or one of `/ ? # %`, which would break a path.
    #[error("a key has visible ASCII characters without / ? # %")]
    InvalidCharacter,
    /// Starts with the prefix of an id or of an access key.
    #[error("a key does not start with key_, live_access_ or test_access_")]
    Reserved,
    /// Has the generated format and a wrong checksum: mistyped or made up.
    #[error("the key's checksum is wrong")]
    Checksum,
}

/// Whether values in the generated format must have a valid checksum. Lenient for good once the store has
/// accepted a value without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumPolicy {
    /// Reject a wrong checksum without a lookup.
    Strict,
    /// Look the value up regardless of its checksum.
    Lenient,
}

/// Checks the format of an API key without a lookup.
///
/// # Errors
/// Returns the first rule of [`KeyFormatError`] that the text violates.
pub fn check_api_key(text: &str, checksum_policy: ChecksumPolicy) -> Result<(), KeyFormatError> {
    if text.len() < MIN_KEY_BYTES || text.len() > MAX_KEY_BYTES {
        return Err(KeyFormatError::Length);
    }
    let has_generated_form = generated_body(text).is_some();
    if !has_generated_form && !text.bytes().all(is_key_byte) {
        return Err(KeyFormatError::InvalidCharacter);
    }
    if ["key_", "live_access_", "test_access_"].iter().any(|prefix| text.starts_with(prefix)) {
        return Err(KeyFormatError::Reserved);
    }
    match checksum_policy {
        ChecksumPolicy::Strict if has_generated_form && !has_valid_checksum(text) => Err(KeyFormatError::Checksum),
        ChecksumPolicy::Strict | ChecksumPolicy::Lenient => Ok(()),
    }
}

/// Format of a value compared with generated values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    /// Generated format, valid checksum.
    Generated,
    /// Generated format, wrong checksum.
    WrongChecksum,
    /// Any other format.
    Custom,
}

/// Classifies the format of a value. Access keys have the same format behind a longer prefix.
pub fn key_format(text: &str) -> KeyFormat {
    match generated_body(text) {
        None => KeyFormat::Custom,
        Some(_) if has_valid_checksum(text) => KeyFormat::Generated,
        Some(_) => KeyFormat::WrongChecksum,
    }
}

/// Returns what follows the prefix of a value in the generated format.
fn generated_body(text: &str) -> Option<&str> {
    let prefix = text.get(..text.len().checked_sub(BODY_DIGITS)?)?;
    let body = &text[prefix.len()..];
    let has_generated_form =
        matches!(prefix, "live_" | "test_" | "live_access_" | "test_access_") && base62::is_base62(body);
    has_generated_form.then_some(body)
}

fn has_valid_checksum(text: &str) -> bool {
    let (signed, written) = text.split_at(text.len() - CHECKSUM_DIGITS);
    let expected: [u8; CHECKSUM_DIGITS] = base62::digits(u64::from(crc32fast::hash(signed.as_bytes())));
    expected == written.as_bytes()
}

/// Returns a masked form of a value that shows at most a quarter of it, and nothing of a value below 16 bytes.
pub fn mask(text: &str) -> String {
    if text.len() < MIN_MASKED_BYTES || !text.is_ascii() {
        return "…".to_owned();
    }
    let tail = 4;
    let head = (text.len() / 4 - tail).min(8);
    format!("{}…{}", &text[..head], &text[text.len() - tail..])
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#' | b'%')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    proptest! {
        #[test]
        fn generated_values_have_a_valid_checksum(seed: u64) {
            let mut rng = StdRng::seed_from_u64(seed);
            for secret in [generate_api_key(Env::Live, &mut rng), generate_api_key(Env::Test, &mut rng)] {
                prop_assert_eq!(secret.expose().len(), 69);
                prop_assert_eq!(check_api_key(secret.expose(), ChecksumPolicy::Strict), Ok(()));
            }
            prop_assert_eq!(key_format(generate_access_key(&mut rng).expose()), KeyFormat::Generated);
        }

        #[test]
        fn any_changed_character_breaks_the_checksum(seed: u64, index in 5..69_usize, new in "[0-9A-Za-z]") {
            let secret = generate_api_key(Env::Live, &mut StdRng::seed_from_u64(seed));
            let mut changed = secret.expose().to_owned();
            changed.replace_range(index..=index, &new);
            if changed != secret.expose() {
                prop_assert_eq!(check_api_key(&changed, ChecksumPolicy::Strict), Err(KeyFormatError::Checksum));
                prop_assert_eq!(check_api_key(&changed, ChecksumPolicy::Lenient), Ok(()));
            }
        }

        #[test]
        fn a_mask_shows_at_most_a_quarter(text in "[!-~]{1,512}") {
            let shown = mask(&text).chars().filter(|c| *c != '…').count();
            prop_assert!(shown * 4 <= text.len());
            prop_assert!(text.len() >= 16 || shown == 0);
        }
    }

    #[test]
    fn custom_values_have_limits() {
        let long = "x".repeat(513);
        for (text, error) in [
            ("short", KeyFormatError::Length),
            (long.as_str(), KeyFormatError::Length),
            ("with space", KeyFormatError::InvalidCharacter),
            ("with/slash", KeyFormatError::InvalidCharacter),
            ("with%41percent", KeyFormatError::InvalidCharacter),
            ("schlüssel", KeyFormatError::InvalidCharacter),
            ("key_00aaaaaaaaaaaa", KeyFormatError::Reserved),
            ("live_access_0000000", KeyFormatError::Reserved),
        ] {
            assert_eq!(check_api_key(text, ChecksumPolicy::Strict), Err(error), "{text}");
        }
        assert_eq!(check_api_key("custom_key_1", ChecksumPolicy::Strict), Ok(()));
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hidden".to_owned())), "***");
    }
}
