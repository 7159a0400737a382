//! Why an attempt failed, and the class of the failure.

use std::error::Error;
use std::io;

use crate::bounds::{ATTEMPT_DEADLINE, CONNECT_DEADLINE};
use crate::ssrf_guard::{ResolveError, WebhookUrlError};

/// How the standard library begins the text of a failed lookup, whose kind has no name.
const LOOKUP_FAILURE: &str = "failed to lookup address information";

/// Class of a failure, for people and for statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The name of the receiver could not be resolved.
    Dns,
    /// No connection could be made: the port is closed, or the network is unreachable.
    Refused,
    /// The receiver closed the connection before its response was complete.
    Reset,
    /// The TLS handshake failed, such as for a certificate that is not trusted.
    Tls,
    /// No connection or no response in time.
    Timeout,
    /// The URL or the address that it resolves to is not allowed.
    Blocked,
    /// The receiver responded with a status other than success.
    Status,
    /// The request or the response is not valid HTTP.
    Protocol,
}

impl ErrorClass {
    /// Returns the name used in the API and in stored attempts.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorClass::Dns => "dns",
            ErrorClass::Refused => "refused",
            ErrorClass::Reset => "reset",
            ErrorClass::Tls => "tls",
            ErrorClass::Timeout => "timeout",
            ErrorClass::Blocked => "blocked",
            ErrorClass::Status => "status",
            ErrorClass::Protocol => "protocol",
        }
    }
}

/// Why a message was not delivered. The texts are stored with the attempt and may be shown to users: none contains a URL, a
/// header value or a body.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The URL is not allowed (any more), or its host resolves to addresses that are not allowed.
    #[error(transparent)]
    Blocked(#[from] WebhookUrlError),
    /// The stored HTTP method is not valid.
    #[error("{0:?} is not an HTTP method")]
    Method(String),
    /// A custom header's name is not valid.
    #[error("{0:?} is not a header name")]
    HeaderName(String),
    /// The value of the named header is not valid.
    #[error("the value of the header {0} is not valid")]
    HeaderValue(String),
    /// No connection within 5 s.
    #[error("no connection within {} s", CONNECT_DEADLINE.as_secs())]
    ConnectTimeout,
    /// No response within [`ATTEMPT_DEADLINE`].
    #[error("no response within {} s", ATTEMPT_DEADLINE.as_secs())]
    Timeout,
    /// The connection failed, or its bytes are not HTTP.
    #[error("{cause}")]
    Transport {
        /// Class of the failure.
        class: ErrorClass,
        /// Text of the innermost cause.
        cause: String,
    },
    /// The receiver responded with a status other than success.
    #[error("the receiver responded with {0}")]
    Status(u16),
}

impl SendError {
    /// Returns the class of the failure.
    pub fn class(&self) -> ErrorClass {
        match self {
            SendError::Blocked(_) => ErrorClass::Blocked,
            SendError::Method(_) | SendError::HeaderName(_) | SendError::HeaderValue(_) => ErrorClass::Protocol,
            SendError::ConnectTimeout | SendError::Timeout => ErrorClass::Timeout,
            SendError::Transport { class, .. } => *class,
            SendError::Status(_) => ErrorClass::Status,
        }
    }

    pub(crate) fn from_transport(error: reqwest::Error) -> Self {
        if let Some(blocked) = causes(&error).find_map(|cause| cause.downcast_ref::<WebhookUrlError>()) {
            return SendError::Blocked(blocked.clone());
        }
        let (class, is_connecting) = (transport_class(&error), error.is_connect());
        if class != ErrorClass::Timeout {
            return SendError::Transport { class, cause: root_cause(error) };
        }
        if is_connecting { SendError::ConnectTimeout } else { SendError::Timeout }
    }
}

/// Returns the innermost cause, which is the most specific, without what the receiver has written: the text of an HTTP/2
/// error has data of the receiver, so the cause before it is returned. The URL is removed because it may contain a
/// secret.
pub(crate) fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        if cause.is::<hyper::Error>() && !source.is::<io::Error>() && !source.is::<hyper::Error>() {
            break;
        }
        cause = source;
    }
    in_words(cause)
}

