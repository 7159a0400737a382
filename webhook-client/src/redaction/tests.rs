//! Secrets in every encoding, at every position and every cut.

#![expect(clippy::wildcard_enum_match_arm, reason = "each match is about some of the encodings")]

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Encoding {
    Raw,
    PercentEverything,
    PercentMinimal,
    Form,
    JsonEverything,
    JsonMinimal,
    Html,
    Base64,
    Base64Unpadded,
    Base64Url,
    Base64UrlUnpadded,
}

const ENCODINGS: [Encoding; 11] = [
    Encoding::Raw,
    Encoding::PercentEverything,
    Encoding::PercentMinimal,
    Encoding::Form,
    Encoding::JsonEverything,
    Encoding::JsonMinimal,
    Encoding::Html,
    Encoding::Base64,
    Encoding::Base64Unpadded,
    Encoding::Base64Url,
    Encoding::Base64UrlUnpadded,
];

/// Three texts in a row. The middle one is the secret.
#[derive(Debug, Clone)]
struct Echo {
    before: String,
    secret: String,
    after: String,
}

impl Echo {
    fn text(&self) -> String {
        format!("{}{}{}", self.before, self.secret, self.after)
    }

    /// Encodes all three as one text. In base 64, characters that have bits of the secret belong to it.
    fn encode(&self, encoding: Encoding, cases: u64) -> Self {
        let engine = match encoding {
            Encoding::Base64 => STANDARD,
            Encoding::Base64Unpadded => STANDARD_NO_PAD,
            Encoding::Base64Url => URL_SAFE,
            Encoding::Base64UrlUnpadded => URL_SAFE_NO_PAD,
            _ => {
                let escape = |text: &str| escape(encoding, text, cases);
                let [before, secret, after] = [&self.before, &self.secret, &self.after].map(|text| escape(text));
                return Self { before, secret, after };
            }
        };
        let text = engine.encode(self.text());
        let start = self.before.len() * 8 / 6;
        let end = ((self.before.len() + self.secret.len()) * 8).div_ceil(6);
        let [before, secret, after] = [&text[..start], &text[start..end], &text[end..]].map(str::to_owned);
        Self { before, secret, after }
    }
}

