//! Tables `[gateway.upstream.NAME]` of the configuration.

use std::path::PathBuf;

use gatepost_gateway::{CertificateFiles, UpstreamOptions, UpstreamTlsOptions};

use super::parsers::{ParseSettingError, parse_non_empty};
use super::reader::{Section, read_ms};
use super::tree::ValueSource;

/// An upstream and its position in the configuration.
#[derive(Debug, Clone)]
pub(crate) struct LocatedUpstream {
    pub(crate) options: UpstreamOptions,
    /// For errors about names that do not resolve.
    pub(crate) servers_source: ValueSource,
    /// Of its table `tls`, for errors about its files.
    pub(crate) tls_source: Option<ValueSource>,
}

pub(super) fn read(section: &mut Section<'_>) -> Vec<LocatedUpstream> {
    let named = section.sections("upstream").into_iter();
    let read = |(name, mut section): (String, Section<'_>)| {
        let tls = section.optional_section("tls");
        let tls_source = tls.as_ref().map(Section::source);
        let tls = tls.and_then(read_tls);
        let default_port = if tls_source.is_some() { 443 } else { 80 };
        let servers_source = section.source_of("servers");
        if !section.has_items("servers") {
            section.error_here("servers must name at least one HOST:PORT");
        }
        let servers = section.list("servers", Vec::new(), |text| parse_server(text, default_port));
        let resolve_every = read_ms(&mut section, "resolve_every_ms", UpstreamOptions::RESOLVE_EVERY, 1000);
        section.reject_unknown_keys();
        let options = UpstreamOptions { name, servers, tls, resolve_every };
        LocatedUpstream { options, servers_source, tls_source }
    };
    named.map(read).collect()
}

fn read_tls(mut section: Section<'_>) -> Option<UpstreamTlsOptions> {
    if !section.has("name") {
        section.error_here("name must say which name the certificate of the servers has");
    }
    let name = section.optional("name", parse_non_empty);
    let ca = section.optional("ca", parse_non_empty).map(PathBuf::from);
    let (cert, key) = (section.optional("cert", parse_non_empty), section.optional("key", parse_non_empty));
    let client_certificate = match (cert, key) {
        (Some(cert), Some(key)) => Some(CertificateFiles { cert: cert.into(), key: key.into() }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            section.error_here("cert and key must be set together");
            None
        }
    };
    section.reject_unknown_keys();
    Some(UpstreamTlsOptions { name: name?, ca, client_certificate })
}

/// Parses `HOST:PORT`, optionally with `http://` before it.
fn parse_server(text: &str, default_port: u16) -> Result<String, ParseSettingError> {
    let invalid = || ParseSettingError::form(text, "HOST:PORT, such as 127.0.0.1:3000");
    let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    if authority.contains("//") {
        return Err(ParseSettingError::UpstreamScheme(text.to_owned()));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, port.parse::<u16>().map_err(|_| invalid())?),
        _ => (authority, default_port),
    };
    // Resolvers read a number as an address: 3000 as 0.0.11.184.
    let is_number = host.bytes().all(|byte| byte.is_ascii_digit());
    let is_host = !is_number && !host.contains(['/', '@', ' ']);
    if is_host { Ok(format!("{host}:{port}")) } else { Err(invalid()) }
}
