//! Check of a request line and the line ends before it, byte by byte as they come, for the strict form of RFC 9112
//! section 3.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestLineState {
    /// Before the first byte of the line.
    Pending(LeadingLineEnds),
    /// With the number of spaces so far. A CR ends the line.
    InProgress { spaces: u8 },
    /// Ended, with two spaces and no invalid byte.
    Valid,
    /// Rejected, whatever follows.
    Invalid,
}

/// Line ends before a request line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeadingLineEnds {
    None,
    Cr,
    /// One empty line, to be ignored by RFC 9112 section 2.2: old clients send it after the body of a POST.
    OneEmptyLine,
    /// More than one, or one without its CR or its LF.
    Invalid,
}

impl RequestLineState {
    pub(crate) const NEW: Self = Self::Pending(LeadingLineEnds::None);

    pub(crate) fn is_complete(self) -> bool {
        matches!(self, RequestLineState::Valid | RequestLineState::Invalid)
    }

    /// Consumes the line ends before the request line, and returns their number.
    pub(crate) fn consume_line_ends(&mut self, bytes: &[u8]) -> usize {
        let RequestLineState::Pending(before) = *self else { return 0 };
        let count = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        *self = RequestLineState::Pending(bytes[..count].iter().fold(before, |ends, byte| ends.advance(*byte)));
        count
    }

    /// Consumes the bytes after them.
    pub(crate) fn consume(&mut self, bytes: &[u8]) {
        let mut spaces = match *self {
            RequestLineState::Pending(LeadingLineEnds::None | LeadingLineEnds::OneEmptyLine) => 0,
            RequestLineState::Pending(LeadingLineEnds::Cr | LeadingLineEnds::Invalid) => {
                return *self = RequestLineState::Invalid;
            }
            RequestLineState::InProgress { spaces } => spaces,
            RequestLineState::Valid | RequestLineState::Invalid => return,
        };
        for byte in bytes {
            match byte {
                b'\r' => return *self = if spaces == 2 { RequestLineState::Valid } else { RequestLineState::Invalid },
                b' ' => spaces = spaces.saturating_add(1),
                // A request has no fragment (RFC 9112 section 3.2), and the parser would drop one.
                b'#' => return *self = RequestLineState::Invalid,
                0x21..=0x7e => {}
                // Request validation decides on a path outside ASCII.
                0x80.. if spaces == 1 => {}
                _ => return *self = RequestLineState::Invalid,
            }
        }
        *self = RequestLineState::InProgress { spaces };
    }
}

impl LeadingLineEnds {
    fn advance(self, byte: u8) -> Self {
        match (self, byte) {
            (LeadingLineEnds::None, b'\r') => LeadingLineEnds::Cr,
            (LeadingLineEnds::Cr, b'\n') => LeadingLineEnds::OneEmptyLine,
            _ => LeadingLineEnds::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a text in pieces of every length.
    #[track_caller]
    fn check(text: &str, expected: RequestLineState) {
        for piece in 1..=text.len() {
            let mut line = RequestLineState::NEW;
            for mut bytes in text.as_bytes().chunks(piece) {
                bytes = &bytes[line.consume_line_ends(bytes)..];
                if !bytes.is_empty() {
                    line.consume(bytes);
                }
            }
            assert_eq!(line, expected, "{text:?} in pieces of {piece}");
        }
    }

    #[test]
    fn a_line_has_two_spaces_and_one_empty_line_before_it_at_most() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLineState::Valid);
        check("\r\nGET / HTTP/1.1\r\n", RequestLineState::Valid);
        check("\r\nGET /", RequestLineState::InProgress { spaces: 1 });
        check("GET /\u{fc} HTTP/1.1\r\n", RequestLineState::Valid);
        check("\r", RequestLineState::Pending(LeadingLineEnds::Cr));
        check("\r\n", RequestLineState::Pending(LeadingLineEnds::OneEmptyLine));
        check("\r\n\r\n\r\n", RequestLineState::Pending(LeadingLineEnds::Invalid));
        for bad in ["\r\n\r\n", "\n", "\r", "\r\n\r", "\r\n\n", "\n\r", "\r\r\n", " ", "\r\n ", "\0"] {
            check(&format!("{bad}GET / HTTP/1.1\r\n"), RequestLineState::Invalid);
        }
        for bad in [
            "GET  / HTTP/1.1\r\n",
            "GET /\r\n",
            "GET /# HTTP/1.1\r\n",
            "GET / HTTP/1.1\n",
            "GET\t/ HTTP/1.1\r\n",
            "G\u{fc}T / HTTP/1.1\r\n",
            "GET / \u{fc}\r\n",
        ] {
            check(bad, RequestLineState::Invalid);
        }
    }
}
