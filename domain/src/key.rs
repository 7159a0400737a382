//! Key values: generated ones with a checksum, chosen ones within limits, and their masks.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::base62;
use crate::id::CELL;

/// Characters of a generated value after its prefix: cell, random digits, checksum.
const BODY_DIGITS: usize = 64;
/// 333 bits.
const RANDOM_DIGITS: usize = BODY_DIGITS - 2 - CHECKSUM_DIGITS;
/// 256 bits.
const STATIC_TOKEN_DIGITS: usize = 43;
/// Enough base 62 digits for a CRC32.
const CHECKSUM_DIGITS: usize = 6;

/// Shortest and longest value that anyone may choose, in bytes.
pub const MIN_KEY_BYTES: usize = 8;
/// A longer credential is refused without a look-up.
pub const MAX_KEY_BYTES: usize = 512;
/// A mask shows nothing of a value shorter than this.
const MIN_MASKED_BYTES: usize = 16;

/// Whether keys of a project are for real traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Env {
    /// Real traffic; values start with `live_`.
    Live,
    /// Trials; values start with `test_`.
    Test,
}

impl Env {
    /// As it stands in the API, in records and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Env::Live => "live",
            Env::Test => "test",
        }
    }

    /// Reads what [`Env::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Env::Live, Env::Test].into_iter().find(|env| env.as_str() == text)
    }
}

/// A credential in clear. It is wiped when dropped and does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret into care.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself: for answers to its owner, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Draws a new API key value: `live_` or `test_` and 64 base 62 characters.
pub fn generate_api_key(env: Env, rng: &mut impl CryptoRng) -> Secret {
    generate(&format!("{}_", env.as_str()), rng)
}

/// Draws a new access key value: `live_access_` and 64 base 62 characters.
pub fn generate_access_key(rng: &mut impl CryptoRng) -> Secret {
    generate("live_access_", rng)
}

/// Draws what a webhook sends as `theauthapi-signature`: `wht_` and 256 bits. It leads to nothing here.
pub fn generate_static_token(rng: &mut impl CryptoRng) -> Secret {
    let mut text = "wht_".to_owned();
    base62::push_random(&mut text, STATIC_TOKEN_DIGITS, rng);
    Secret::new(text)
}

fn generate(prefix: &str, rng: &mut impl CryptoRng) -> Secret {
    let mut text = String::with_capacity(prefix.len() + BODY_DIGITS);
    text.push_str(prefix);
    text.push_str(CELL);
    base62::push_random(&mut text, RANDOM_DIGITS, rng);
    let checksum = crc32fast::hash(text.as_bytes());
    base62::push_number(&mut text, u64::from(checksum), CHECKSUM_DIGITS as u32);
    Secret::new(text)
}

/// Why a value cannot be a key, known without any look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFormatError {
    /// Shorter than [`MIN_KEY_BYTES`] or longer than [`MAX_KEY_BYTES`].
    #[error("a key has 8 to 512 characters")]
    Length,
    /// Not visible ASCII, or one of `/ ? # %`, which would break a path.
    #[error("a key has visible ASCII characters without / ? # %")]
    InvalidCharacter,
    /// It looks like an id or an access key.
    #[error("a key does not start with key_, live_access_ or test_access_")]
    Reserved,
    /// It has our shape and its checksum is wrong: mistyped or made up.
    #[error("the key's checksum is wrong")]
    Checksum,
}

/// Whether values of our shape must have a right checksum. False for good once a value without one
/// was accepted into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumPolicy {
    /// Refuse a wrong one without a look-up.
    Strict,
    /// Look it up all the same.
    Lenient,
}

/// Judges a presented API key by its text alone.
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

/// How a value relates to the values that we generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    /// Our form, right checksum.
    Generated,
    /// Our form, wrong checksum.
    WrongChecksum,
    /// Any other form.
    Custom,
}

/// Tells generated values from others. Access keys have the same form behind a longer prefix.
pub fn key_format(text: &str) -> KeyFormat {
    match generated_body(text) {
        None => KeyFormat::Custom,
        Some(_) if has_valid_checksum(text) => KeyFormat::Generated,
        Some(_) => KeyFormat::WrongChecksum,
    }
}

/// What follows the prefix of a value of our form.
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

/// What may be shown of a value: at most a quarter of it, nothing of a short one.
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
