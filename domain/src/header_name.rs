//! Header names as CGI, FastCGI and PHP read them: every character that is no letter or digit becomes the same one.
//!
//! Folding decides what is taken away from a request or refused in a configuration. It never decides what is believed:
//! a credential counts under its exact name only.

/// Every byte as it is folded: letters in lower case, digits as they are, `-` for anything else.
const FOLDED: [u8; 256] = folded_bytes();

const fn folded_bytes() -> [u8; 256] {
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

/// A header name in folded form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedName(Box<str>);

impl FoldedName {
    /// Folds a name.
    pub fn new(name: &str) -> Self {
        Self(name.bytes().map(|byte| char::from(fold(byte))).collect())
    }

    /// Returns whether a name folds to this one.
    pub fn matches(&self, name: &str) -> bool {
        folds_to(name, &self.0)
    }
}

/// Returns whether a name folds to one that is in folded form already.
pub fn folds_to(name: &str, folded: &str) -> bool {
    name.len() == folded.len() && begins_folded(name, folded)
}

/// Returns whether a name begins with something that folds to a prefix in folded form.
pub fn begins_folded(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(byte, wanted)| fold(byte) == wanted)
}

/// Returns whether folding leaves a name as it is.
pub fn is_folded(name: &str) -> bool {
    name.bytes().all(|byte| fold(byte) == byte)
}

fn fold(byte: u8) -> u8 {
    FOLDED[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(name: &str, folded: &str) {
        assert!(folds_to(name, folded), "{name}");
        assert!(FoldedName::new(name).matches(folded), "{name}");
        assert!(begins_folded(&format!("{name}x"), folded), "{name}");
        assert_eq!(is_folded(name), name == folded, "{name}");
    }

    #[test]
    fn everything_but_letters_and_digits_folds_to_one_character() {
        check("x-real-ip", "x-real-ip");
        check("X_Real.IP", "x-real-ip");
        check("x~real!ip", "x-real-ip");
        check("x\u{e9}", "x--");
        check("h2", "h2");
    }

    #[test]
    fn other_names_do_not_fold_together() {
        for other in ["x-real-i", "x-real-ips", "xreal-ip", "y-real-ip", "x-real1ip", ""] {
            assert!(!folds_to(other, "x-real-ip"), "{other}");
        }
        assert!(!begins_folded("x-real", "x-real-"));
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(name in "[ -~]{0,40}") {
            let once = FoldedName::new(&name);
            prop_assert!(is_folded(&once.0));
            prop_assert_eq!(FoldedName::new(&once.0), once.clone());
            prop_assert!(once.matches(&name));
        }
    }
}
