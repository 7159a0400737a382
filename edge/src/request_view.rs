//! A request as its caller describes it, whatever the version of HTTP and the engine that parsed it.

use std::net::IpAddr;

use gatepost_domain::problem::ErrorCode;
use http::{HeaderMap, Method, Version};

/// Limit for the header of a request, request line included.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;

/// The parts of a request that a decision depends on. Borrows all of them.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    pub method: &'a Method,
    pub version: Version,
    /// Target as the client sent it, in any form (RFC 9112 section 3.2).
    pub target: &'a [u8],
    /// `:authority` of HTTP/2. HTTP/1 has none: it names the host in `Host`.
    pub authority: Option<&'a str>,
    pub headers: &'a HeaderMap,
    /// Size of the header as the client sent it.
    pub header_bytes: usize,
    /// Length of the body as the header announces it, or the fault that the check of the bytes on the wire has found.
    pub body: Result<BodyLength, MessageError>,
    /// Address at the other end of the connection.
    pub peer: Option<IpAddr>,
}

/// Length of a body as the header announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    Known(u64),
    /// Known once its end has come.
    Unknown,
}

/// A fault in the bytes of a message, which only the reader of its version of HTTP sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageError {
    /// A header line that a server behind may read as two lines, or as part of another.
    MalformedLine,
    /// No single valid length of the body.
    InvalidFraming,
    UnsupportedTransferEncoding,
}

impl BodyLength {
    pub const EMPTY: Self = Self::Known(0);

    /// Returns whether more is announced than a limit in bytes.
    pub(crate) fn exceeds(self, limit: u64) -> bool {
        matches!(self, Self::Known(length) if length > limit)
    }
}

impl MessageError {
    pub(crate) fn code(self) -> ErrorCode {
        match self {
            MessageError::MalformedLine | MessageError::InvalidFraming => ErrorCode::BadRequest,
            MessageError::UnsupportedTransferEncoding => ErrorCode::UnsupportedTransferEncoding,
        }
    }
}
