//! Parsers of values that several sections share, and their error.

use std::net::{IpAddr, SocketAddr};

use gatepost_domain::host::parse_host;
use gatepost_domain::path::PathError;
use ipnet::IpNet;
use tracing_subscriber::filter::ParseError as ParseFilterError;

/// Why the value of a setting is rejected. The text follows the name of the setting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseSettingError {
    #[error("must not be empty")]
    Empty,
    #[error("must be 1 to 32 letters, digits, - or _")]
    Namespace,
    #[error("must be {expected}, not {text:?}")]
    Word { text: String, expected: String },
    #[error("{text:?} is not {expected}")]
    Form { text: String, expected: &'static str },
    #[error("{0:?}: write HOST:PORT; for https, add [gateway.upstream.NAME.tls] with the name of the certificate")]
    UpstreamScheme(String),
    #[error("{0:?} is not a path")]
    Path(String, #[source] PathError),
    #[error("is not a filter")]
    Filter(#[from] ParseFilterError),
}

impl ParseSettingError {
    /// Returns the error of a value that has not the expected form.
    pub(super) fn form(text: &str, expected: &'static str) -> Self {
        ParseSettingError::Form { text: text.to_owned(), expected }
    }
}

/// Returns the value of one of a few words.
pub(super) fn parse_word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, ParseSettingError> {
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(*value),
        None => Err(ParseSettingError::Word { text: text.to_owned(), expected: alternatives(words) }),
    }
}

/// Returns the words of a table as `a, b or c`.
fn alternatives<T>(words: &[(&'static str, T)]) -> String {
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Characters of the name of a gateway or listener.
const MAX_NAME_CHARS: usize = 128;

/// Error for a text that is no name of a gateway or listener.
#[derive(Debug, thiserror::Error)]
#[error("must have at most {MAX_NAME_CHARS} characters, without control characters")]
pub(super) struct ParseNameError;

pub(super) fn parse_name(text: &str) -> Result<String, ParseNameError> {
    let is_name = text.chars().count() <= MAX_NAME_CHARS && !text.chars().any(char::is_control);
    is_name.then(|| text.to_owned()).ok_or(ParseNameError)
}

pub(super) fn parse_network(text: &str) -> Result<IpNet, ParseSettingError> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or(address).map_err(|_| ParseSettingError::form(text, "a network, such as 10.0.0.0/8"))
}

pub(super) fn parse_non_empty(text: &str) -> Result<String, ParseSettingError> {
    if text.is_empty() { Err(ParseSettingError::Empty) } else { Ok(text.to_owned()) }
}

/// Parses the name under which a listener is reached.
pub(super) fn parse_listener_name(text: &str) -> Result<String, ParseSettingError> {
    match parse_host(text) {
        Some(host) if host.len() == text.trim_end_matches('.').len() => Ok(host.to_ascii_lowercase()),
        Some(_) | None => Err(ParseSettingError::form(text, "a host without port, such as keys.example.com")),
    }
}

/// Parses the origin of a site, as browsers send it; none if the text is empty.
pub(super) fn parse_origin(text: &str) -> Result<Option<String>, ParseSettingError> {
    if text.is_empty() {
        return Ok(None);
    }
    let origin = url::Url::parse(text).ok().map(|url| url.origin().ascii_serialization());
    match origin {
        Some(origin) if origin.eq_ignore_ascii_case(text.trim_end_matches('/')) => Ok(Some(origin)),
        Some(_) | None => Err(ParseSettingError::form(text, "an origin, such as https://keys.example.com")),
    }
}

/// Parses an address to listen on.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, ParseSettingError> {
    text.parse().map_err(|_| ParseSettingError::form(text, "ADDRESS:PORT, such as 127.0.0.1:8080"))
}
