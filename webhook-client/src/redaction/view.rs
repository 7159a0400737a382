//! A decoded text whose bytes know where in the original text they come from.

use std::ops::Range;

use zeroize::Zeroizing;

/// A text, or a part of it, in decoded form.
pub(super) struct View {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Part of the original text that each byte was decoded from.
    pub(super) sources: Vec<Range<usize>>,
    /// Whether the view continues to the end of the original text.
    pub(super) reaches_end: bool,
    /// Start in the original text of an escape sequence that is cut by its end, and that the view does not have.
    pub(super) incomplete_from: Option<usize>,
}

impl View {
    /// Creates the view that is the text itself.
    pub(super) fn of_text(text: &str) -> Self {
        Self {
            bytes: Zeroizing::new(text.as_bytes().to_vec()),
            sources: (0..text.len()).map(|at| at..at + 1).collect(),
            reaches_end: true,
            incomplete_from: None,
        }
    }

    /// Creates an empty view for at most so many bytes.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Zeroizing::new(Vec::with_capacity(capacity)),
            sources: Vec::with_capacity(capacity),
            reaches_end: false,
            incomplete_from: None,
        }
    }

    /// Appends a byte that was decoded from this part of the original text.
    pub(super) fn push(&mut self, byte: u8, source: Range<usize>) {
        self.bytes.push(byte);
        self.sources.push(source);
    }

    /// Returns the part of the original text that these bytes come from. The range must not be empty.
    pub(super) fn source(&self, range: Range<usize>) -> Range<usize> {
        self.sources[range.start].start..self.sources[range.end - 1].end
    }
}
