//! Why an attempt failed, and the class of the failure.

use std::error::Error;
use std::io;

use gatepost_runtime::plain_words;

use crate::bounds::{ATTEMPT_DEADLINE, CONNECT_DEADLINE};
use crate::ssrf_guard::{ResolveError, WebhookUrlError};

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
pub fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let tls_error = causes(&error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    if matches!(tls_error, Some(rustls::Error::InvalidMessage(_))) {
        return "the server does not speak TLS".to_owned();
    }
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        if cause.is::<hyper::Error>() && !source.is::<io::Error>() && !source.is::<hyper::Error>() {
            break;
        }
        cause = source;
    }
    plain_words(cause)
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
