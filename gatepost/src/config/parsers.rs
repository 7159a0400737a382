//! Parsers of values that several sections share.

use std::net::SocketAddr;

use gatepost_domain::host::parse_host;

/// Parses the name under which a listener is reached.
pub(super) fn parse_listener_name(text: &str) -> Result<String, String> {
    match parse_host(text) {
        Some(host) if host.len() == text.trim_end_matches('.').len() => Ok(host.to_ascii_lowercase()),
        Some(_) | None => Err(format!("{text:?} is not a host without port, such as keys.example.com")),
    }
}

/// Parses an address to listen on.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not ADDRESS:PORT, such as 127.0.0.1:8080"))
}
