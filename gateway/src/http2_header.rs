//! Header of an HTTP/2 request. Its decoder delimits messages (RFC 9113 section 8.1), so there are no lines to check.

use gatepost_edge::{BodyLength, MessageError};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use pingora::protocols::http::ServerSession;

use crate::raw_header::parse_content_length;

/// Returns the size of a header, with as much around each field as HTTP/1 has.
pub(crate) fn size(headers: &HeaderMap) -> usize {
    const AROUND_FIELD: usize = ": \r\n".len();
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + AROUND_FIELD).sum()
}

/// Returns the length of the body that a header announces.
pub(crate) fn body_length(session: &mut ServerSession) -> Result<BodyLength, MessageError> {
    if session.is_body_empty() {
        return Ok(BodyLength::EMPTY);
    }
    let mut lengths = session.req_header().headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(BodyLength::Unknown),
        (Some(length), None) => {
            parse_content_length(length.as_bytes()).map(BodyLength::Known).ok_or(MessageError::InvalidFraming)
        }
        (Some(_), Some(_)) => Err(MessageError::InvalidFraming),
    }
}
