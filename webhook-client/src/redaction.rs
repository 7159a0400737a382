//! Redaction of a receiver's response: it may echo the request, in any encoding, and with it the secrets of the webhook
//! and of the event.
//!
//! The text is decoded in every encoding (`decode.rs`). Each decoded byte knows which part of the text it comes from
//! (`view.rs`), so a secret that is found in a decoded text is replaced in the original.
//!
//! ASCII letters are compared regardless of their case: receivers write names and tokens in lower case.
//!
//! A secret of fewer than [`MIN_SECRET_BYTES`](crate::bounds::MIN_SECRET_BYTES) is not replaced. A piece of a secret is
//! found at the end of a text only: a receiver that shortens a secret itself, and writes more after it, is not noticed.

mod decode;
mod secrets;
mod view;

use std::ops::Range;

use gatepost_domain::record::UserSecret;
use memchr::memmem;
use zeroize::Zeroizing;

use self::view::View;
use crate::bounds::{MAX_NESTED_ENCODINGS, MIN_TAIL_BYTES};
use crate::message::Message;

/// How a text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextEnd {
    /// The text was cut, perhaps inside a secret.
    Cut,
    /// The text ends here, unless the receiver itself has cut it.
    Whole,
}

impl TextEnd {
    /// Returns the minimum length in decoded bytes of a tail that is dropped because it could be the start of a secret.
    /// The end of a whole text is kept if it only happens to be the first letters of a secret.
    fn min_tail_bytes(self) -> usize {
        match self {
            TextEnd::Cut => 1,
            TextEnd::Whole => MIN_TAIL_BYTES,
        }
    }
}

/// Replaces the secrets of a message. Built only for a failed attempt.
pub(crate) struct Redactor {
    /// In lower case.
    secrets: Vec<Zeroizing<Vec<u8>>>,
}

/// Where secrets are in a text.
struct Findings {
    /// Parts that are, or contain, a secret.
    secrets: Vec<Range<usize>>,
    /// Start of a tail that could be the start of a secret, or the length of the text.
    tail: usize,
}

impl Redactor {
    /// Creates a redactor of every secret that the request of a message has.
    pub(crate) fn new(message: &Message<'_>) -> Self {
        Self::of_secrets(secrets::of_message(message))
    }

    fn of_secrets(mut secrets: Vec<Zeroizing<Vec<u8>>>) -> Self {
        secrets.iter_mut().for_each(|secret| secret.make_ascii_lowercase());
        Self { secrets }
    }

    /// Replaces every secret by a mask, and drops a tail that could be the start of one. Returns `None` if a secret is
    /// still found afterwards.
    pub(crate) fn redact(&self, text: &str, end: TextEnd) -> Option<String> {
        let redacted = mask(text, self.find(text, end));
        self.find(&redacted, TextEnd::Whole).secrets.is_empty().then_some(redacted)
    }

    fn find(&self, text: &str, end: TextEnd) -> Findings {
        let mut findings = Findings { secrets: Vec::new(), tail: text.len() };
        self.find_in_view(&View::of_text(text), MAX_NESTED_ENCODINGS, end, &mut findings);
        findings
    }

    fn find_in_view(&self, view: &View, nested_encodings: usize, end: TextEnd, findings: &mut Findings) {
        let folded = Zeroizing::new(view.bytes.to_ascii_lowercase());
        for secret in &self.secrets {
            findings.secrets.extend(occurrences(&folded, secret).map(|part| view.source(part)));
        }
        if let Some(tail) = self.tail(view, &folded, end) {
            findings.tail = findings.tail.min(tail);
        }
        if nested_encodings > 0 {
            for decoded in decode::decodings(view) {
                self.find_in_view(&decoded, nested_encodings - 1, end, findings);
            }
        }
    }

    /// Returns the start in the text of the longest end of a view that is the start of a secret, or of an escape sequence
    /// that was cut. `folded` are the bytes of the view in lower case.
    fn tail(&self, view: &View, folded: &[u8], end: TextEnd) -> Option<usize> {
        if !view.reaches_end {
            return None;
        }
        let tails = self.secrets.iter().filter_map(|secret| longest_tail(folded, secret, end.min_tail_bytes()));
        let longest = tails.max().map(|length| view.sources[view.bytes.len() - length].start);
        longest.or(view.incomplete_from.filter(|_| end == TextEnd::Cut))
    }
}

/// Returns where some bytes have the secret, overlapping parts too.
fn occurrences<'a>(bytes: &'a [u8], secret: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + memmem::find(&bytes[from..], secret)?;
        from = start + 1;
        Some(start..start + secret.len())
    })
}

/// Returns the length of the longest end of some bytes that is the start of the secret, but not all of it.
fn longest_tail(bytes: &[u8], secret: &[u8], min_bytes: usize) -> Option<usize> {
    (min_bytes..secret.len()).rev().find(|length| bytes.ends_with(&secret[..*length]))
}

/// Replaces each part by a mask and drops the tail, unless a mask replaces all of it. A part that begins where the tail does
/// gets its mask too.
fn mask(text: &str, findings: Findings) -> String {
    let mut parts = findings.secrets;
    let is_masked = parts.iter().any(|part| part.start <= findings.tail && part.end == text.len());
    let end = if is_masked { text.len() } else { text.floor_char_boundary(findings.tail) };
    parts.sort_by_key(|part| part.start);
    let mut masked = String::new();
    let mut copied = 0;
    for part in parts.into_iter().filter(|part| part.start <= findings.tail) {
        let start = text.floor_char_boundary(part.start);
        if start >= copied {
            masked.push_str(&text[copied..start]);
            masked.push_str(UserSecret::MASK);
        }
        copied = copied.max(text.ceil_char_boundary(part.end));
    }
    masked.push_str(text.get(copied..end).unwrap_or_default());
    masked
}

#[cfg(test)]
mod tests;