/// Escapes a text. `cases` picks the case of each hexadecimal number.
fn escape(encoding: Encoding, text: &str, cases: u64) -> String {
    let mut escaped = String::new();
    for (index, character) in text.chars().enumerate() {
        let is_upper = cases >> (index % 64) & 1 == 1;
        match encoding {
            Encoding::PercentEverything => push_percent(&mut escaped, character, is_upper),
            Encoding::Form if character == ' ' => escaped.push('+'),
            Encoding::PercentMinimal | Encoding::Form if !character.is_ascii_alphanumeric() => {
                push_percent(&mut escaped, character, is_upper);
            }
            Encoding::JsonEverything => push_utf16(&mut escaped, character, is_upper),
            Encoding::JsonMinimal if matches!(character, '"' | '\\' | '/') => {
                escaped.extend(['\\', character]);
            }
            Encoding::Html if matches!(character, '&' | '<' | '>' | '"' | '\'') => {
                escaped.push_str(match character {
                    '&' => "&amp;",
                    '<' => "&lt;",
                    '>' => "&#62;",
                    '"' => "&quot;",
                    _ => "&#x27;",
                });
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

fn push_percent(escaped: &mut String, character: char, is_upper: bool) {
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        if is_upper { write!(escaped, "%{byte:02X}") } else { write!(escaped, "%{byte:02x}") }.unwrap();
    }
}

fn push_utf16(escaped: &mut String, character: char, is_upper: bool) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        if is_upper { write!(escaped, "\\u{unit:04X}") } else { write!(escaped, "\\u{unit:04x}") }.unwrap();
    }
}

fn redactor(secrets: &[&[u8]]) -> Redactor {
    Redactor::of_secrets(secrets.iter().map(|secret| Zeroizing::new(secret.to_vec())).collect())
}

fn encoding() -> impl Strategy<Value = Encoding> {
    proptest::sample::select(ENCODINGS.to_vec())
}

/// A secret in a text that is encoded, inside a text that is not.
fn echo() -> impl Strategy<Value = Echo> {
    ("[ -~é😀]{0,12}", "[ -~é😀]{8,24}", "[ -~é]{0,12}").prop_map(|(before, secret, after)| Echo {
        before,
        secret,
        after,
    })
}

fn surroundings() -> impl Strategy<Value = (String, String)> {
    ("[A-Za-z0-9 \"{}:,.<>=é-]{0,20}", "[ -~é]{0,20}")
}

/// Checks that no 8 bytes in a row of the secret, as it was encoded, are left, except those that the rest has too.
fn assert_absent(redacted: &str, encoded: &Echo, rest: &[&str]) -> Result<(), TestCaseError> {
    let bytes = encoded.secret.as_bytes();
    // The first and the last character of base 64 may be shared with a neighbour.
    for piece in bytes.get(1..bytes.len() - 1).unwrap_or_default().windows(8) {
        let is_in = |text: &str| memmem::find(text.as_bytes(), piece).is_some();
        let is_left = is_in(redacted) && !rest.iter().any(|text| is_in(text));
        prop_assert!(!is_left, "{redacted:?} has a piece of {:?}", encoded.secret);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_secret_is_replaced_in_every_encoding(
        echo in echo(), (before, after) in surroundings(), outer in encoding(), inner in encoding(), cases: u64,
    ) {
        let redactor = redactor(&[echo.secret.as_bytes()]);
        let echoes = [echo.encode(outer, cases), echo.encode(inner, cases).encode(outer, cases)];
        for encoded in echoes {
            let text = format!("{before}{}{after}", encoded.text());
            let redacted = redactor.redact(&text, TextEnd::Whole);
            let redacted = redacted.ok_or_else(|| TestCaseError::fail(format!("{text:?} was dropped")))?;
            let rest = [format!("{before}{}", encoded.before), format!("{}{after}", encoded.after)];
            assert_absent(&redacted, &encoded, &rest.each_ref().map(String::as_str))?;
            prop_assert!(redacted.contains(UserSecret::MASK), "{redacted:?} has no mask");
        }
    }

    #[test]
    fn the_start_of_a_secret_at_the_cut_is_dropped(
        echo in echo(), (before, _) in surroundings(), outer in encoding(), inner in encoding(), cases: u64,
    ) {
        let redactor = redactor(&[echo.secret.as_bytes()]);
        // Three characters of a nested encoding are up to six bytes each.
        let echoes = [(echo.encode(outer, cases), 3), (echo.encode(inner, cases).encode(outer, cases), 3 * 6)];
        for (encoded, left_bytes) in echoes {
            let text = format!("{before}{}", encoded.text());
            let start = before.len() + encoded.before.len();
            for cut in (start + 1..start + encoded.secret.len()).filter(|cut| text.is_char_boundary(*cut)) {
                let redacted = redactor.redact(&text[..cut], TextEnd::Cut).unwrap();
                // What was encoded up to the cut may be the whole secret when it is read as another encoding.
                let kept = redacted.strip_suffix(UserSecret::MASK).unwrap_or(&redacted);
                prop_assert!(text.starts_with(kept), "{redacted:?} of {:?}", &text[..cut]);
                prop_assert!(kept.len() <= start + left_bytes, "{redacted:?} of {:?}", &text[..cut]);
            }
        }
    }

    #[test]
    fn any_text_is_redacted_without_a_panic(text in "\\PC{0,80}", escapes in "[%+\\\\ux0-9a-f&#;=\u{80}-\u{ff}]{0,40}") {
        let redactor = redactor(&[b"secret", b"\xff\xfe\x80\x00"]);
        for text in [&text, &escapes] {
            for end in [TextEnd::Cut, TextEnd::Whole] {
                prop_assert!(redactor.redact(text, end).is_some());
            }
        }
    }
}

fn check(text: &str, end: TextEnd, expected: &str) {
    let redactor = redactor(&[b"s3cr/t value", b"abcabcX", b"\xf0\x9f\xff\xe9bytes"]);
    assert_eq!(redactor.redact(text, end).as_deref(), Some(expected), "{text}");
}

#[test]
fn the_rest_of_a_text_is_unchanged() {
    for text in
        ["", "plain text", "100%", "a\\", "AT&T is &c", "{\"error\": \"caf\u{e9} \\u00e9 %20 aGVsbG8=\"}", "this"]
    {
        check(text, TextEnd::Whole, text);
    }
    check("<s3cr/t value> and s3cr%2Ft+value.", TextEnd::Whole, "<…> and ….");
    check("\"s3cr\\/t value\"", TextEnd::Whole, "\"…\"");
    check("token-czNjci90IHZhbHVl==", TextEnd::Whole, "token-…==");
}

#[test]
fn overlapping_occurrences_are_one_part() {
    let redactor = redactor(&[b"abcXabc", b"Xabcdef"]);
    assert_eq!(redactor.redact("<abcXabcXabcdef>", TextEnd::Whole).as_deref(), Some("<…>"));
}

#[test]
fn a_secret_that_is_the_start_of_another_is_masked_at_the_end() {
    let redactor = redactor(&[b"/hooks/a", b"/hooks/a?token=b"]);
    for end in [TextEnd::Whole, TextEnd::Cut] {
        assert_eq!(redactor.redact("to /hooks/a", end).as_deref(), Some("to …"));
        assert_eq!(redactor.redact("to /hooks/a?tok", end).as_deref(), Some("to …"));
    }
}

#[test]
fn a_secret_is_masked_whose_end_seems_to_be_a_cut_escape_sequence() {
    let redactor = redactor(&[b"0123456789%"]);
    assert_eq!(redactor.redact("to 0123456789%a", TextEnd::Whole).as_deref(), Some("to …"));
    assert_eq!(redactor.redact("0123456789%a", TextEnd::Whole).as_deref(), Some("…"));
}

#[test]
fn the_end_of_a_whole_text_may_be_the_first_letters_of_a_secret() {
    check("it has words", TextEnd::Whole, "it has words");
    check("it has words", TextEnd::Cut, "it has word");
    check("it is s3cr", TextEnd::Whole, "it is ");
    check("it is s3c", TextEnd::Whole, "it is s3c");
    check("cut %7", TextEnd::Cut, "cut ");
    check("cut \\u00", TextEnd::Cut, "cut ");
}

#[test]
fn bytes_that_are_no_text_are_found_as_latin1() {
    check("<\u{f0}\u{9f}\u{ff}\u{e9}bytes>", TextEnd::Whole, "<…>");
    check("<\\u00f0\\u009f\\u00ff\\u00e9bytes>", TextEnd::Whole, "<…>");
    check("<%F0%9f%FF%e9bytes>", TextEnd::Whole, "<…>");
    check("<8J//6WJ5dGVz>", TextEnd::Whole, "<…>");
}

#[test]
fn letters_are_compared_regardless_of_their_case() {
    let redactor = redactor(&[b"ToKen%2Fx", b"abC"]);
    for (text, expected) in [
        ("<token%2fx> <TOKEN%2FX>", "<…> <…>"),
        ("<Abc> <%61%42%43> <YUJj>", "<…> <…> <…>"),
        ("ends with TOKEN", "ends with "),
    ] {
        assert_eq!(redactor.redact(text, TextEnd::Whole).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn base64_may_be_folded_into_lines() {
    let folded = "eHh4czNjc\r\ni90IHZh\r\nbHVleHh4";
    check(folded, TextEnd::Whole, "eHh4…eHh4");
}
