//! Parser of server-sent events, as far as a stream of the admin API uses them (HTML standard, section 9.2.6).

/// Maximum size of an event in bytes. A change has two records at most, each far smaller.
const MAX_EVENT_BYTES: usize = 4 << 20;

/// One block of a stream: an event, or an id without data, which only moves the cursor.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) id: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) data: Option<String>,
}

/// Why a stream cannot be read on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseFrameError {
    #[error("an event is longer than {MAX_EVENT_BYTES} bytes")]
    TooLong,
    #[error("an event is not UTF-8")]
    Encoding,
}

/// Parser of the bytes of a stream, which arrive in pieces.
#[derive(Debug, Default)]
pub(crate) struct FrameParser {
    buffer: Vec<u8>,
    /// Number of bytes of the buffer that are parsed.
    parsed: usize,
    frame: Frame,
    frame_bytes: usize,
}

impl FrameParser {
    /// Adds bytes of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.parsed);
        self.parsed = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next block that is complete. Comments are skipped.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, ParseFrameError> {
        while let Some(length) = self.buffer[self.parsed..].iter().position(|byte| *byte == b'\n') {
            let line = &self.buffer[self.parsed..self.parsed + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.parsed += length + 1;
            self.frame_bytes += line.len();
            if self.frame_bytes > MAX_EVENT_BYTES {
                return Err(ParseFrameError::TooLong);
            }
            if !line.is_empty() {
                self.frame.add_line(std::str::from_utf8(line).map_err(|_| ParseFrameError::Encoding)?);
                continue;
            }
            self.frame_bytes = 0;
            let frame = std::mem::take(&mut self.frame);
            if frame != Frame::default() {
                return Ok(Some(frame));
            }
        }
        let rest_bytes = self.buffer.len() - self.parsed;
        if rest_bytes > MAX_EVENT_BYTES { Err(ParseFrameError::TooLong) } else { Ok(None) }
    }
}

impl Frame {
    fn add_line(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.id = Some(value.to_owned()),
            "event" => self.event = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // A comment, or a field that this parser does not need.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: Option<&str>, event: Option<&str>, data: Option<&str>) -> Frame {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Frame { id: owned(id), event: owned(event), data: owned(data) }
    }

    fn parse(pieces: &[&[u8]]) -> Vec<Frame> {
        let mut parser = FrameParser::default();
        let mut frames = Vec::new();
        for piece in pieces {
            parser.push(piece);
            while let Some(frame) = parser.next_frame().unwrap() {
                frames.push(frame);
            }
        }
        frames
    }

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_split() {
        let text = "id: 1\n\n: heartbeat\n\nid: 2\ndata: {\"a\":\"\u{e4}\"}\r\n\r\nevent: gap\ndata:x\ndata: y\nretry: 5\n\nid: 3";
        let expected = [
            frame(Some("1"), None, None),
            frame(Some("2"), None, Some("{\"a\":\"\u{e4}\"}")),
            frame(None, Some("gap"), Some("x\ny")),
        ];
        for at in 0..=text.len() {
            let (start, end) = text.as_bytes().split_at(at);
            assert_eq!(parse(&[start, end]), expected, "split at {at}");
        }
    }

    #[test]
    fn an_event_without_end_or_without_text_is_an_error() {
        let mut parser = FrameParser::default();
        parser.push(&vec![b'a'; MAX_EVENT_BYTES + 1]);
        assert_eq!(parser.next_frame(), Err(ParseFrameError::TooLong));
        let mut parser = FrameParser::default();
        for _ in 0..5 {
            parser.push(b"data: ");
            parser.push(&vec![b'a'; 1 << 20]);
            parser.push(b"\n");
        }
        assert_eq!(parser.next_frame(), Err(ParseFrameError::TooLong));
        let mut parser = FrameParser::default();
        parser.push(b"data: \xff\n\n");
        assert_eq!(parser.next_frame(), Err(ParseFrameError::Encoding));
    }
}
