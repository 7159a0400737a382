//! End of an HTTP/1 request in a stream of bytes, so that the next request on the connection is read separately.

use std::sync::LazyLock;

use gatepost_edge::BodyLength;
use memchr::memmem::Finder;

/// Finds the empty line that ends a header, also across reads.
#[derive(Debug, Default)]
pub(crate) struct HeaderEndScanner {
    /// Bytes of the end that were seen, up to the last byte so far.
    matched: usize,
}

const END: &[u8; 4] = b"\r\n\r\n";
/// Built once, since building it costs as much as searching a header.
static FIND_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(END));

impl HeaderEndScanner {
    /// Returns the number of these bytes that belong to the header, if it ends among them.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.matched == 0 {
            if let Some(at) = FIND_END.find(bytes) {
                return Some(at + END.len());
            }
            let rest = &bytes[bytes.len().saturating_sub(END.len())..];
            self.scan(rest);
            return None;
        }
        match self.scan(bytes) {
            Some(end) => {
                self.matched = 0;
                Some(end)
            }
            None => None,
        }
    }

    fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
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

/// Remainder of a request after its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// Remaining bytes.
    Length(u64),
    Chunked(ChunkState),
    /// All further bytes, after a protocol switch.
    Tunnel,
}

/// Progress of a chunked body (RFC 9112 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkState {
    /// In the digits of a size, with the size so far.
    Size(u64),
    /// Between the digits and the end of the line.
    Extension(u64),
    /// After a CR there, which must be followed by LF. An LF without CR does not end the line.
    LineEnd(u64),
    /// Remaining bytes of the data and of the line end after it.
    Data(u64),
    /// In a line of the trailers, with its length so far.
    Trailer(usize),
    End,
}

impl From<BodyLength> for BodyFraming {
    fn from(length: BodyLength) -> Self {
        match length {
            BodyLength::Known(length) => Self::Length(length),
            BodyLength::Unknown => Self::CHUNKED,
        }
    }
}

impl BodyFraming {
    pub(crate) const EMPTY: Self = Self::Length(0);
    pub(crate) const CHUNKED: Self = Self::Chunked(ChunkState::Size(0));

    pub(crate) fn is_complete(self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(ChunkState::End))
    }

    /// Consumes the bytes that belong to the body, and returns their number.
    pub(crate) fn consume(&mut self, bytes: &[u8]) -> usize {
        match self {
            BodyFraming::Tunnel => bytes.len(),
            BodyFraming::Length(left) => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                taken
            }
            BodyFraming::Chunked(chunk) => consume_chunks(chunk, bytes),
        }
    }
}

/// Finds the same end as the parser. The parser rejects a malformed body and closes the connection.
fn consume_chunks(chunk: &mut ChunkState, bytes: &[u8]) -> usize {
    let mut at = 0;
    while let (Some(byte), false) = (bytes.get(at), *chunk == ChunkState::End) {
        if let ChunkState::Data(left) = *chunk {
            let rest = (bytes.len() - at) as u64;
            let taken = left.min(rest);
            *chunk = if taken == left { ChunkState::Size(0) } else { ChunkState::Data(left - taken) };
            at += taken as usize;
            continue;
        }
        *chunk = chunk.advance(*byte);
        at += 1;
    }
    at
}

impl ChunkState {
    /// The line end after the data of a chunk.
    const LINE_END_BYTES: u64 = 2;

    fn advance(self, byte: u8) -> Self {
        match (self, byte) {
            (ChunkState::Size(0) | ChunkState::LineEnd(0), b'\n') => ChunkState::Trailer(0),
            (ChunkState::Size(size) | ChunkState::LineEnd(size), b'\n') => {
                ChunkState::Data(size.saturating_add(Self::LINE_END_BYTES))
            }
            (ChunkState::Size(size) | ChunkState::Extension(size) | ChunkState::LineEnd(size), b'\r') => {
                ChunkState::LineEnd(size)
            }
            (ChunkState::Size(size), _) => match char::from(byte).to_digit(16) {
                Some(digit) => ChunkState::Size(size.saturating_mul(16).saturating_add(digit.into())),
                None => ChunkState::Extension(size),
            },
            (ChunkState::Extension(size) | ChunkState::LineEnd(size), _) => ChunkState::Extension(size),
            (ChunkState::Trailer(0), b'\n') => ChunkState::End,
            (ChunkState::Trailer(_), b'\n') => ChunkState::Trailer(0),
            (ChunkState::Trailer(length), b'\r') => ChunkState::Trailer(length),
            (ChunkState::Trailer(length), _) => ChunkState::Trailer(length + 1),
            (ChunkState::Data(_) | ChunkState::End, _) => self,
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
        assert_eq!(HeaderEndScanner::default().find(text), Some(end));
        for first in 1..end {
            for second in first..end {
                let mut header = HeaderEndScanner::default();
                assert_eq!(header.find(&text[..first]), None, "{first}");
                assert_eq!(header.find(&text[first..second]), None, "{first} {second}");
                assert_eq!(header.find(&text[second..]), Some(end - second), "{first} {second}");
            }
        }
    }

    #[track_caller]
    fn check(body: BodyFraming, text: &str, length: usize) {
        for piece in 1..=text.len() {
            let (mut body, mut taken) = (body, 0);
            for bytes in text.as_bytes().chunks(piece) {
                taken += body.consume(bytes);
            }
            assert_eq!((taken, body.is_complete()), (length, true), "{text:?} in pieces of {piece}");
        }
    }

    #[test]
    fn the_end_of_a_body_is_found_in_whatever_pieces_it_comes() {
        check(BodyFraming::EMPTY, "next", 0);
        check(BodyFraming::Length(3), "abcnext", 3);
        check(BodyFraming::CHUNKED, "0\r\n\r\nnext", 5);
        check(BodyFraming::CHUNKED, "3\r\nabc\r\nA;x=\"y\"\r\n0\r\n\r\n45678\r\n00\r\nT: 1\r\nU:\r\n\r\n0\r\n\r\n", 45);
        // The parser reads an LF without CR in an extension as a part of it.
        check(BodyFraming::CHUNKED, "2;x\n5\r\nab\r\n0;\n\r\n\r\nnext", 18);
        let mut tunnel = BodyFraming::Tunnel;
        assert_eq!((tunnel.consume(b"abc"), tunnel.is_complete()), (3, false));
    }

    #[test]
    fn chunk_size_saturates() {
        let mut body = BodyFraming::CHUNKED;
        let text = b"ffffffffffffffffffff\r\n0\r\n\r\n";
        assert_eq!((body.consume(text), body.is_complete()), (text.len(), false));
    }
}
