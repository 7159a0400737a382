//! `redirect_https` of a listener.

use gatepost_domain::host::parse_host;
use gatepost_gateway::{HttpsRedirect, RedirectHost};

use super::parsers::ParseSettingError;

/// Stands for the host of the request.
const HOST_VARIABLE: &str = "$host";

/// Parses `https://HOST[:PORT]`, where the host may be `$host`; none if the text is empty.
pub(super) fn parse(text: &str) -> Result<Option<HttpsRedirect>, ParseSettingError> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid =
        || ParseSettingError::form(text, "https://HOST or https://HOST:PORT, where HOST may be $host, without a path");
    let authority = text.strip_prefix("https://").ok_or_else(invalid)?;
    let (host, rest) = match authority.strip_prefix(HOST_VARIABLE) {
        Some(rest) => (RedirectHost::Requested, rest),
        None => {
            let host = parse_host(authority).ok_or_else(invalid)?;
            (RedirectHost::Fixed(host.to_ascii_lowercase()), authority[host.len()..].trim_start_matches('.'))
        }
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(invalid)?),
        None if rest.is_empty() => None,
        None => return Err(invalid()),
    };
    Ok(Some(HttpsRedirect { host, port }))
}
