//! Finds where a request ends among the bytes that come, so that the next one on its connection is read apart from it.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Finds the empty line that ends a header, also if it comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct HeaderEnd {
    /// How much of the end was seen, up to the last byte so far.
    matched: usize,
}

const END: &[u8; 4] = b"\r\n\r\n";
/// Made once, for to make it costs as much as to search a header.
static FIND_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(END));

impl HeaderEnd {
    /// Returns how many of these bytes belong to the header, if it ends among them.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.matched == 0 {
            if let Some(at) = FIND_END.find(bytes) {
                return Some(at + END.len());
            }
            let rest = &bytes[bytes.len().saturating_sub(END.len())..];
            self.step_through(rest);
            return None;
        }
        match self.step_through(bytes) {
            Some(end) => {
                self.matched = 0;
                Some(end)
            }
            None => None,
        }
    }

    fn step_through(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            self.matched = match (*byte == END[self.matched], *byte) {
                (true, _) => self.matched + 1,
                (false, b'\r') => 1,
                (false, _) => 0,
            };
            if self.matched == END.len() {
                return Some(at + 1);
            }
        }
        None
    }
}

/// The rest of a request after its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks and trailers.
    Chunked(Chunk),
    /// All that comes, for it is no request any more.
    Endless,
}

/// How far a chunked body has come (RFC 9112 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// In the digits of a size.
    Size(u64),
    /// Behind the digits, until the line ends.
    SizeLine(u64),
    /// So many bytes of data and of the line end after it are to come.
    Data(u64),
    /// In a line of the trailers that has so many characters.
    Trailer(usize),
    End,
}

impl Body {
    pub(crate) const EMPTY: Self = Self::Length(0);
    pub(crate) const CHUNKED: Self = Self::Chunked(Chunk::Size(0));

    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::End))
    }

    /// Takes what belongs to the body of these bytes, and returns how many that are.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        match self {
            Body::Endless => bytes.len(),
            Body::Length(left) => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                taken
            }
            Body::Chunked(chunk) => take_chunks(chunk, bytes),
        }
    }
}

/// It only has to find the end that the parser finds. What is malformed the parser refuses, and the connection with it.
fn take_chunks(chunk: &mut Chunk, bytes: &[u8]) -> usize {
    let mut at = 0;
    while let (Some(byte), false) = (bytes.get(at), *chunk == Chunk::End) {
        if let Chunk::Data(left) = *chunk {
            let rest = (bytes.len() - at) as u64;
            let taken = left.min(rest);
            *chunk = if taken == left { Chunk::Size(0) } else { Chunk::Data(left - taken) };
            at += taken as usize;
            continue;
        }
        *chunk = chunk.after(*byte);
        at += 1;
    }
    at
}

impl Chunk {
    /// The line end after the data of a chunk.
    const LINE_END_BYTES: u64 = 2;

    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Chunk::Size(0) | Chunk::SizeLine(0), b'\n') => Chunk::Trailer(0),
            (Chunk::Size(size) | Chunk::SizeLine(size), b'\n') => {
                Chunk::Data(size.saturating_add(Self::LINE_END_BYTES))
            }
            (Chunk::Size(size), _) => match char::from(byte).to_digit(16) {
                Some(digit) => Chunk::Size(size.saturating_mul(16).saturating_add(digit.into())),
                None => Chunk::SizeLine(size),
            },
            (Chunk::SizeLine(size), _) => Chunk::SizeLine(size),
            (Chunk::Trailer(0), b'\n') => Chunk::End,
            (Chunk::Trailer(_), b'\n') => Chunk::Trailer(0),
            (Chunk::Trailer(length), b'\r') => Chunk::Trailer(length),
            (Chunk::Trailer(length), _) => Chunk::Trailer(length + 1),
            (Chunk::Data(_) | Chunk::End, _) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_header_is_found_in_whatever_pieces_it_comes() {
        let text = b"GET / HTTP/1.1\r\nA: b\r\r\n\r\nnext\r\n\r\n";
        let end = text.len() - b"next\r\n\r\n".len();
        assert_eq!(HeaderEnd::default().find(text), Some(end));
        for first in 1..end {
            for second in first..end {
                let mut header = HeaderEnd::default();
                assert_eq!(header.find(&text[..first]), None, "{first}");
                assert_eq!(header.find(&text[first..second]), None, "{first} {second}");
                assert_eq!(header.find(&text[second..]), Some(end - second), "{first} {second}");
            }
        }
    }

    #[track_caller]
    fn check(body: Body, text: &str, length: usize) {
        for piece in 1..=text.len() {
            let (mut body, mut taken) = (body, 0);
            for bytes in text.as_bytes().chunks(piece) {
                taken += body.take(bytes);
            }
            assert_eq!((taken, body.is_over()), (length, true), "{text:?} in pieces of {piece}");
        }
    }

    #[test]
    fn the_end_of_a_body_is_found_in_whatever_pieces_it_comes() {
        check(Body::EMPTY, "next", 0);
        check(Body::Length(3), "abcnext", 3);
        check(Body::CHUNKED, "0\r\n\r\nnext", 5);
        check(Body::CHUNKED, "3\r\nabc\r\nA;x=\"y\"\r\n0\r\n\r\n45678\r\n00\r\nT: 1\r\nU:\r\n\r\n0\r\n\r\n", 45);
        let mut endless = Body::Endless;
        assert_eq!((endless.take(b"abc"), endless.is_over()), (3, false));
    }

    #[test]
    fn a_size_beyond_all_bounds_ends_nowhere() {
        let mut body = Body::CHUNKED;
        let text = b"ffffffffffffffffffff\r\n0\r\n\r\n";
        assert_eq!((body.take(text), body.is_over()), (text.len(), false));
    }
}
