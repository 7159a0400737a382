//! The request line as it comes, in whatever pieces: whether it has the strict form of RFC 9112 section 3, and the line
//! ends before it.

/// How far a request line was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// It has not begun.
    Before(LineEnds),
    /// So many spaces were seen; a CR ends it.
    Reading { spaces: u8 },
    /// It has ended, with two spaces and no byte that has no place in it.
    Strict,
    /// It is refused, whatever follows.
    Bad,
}

/// The line ends that came before a request line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnds {
    None,
    Cr,
    /// One empty line, which RFC 9112 section 2.2 asks to ignore: old clients send it behind the body of a POST.
    One,
    /// More than one, or one without its CR or its LF.
    Wrong,
}

impl Line {
    pub(crate) const NEW: Self = Self::Before(LineEnds::None);

    pub(crate) fn has_ended(self) -> bool {
        matches!(self, Line::Strict | Line::Bad)
    }

    /// Takes the line ends that come before the request line, and returns how many of these bytes they are.
    pub(crate) fn take_line_ends(&mut self, bytes: &[u8]) -> usize {
        let Line::Before(before) = *self else { return 0 };
        let count = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        *self = Line::Before(bytes[..count].iter().fold(before, |ends, byte| ends.after(*byte)));
        count
    }

    /// Takes what follows them.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let mut spaces = match *self {
            Line::Before(LineEnds::None | LineEnds::One) => 0,
            Line::Before(LineEnds::Cr | LineEnds::Wrong) => return *self = Line::Bad,
            Line::Reading { spaces } => spaces,
            Line::Strict | Line::Bad => return,
        };
        for byte in bytes {
            match byte {
                b'\r' => return *self = if spaces == 2 { Line::Strict } else { Line::Bad },
                b' ' => spaces = spaces.saturating_add(1),
                // A fragment has no place in a request, and the parser would drop it unseen.
                b'#' => return *self = Line::Bad,
                0x21..=0x7e => {}
                _ => return *self = Line::Bad,
            }
        }
        *self = Line::Reading { spaces };
    }
}

impl LineEnds {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (LineEnds::None, b'\r') => LineEnds::Cr,
            (LineEnds::Cr, b'\n') => LineEnds::One,
            _ => LineEnds::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges a text in pieces of every length.
    #[track_caller]
    fn check(text: &str, expected: Line) {
        for piece in 1..=text.len() {
            let mut line = Line::NEW;
            for mut bytes in text.as_bytes().chunks(piece) {
                bytes = &bytes[line.take_line_ends(bytes)..];
                if !bytes.is_empty() {
                    line.take(bytes);
                }
            }
            assert_eq!(line, expected, "{text:?} in pieces of {piece}");
        }
    }

    #[test]
    fn a_line_has_two_spaces_and_one_empty_line_before_it_at_most() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Line::Strict);
        check("\r\nGET / HTTP/1.1\r\n", Line::Strict);
        check("\r\nGET /", Line::Reading { spaces: 1 });
        check("\r", Line::Before(LineEnds::Cr));
        check("\r\n", Line::Before(LineEnds::One));
        check("\r\n\r\n\r\n", Line::Before(LineEnds::Wrong));
        for bad in ["\r\n\r\n", "\n", "\r", "\r\n\r", "\r\n\n", "\n\r", "\r\r\n", " ", "\r\n ", "\0"] {
            check(&format!("{bad}GET / HTTP/1.1\r\n"), Line::Bad);
        }
        for bad in
            ["GET  / HTTP/1.1\r\n", "GET /\r\n", "GET /# HTTP/1.1\r\n", "GET / HTTP/1.1\n", "GET\t/ HTTP/1.1\r\n"]
        {
            check(bad, Line::Bad);
        }
    }
}
