//! Ends of the frames in the stream from a server to its client (RFC 6455 section 5.2).

use crate::request_framing::HeaderEndScanner;

/// Code of a close frame.
const CLOSE: u8 = 8;
/// Longest header of a frame.
const MAX_HEADER_BYTES: usize = 14;

/// Follows the bytes of a response that opens a WebSocket, and of the frames after it.
#[derive(Debug, Default)]
pub(super) struct FrameTracker {
    position: Position,
    is_closed: bool,
}

#[derive(Debug)]
enum Position {
    /// In the header of the response.
    Response(HeaderEndScanner),
    /// In the header of a frame, with its bytes so far.
    Header { bytes: [u8; MAX_HEADER_BYTES], count: usize },
    /// In the payload of a frame, with the remaining bytes.
    Payload(u64),
}

impl Default for Position {
    fn default() -> Self {
        Self::Response(HeaderEndScanner::default())
    }
}

impl Position {
    const NEXT_FRAME: Self = Self::Header { bytes: [0; MAX_HEADER_BYTES], count: 0 };
}

impl FrameTracker {
    /// Returns whether the server could send another frame now.
    pub(super) fn is_between_frames(&self) -> bool {
        !self.is_closed && matches!(self.position, Position::Header { count: 0, .. })
    }

    pub(super) fn consume(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match &mut self.position {
                Position::Response(end) => {
                    let Some(length) = end.find(bytes) else { return };
                    self.position = Position::NEXT_FRAME;
                    &bytes[length..]
                }
                Position::Header { bytes: header, count } => {
                    header[*count] = bytes[0];
                    *count += 1;
                    if let Some(payload) = payload_length(&header[..*count]) {
                        self.is_closed |= header[0] & 0xf == CLOSE;
                        self.position = after_header(payload);
                    }
                    &bytes[1..]
                }
                Position::Payload(left) => {
                    let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    let left = *left - taken as u64;
                    self.position = after_header(left);
                    &bytes[taken..]
                }
            };
        }
    }
}

fn after_header(payload: u64) -> Position {
    if payload == 0 { Position::NEXT_FRAME } else { Position::Payload(payload) }
}

/// Returns the length of the payload, if the header of the frame is whole.
fn payload_length(header: &[u8]) -> Option<u64> {
    let [_, second, rest @ ..] = header else { return None };
    let (short, mask_bytes) = (second & 0x7f, if second & 0x80 == 0 { 0 } else { 4 });
    let length_bytes = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if rest.len() < length_bytes + mask_bytes {
        return None;
    }
    let long = rest[..length_bytes].iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
    Some(if length_bytes == 0 { u64::from(short) } else { long })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

    /// Checks after which of these bytes another frame could be sent, however they are split.
    #[track_caller]
    fn check(parts: &[&[u8]], is_open_after: &[bool]) {
        let all = parts.concat();
        for piece in 1..=all.len() {
            let mut tracker = FrameTracker::default();
            let ends: Vec<usize> = parts
                .iter()
                .scan(0, |end, part| {
                    *end += part.len();
                    Some(*end)
                })
                .collect();
            let mut at = 0;
            for (end, is_open) in ends.iter().zip(is_open_after) {
                while at < *end {
                    let next = (at + piece).min(*end);
                    tracker.consume(&all[at..next]);
                    at = next;
                    let is_within = at < *end && at > 0 && !ends.contains(&at);
                    assert!(!is_within || !tracker.is_between_frames(), "{at} in pieces of {piece}");
                }
                assert_eq!(tracker.is_between_frames(), *is_open, "{at} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_frame_ends_where_its_header_says() {
        let long: &[u8] = &[&[0x82, 126, 1, 0][..], &[7; 256]].concat();
        let longest: &[u8] = &[&[0x02, 127, 0, 0, 0, 0, 0, 0, 0, 3][..], b"abc"].concat();
        let masked: &[u8] = &[0x81, 0x82, 1, 2, 3, 4, 0x60, 0x60];
        check(&[RESPONSE, b"\x81\x05hello", long, longest, masked, b"\x89\x00"], &[true; 6]);
        check(&[RESPONSE, b"\x81\x05hel"], &[true, false]);
        check(&[RESPONSE, b"\x81"], &[true, false]);
        check(&[&RESPONSE[..20]], &[false]);
        check(&[RESPONSE, b"\x88\x02\x03\xe8", b"\x81\x00"], &[true, false, false]);
    }
}
