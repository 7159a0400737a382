//! Redaction of secrets in texts that go to logs and problem bodies.

use std::borrow::Cow;

use crate::key::{KeyFormat, MIN_KEY_BYTES, key_format};

/// Replacement for a secret.
pub const MASK: &str = "***";
/// Prefixes of generated values: API keys, access keys, static tokens and signing secrets of webhooks.
const PREFIXES: [&str; 6] = ["live_", "test_", "live_access_", "test_access_", "wht_", "whsec_"];
/// Minimum number of characters after a prefix that make a value. Generated values have more, so a truncated
/// one is found too.
const MIN_BODY_CHARS: usize = 32;

/// Replaces the part after the prefix of every generated value in the text.
pub fn redact(text: &str) -> Cow<'_, str> {
    if text.len() < MIN_BODY_CHARS {
        return Cow::Borrowed(text);
    }
    let mut rest = text;
    let mut redacted = String::new();
    while let Some((start, end)) = find_secret(rest) {
        redacted.push_str(&rest[..start]);
        redacted.push_str(MASK);
        rest = &rest[end..];
    }
    if redacted.is_empty() {
        return Cow::Borrowed(text);
    }
    redacted.push_str(rest);
    Cow::Owned(redacted)
}

/// Replaces each of these secrets and every generated value. A secret shorter than [`MIN_KEY_BYTES`] is not
/// replaced.
pub fn redact_all<'a>(text: &'a str, secrets: impl IntoIterator<Item = &'a str>) -> Cow<'a, str> {
    let mut redacted = Cow::Borrowed(text);
    // Secrets first, because one may contain a generated value and more.
    for secret in secrets {
        if key_format(secret) == KeyFormat::Generated {
            continue;
        }
        // Unquoted, and as `{:?}` and JSON write it.
        let quoted = format!("{secret:?}");
        for form in [secret, quoted.trim_matches('"')] {
            if form.len() >= MIN_KEY_BYTES && redacted.contains(form) {
                redacted = Cow::Owned(redacted.replace(form, MASK));
            }
        }
    }
    redact_cow(redacted)
}

/// Redacts like [`redact`] without copying a text that is already owned.
pub fn redact_cow(text: Cow<'_, str>) -> Cow<'_, str> {
    let redacted = match redact(&text) {
        Cow::Owned(redacted) => Some(redacted),
        Cow::Borrowed(_) => None,
    };
    redacted.map_or(text, Cow::Owned)
}

/// Returns the start and end of the first value, without its prefix.
fn find_secret(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = text[from..].find('_') {
        let start = from + at + 1;
        if let Some(prefix) = PREFIXES.iter().find(|prefix| text[..start].ends_with(**prefix)) {
            let length = text[start..].bytes().take_while(|byte| is_body_byte(*byte, prefix)).count();
            if length >= MIN_BODY_CHARS {
                return Some((start, start + length));
            }
        }
        from = start;
    }
    None
}

/// Returns whether the byte is a digit of base 62, or of base 64 in a webhook's signing secret.
fn is_body_byte(byte: u8, prefix: &str) -> bool {
    byte.is_ascii_alphanumeric() || (prefix == "whsec_" && matches!(byte, b'+' | b'/' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Env, generate_access_key, generate_api_key, generate_static_token};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    proptest! {
        #[test]
        fn generated_values_are_found_in_any_text(seed: u64, before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
            let mut rng = StdRng::seed_from_u64(seed);
            let (live, test) = (generate_api_key(Env::Live, &mut rng), generate_api_key(Env::Test, &mut rng));
            let (access, token) = (generate_access_key(&mut rng), generate_static_token(&mut rng));
            for secret in [live, test, access, token] {
                let text = format!("{before}{}{after}", secret.expose());
                let tail = &secret.expose()[secret.expose().len() - MIN_BODY_CHARS..];
                prop_assert!(!redact(&text).contains(tail), "{}", redact(&text));
            }
        }
    }

    #[test]
    fn the_rest_of_a_text_is_unchanged() {
        let key = format!("live_{}", "a".repeat(64));
        assert_eq!(redact(&format!("/v1/{key}/x/{key}x.json")), "/v1/live_***/x/live_***.json");
        assert_eq!(redact(&format!("live_access_{}", "b".repeat(64))), "live_access_***");
        assert_eq!(redact(&format!("whsec_{}+/{}= x", "c".repeat(20), "d".repeat(21))), "whsec_*** x");
        for text in ["", "_", "live_", "/test_suite/live_items", "key_0123456789abcdefghijklmnopqrstuvwxyz", "über_"] {
            assert!(matches!(redact(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn a_listed_secret_is_found_plain_and_quoted() {
        let secret = "my-own\\key\"1";
        assert_eq!(redact_all(secret, [secret]), MASK);
        assert_eq!(redact_all(&format!("topics: {secret:?} is not known"), [secret]), "topics: \"***\" is not known");
        assert_eq!(redact_all("a short one", ["short"]), "a short one");
        let contains_generated_key = format!("acme-live_{}.s3cr3t", "a".repeat(40));
        assert_eq!(redact_all(&format!("no {contains_generated_key}!"), [contains_generated_key.as_str()]), "no ***!");
    }
}
