//! Why an attempt failed.

use crate::bounds::{ATTEMPT_DEADLINE, CONNECT_DEADLINE};
use crate::ssrf_guard::WebhookUrlError;

/// Why a message was not delivered. The texts are stored with the attempt and may be shown to users: none contains a URL, a
/// header value or a body.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The URL is not allowed (any more).
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
    /// The connection failed, or its bytes are not HTTP: the innermost cause.
    #[error("{0}")]
    Transport(String),
    /// The receiver responded with a status other than success.
    #[error("the receiver responded with {0}")]
    Status(u16),
}

impl SendError {
    pub(crate) fn from_transport(error: reqwest::Error) -> Self {
        match (error.is_timeout(), error.is_connect()) {
            (true, true) => SendError::ConnectTimeout,
            (true, false) => SendError::Timeout,
            (false, _) => SendError::Transport(root_cause(error)),
        }
    }
}

/// Returns the innermost cause, which is the most specific. No cause contains a header or a body. The URL is
/// removed because it may contain a secret.
pub(crate) fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