/// Returns the text of a cause. Failures of connections have words of ours in place of those of the operating system,
/// which differ between systems and end with a number.
fn in_words(cause: &(dyn Error + 'static)) -> String {
    let text = cause.to_string();
    if text.starts_with(LOOKUP_FAILURE) {
        return "host not found".to_owned();
    }
    let is_of_system = |error: &&io::Error| error.raw_os_error().is_some();
    let Some(error) = cause.downcast_ref::<io::Error>().filter(is_of_system) else { return text };
    match words_of_io(error.kind()) {
        Some(words) => words.to_owned(),
        None => text.split(" (os error ").next().unwrap_or_default().to_lowercase(),
    }
}

/// Returns the words for a failure of a connection. `None` for other kinds of failures.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of IO errors are not exhaustive")]
fn words_of_io(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some("connection refused"),
        io::ErrorKind::ConnectionReset => Some("connection reset"),
        io::ErrorKind::ConnectionAborted => Some("connection aborted"),
        io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => Some("connection closed by the receiver"),
        io::ErrorKind::HostUnreachable => Some("host not reachable"),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => Some("network not reachable"),
        io::ErrorKind::TimedOut => Some("connection timed out"),
        _ => None,
    }
}

/// Returns the class of a failed request, by the outermost cause that has one. A timeout is found last because only
/// the client knows its own type of timeout.
fn transport_class(error: &reqwest::Error) -> ErrorClass {
    if let Some(class) = causes(error).find_map(class_of_cause) {
        return class;
    }
    match (error.is_timeout(), error.is_connect()) {
        (true, _) => ErrorClass::Timeout,
        (false, true) => ErrorClass::Refused,
        (false, false) => ErrorClass::Protocol,
    }
}

/// Returns the causes of an error, the outermost first. `io::Error::source` skips the error that it wraps, which is
/// where rustls puts its own.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// Returns the class that this cause alone decides.
fn class_of_cause(cause: &(dyn Error + 'static)) -> Option<ErrorClass> {
    if cause.is::<ResolveError>() {
        return Some(ErrorClass::Dns);
    }
    if cause.is::<rustls::Error>() {
        return Some(ErrorClass::Tls);
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return class_of_io(error.kind());
    }
    cause.downcast_ref::<hyper::Error>().and_then(class_of_hyper)
}

/// Returns the class of an IO error. `None` for kinds that a cause further in, or the phase, decides.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of IO errors are not exhaustive")]
fn class_of_io(kind: io::ErrorKind) -> Option<ErrorClass> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some(ErrorClass::Refused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Some(ErrorClass::Reset),
        io::ErrorKind::TimedOut => Some(ErrorClass::Timeout),
        _ => None,
    }
}

/// Returns the class of an HTTP error. `None` if its cause is the connection's.
fn class_of_hyper(error: &hyper::Error) -> Option<ErrorClass> {
    if error.is_parse() {
        return Some(ErrorClass::Protocol);
    }
    let is_closed =
        error.is_incomplete_message() || error.is_closed() || error.is_canceled() || error.is_body_write_aborted();
    is_closed.then_some(ErrorClass::Reset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_connections_have_plain_words() {
        for (code, words) in [
            (111, "connection refused"),
            (104, "connection reset"),
            (103, "connection aborted"),
            (32, "connection closed by the receiver"),
            (113, "host not reachable"),
            (101, "network not reachable"),
            (110, "connection timed out"),
            (24, "too many open files"),
        ] {
            // Numbers of Linux.
            assert_eq!(in_words(&io::Error::from_raw_os_error(code)), words);
        }
        let lookup = format!("{LOOKUP_FAILURE}: Name or service not known");
        assert_eq!(in_words(&io::Error::other(lookup)), "host not found");
        assert_eq!(in_words(&io::Error::other("invalid certificate: Expired")), "invalid certificate: Expired");
    }
}
