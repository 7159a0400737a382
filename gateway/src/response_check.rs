//! Check of the raw header of an upstream's response (RFC 9112): the parser behind it tolerates and repairs faults.

use std::fmt;

use memchr::memchr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckedHeader {
    pub(crate) status: u16,
    pub(crate) length: usize,
    pub(crate) body: AnnouncedBody,
    pub(crate) version: HttpVersion,
    pub(crate) upgrade: Upgrade,
}

/// Body that a header announces. A length of 0 announces none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnnouncedBody {
    None,
    Length,
    Chunked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    Http10,
    Http11,
}

/// Value of `Upgrade`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrade {
    Absent,
    WebSocket,
    Other,
}

/// Fault for which a response is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseError {
    StatusLine,
    FoldedField,
    ContentLength,
    TransferEncoding,
    BothFramings,
    UnrequestedUpgrade,
}

impl ResponseError {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ResponseError::StatusLine => "the response has no valid status line",
            ResponseError::FoldedField => "the response has a folded header field",
            ResponseError::ContentLength => "the response has no single valid Content-Length",
            ResponseError::TransferEncoding => "the response has another Transfer-Encoding than a single chunked",
            ResponseError::BothFramings => "the response has a Content-Length and a Transfer-Encoding",
            ResponseError::UnrequestedUpgrade => "the response switches to a protocol that was not asked for",
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for ResponseError {}

/// Checks the header at the start of these bytes. Returns none if its end is not among them.
pub(crate) fn check(bytes: &[u8]) -> Result<Option<CheckedHeader>, ResponseError> {
    let mut lines = Lines { bytes, at: 0 };
    let status_line = loop {
        match lines.next() {
            // The parser skips empty lines before a response.
            Some(b"") => {}
            Some(line) => break line,
            None => return Ok(None),
        }
    };
    let (version, status) = parse_status_line(status_line)?;
    let mut framing = Framing::default();
    loop {
        match lines.next() {
            Some(b"") => break,
            Some(line) => framing.add(line)?,
            None => return Ok(None),
        }
    }
    let body = framing.announced_body(version)?;
    Ok(Some(CheckedHeader { status, length: lines.at, body, version, upgrade: framing.upgrade }))
}

/// Iterator over complete lines, without their ends.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = memchr(b'\n', rest)?;
        self.at += end + 1;
        Some(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]))
    }
}

fn parse_status_line(line: &[u8]) -> Result<(HttpVersion, u16), ResponseError> {
    let (version, rest) = line.split_at_checked(9).ok_or(ResponseError::StatusLine)?;
    let version = match version {
        b"HTTP/1.1 " => HttpVersion::Http11,
        b"HTTP/1.0 " => HttpVersion::Http10,
        _ => return Err(ResponseError::StatusLine),
    };
    match rest {
        [first @ b'1'..=b'9', second @ b'0'..=b'9', third @ b'0'..=b'9']
        | [first @ b'1'..=b'9', second @ b'0'..=b'9', third @ b'0'..=b'9', b' ', ..] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Ok((version, digit(first) * 100 + digit(second) * 10 + digit(third)))
        }
        _ => Err(ResponseError::StatusLine),
    }
}

/// Framing by the fields so far.
#[derive(Debug)]
struct Framing {
    length: Option<u64>,
    encodings: usize,
    upgrade: Upgrade,
}

impl Default for Framing {
    fn default() -> Self {
        Self { length: None, encodings: 0, upgrade: Upgrade::Absent }
    }
}

impl Framing {
    fn add(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        match line.first() {
            Some(b' ' | b'\t') => Err(ResponseError::FoldedField),
            // The three checked fields start with one of these letters; others that do are ignored by name.
            Some(b'c' | b'C' | b't' | b'T' | b'u' | b'U') => self.add_field(line),
            Some(_) | None => Ok(()),
        }
    }

    fn add_field(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        // The parser rejects a line that is not a field.
        let Some(colon) = memchr(b':', line) else { return Ok(()) };
        let (name, value) = (line[..colon].trim_ascii_end(), &line[colon + 1..]);
        if name.eq_ignore_ascii_case(b"content-length") {
            return value.split(|byte| *byte == b',').try_for_each(|item| self.add_length(item));
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.encodings += 1;
            let is_chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            return if is_chunked { Ok(()) } else { Err(ResponseError::TransferEncoding) };
        }
        if name.eq_ignore_ascii_case(b"upgrade") {
            let is_websocket = value.trim_ascii().eq_ignore_ascii_case(b"websocket");
            self.upgrade = if is_websocket { Upgrade::WebSocket } else { Upgrade::Other };
        }
        Ok(())
    }

    /// Equal lengths are the same as one (RFC 9110 section 8.6).
    fn add_length(&mut self, text: &[u8]) -> Result<(), ResponseError> {
        let length = parse_length(text).ok_or(ResponseError::ContentLength)?;
        if self.length.is_some_and(|other| other != length) {
            return Err(ResponseError::ContentLength);
        }
        self.length = Some(length);
        Ok(())
    }

    fn announced_body(&self, version: HttpVersion) -> Result<AnnouncedBody, ResponseError> {
        match (self.encodings, self.length) {
            (0, None | Some(0)) => Ok(AnnouncedBody::None),
            (0, Some(_)) => Ok(AnnouncedBody::Length),
            (_, Some(_)) => Err(ResponseError::BothFramings),
            (1, None) if version == HttpVersion::Http11 => Ok(AnnouncedBody::Chunked),
            (_, None) => Err(ResponseError::TransferEncoding),
        }
    }
}

/// Parses a length, which has digits alone.
pub(crate) fn parse_length(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn status(text: &str) -> Option<u16> {
        check(text.as_bytes()).unwrap().map(|checked| checked.status)
    }

    #[test]
    fn a_header_is_checked_once_its_end_is_there() {
        let whole = "\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\n";
        let checked = check(format!("{whole}hello\r\n\r\n").as_bytes()).unwrap().unwrap();
        assert_eq!((checked.status, checked.length, checked.body), (200, whole.len(), AnnouncedBody::Length));
        for end in 0..whole.len() {
            assert_eq!(status(&whole[..end]), None, "{end}");
        }
        assert_eq!(status("HTTP/1.0 204\n\n"), Some(204));
    }

    #[test]
    fn error_is_reported_before_the_end_of_the_header() {
        assert_eq!(check(b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\n"), Err(ResponseError::FoldedField));
        assert_eq!(check(b"SSH-2.0-x\r\n"), Err(ResponseError::StatusLine));
        assert_eq!(check(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n"), Err(ResponseError::ContentLength));
    }

    #[test]
    fn upgrade_is_classified() {
        let upgrade = |value: &str| {
            let text = format!("HTTP/1.1 101 S\r\n{value}\r\n");
            check(text.as_bytes()).unwrap().map(|checked| checked.upgrade)
        };
        assert_eq!(upgrade(""), Some(Upgrade::Absent));
        assert_eq!(upgrade("UPGRADE: WebSocket\r\n"), Some(Upgrade::WebSocket));
        assert_eq!(upgrade("Upgrade: h2c\r\n"), Some(Upgrade::Other));
    }
}
