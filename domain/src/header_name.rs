//! Header names as CGI, FastCGI and PHP read them: every character that is not a letter or digit becomes the
//! same one.
//!
//! Normalized names decide only which headers are removed from a request or rejected in a configuration. They
//! never decide what is trusted: a credential is accepted under its exact header name only.

/// Normalized form of every byte: letters in lower case, digits unchanged, `-` for everything else.
const NORMALIZED: [u8; 256] = normalized_bytes();

const fn normalized_bytes() -> [u8; 256] {
    let mut table = [b'-'; 256];
    let mut byte = 0;
    while byte < table.len() {
        // `byte` is below 256.
        let as_byte = byte as u8;
        if as_byte.is_ascii_alphanumeric() {
            table[byte] = as_byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
}

/// A header name in normalized form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizedHeaderName(Box<str>);

impl NormalizedHeaderName {
    /// Normalizes a name.
    pub fn new(name: &str) -> Self {
        Self(name.bytes().map(|byte| char::from(normalize_byte(byte))).collect())
    }

    /// Returns whether `name` normalizes to this name.
    pub fn matches(&self, name: &str) -> bool {
        normalizes_to(name, &self.0)
    }
}

/// Returns whether `name` normalizes to `normalized`, which must be in normalized form.
pub fn normalizes_to(name: &str, normalized: &str) -> bool {
    name.len() == normalized.len() && has_normalized_prefix(name, normalized)
}

/// Returns whether the normalized form of `name` starts with `prefix`, which must be in normalized form.
pub fn has_normalized_prefix(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len()
        && name.bytes().zip(prefix.bytes()).all(|(byte, expected)| normalize_byte(byte) == expected)
}

/// Returns whether normalizing leaves `name` unchanged.
pub fn is_normalized(name: &str) -> bool {
    name.bytes().all(|byte| normalize_byte(byte) == byte)
}

fn normalize_byte(byte: u8) -> u8 {
    NORMALIZED[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(name: &str, normalized: &str) {
        assert!(normalizes_to(name, normalized), "{name}");
        assert!(NormalizedHeaderName::new(name).matches(normalized), "{name}");
        assert!(has_normalized_prefix(&format!("{name}x"), normalized), "{name}");
        assert_eq!(is_normalized(name), name == normalized, "{name}");
    }

    #[test]
    fn everything_but_letters_and_digits_becomes_a_hyphen() {
        check("x-real-ip", "x-real-ip");
        check("X_Real.IP", "x-real-ip");
        check("x~real!ip", "x-real-ip");
        check("x\u{e9}", "x--");
        check("h2", "h2");
    }

    #[test]
    fn other_names_stay_distinct() {
        for other in ["x-real-i", "x-real-ips", "xreal-ip", "y-real-ip", "x-real1ip", ""] {
            assert!(!normalizes_to(other, "x-real-ip"), "{other}");
        }
        assert!(!has_normalized_prefix("x-real", "x-real-"));
    }

    proptest! {
        #[test]
        fn normalizing_is_idempotent(name in "[ -~]{0,40}") {
            let once = NormalizedHeaderName::new(&name);
            prop_assert!(is_normalized(&once.0));
            prop_assert_eq!(NormalizedHeaderName::new(&once.0), once.clone());
            prop_assert!(once.matches(&name));
        }
    }
}
