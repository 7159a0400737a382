//! `gateway.listen` and `[[gateway.listener]]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gatepost_gateway::{
    CertificateFiles, ClientCertificate, ListenerOptions, MinVersion, ProxyProtocol, TlsOptions, UnknownName,
};
use ipnet::IpNet;

use super::https_redirect;
use super::listen_addresses::overlap;
use super::parsers::{parse_address, parse_name, parse_non_empty};
use super::reader::{Section, read_ms};
use super::tree::ValueSource;

/// Address of the gateway if none is configured.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 8080);

/// Time for a handshake if none is configured.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

const PROXY_PROTOCOLS: [(&str, ProxyProtocol); 2] =
    [("off", ProxyProtocol::Off), ("required", ProxyProtocol::Required)];
const UNKNOWN_NAMES: [(&str, UnknownName); 2] = [("default", UnknownName::Default), ("refuse", UnknownName::Refuse)];
const MIN_VERSIONS: [(&str, MinVersion); 2] = [("1.2", MinVersion::Tls12), ("1.3", MinVersion::Tls13)];
const CLIENT_CERTIFICATES: [(&str, ClientCertificate); 2] =
    [("required", ClientCertificate::Required), ("optional", ClientCertificate::Optional)];

/// A listener and its position in the configuration.
#[derive(Debug, Clone)]
pub(crate) struct LocatedListener {
    pub(crate) options: ListenerOptions,
    /// For errors about its certificates.
    pub(crate) source: ValueSource,
}

/// Reads all listeners: the one of `listen` first, which exists if there is no other.
pub(super) fn read(section: &mut Section<'_>, trusted_proxies: &[IpNet]) -> Vec<LocatedListener> {
    let source = section.source_of("listen");
    let listen = section.optional("listen", parse_address);
    let short_tls = read_short_tls(section);
    let tables = section.list_of_sections("listener");
    let short = match listen {
        Some(address) => Some(address),
        None => tables.is_empty().then_some(DEFAULT_ADDRESS),
    };
    if let (None, Some((_, source))) = (short, &short_tls) {
        section.add_error(
            source,
            "tls_cert",
            "is for the address of listen, which is not set: see [gateway.listener.tls]",
        );
    }
    let (tls, source) = match short_tls {
        Some((tls, source)) => (Some(tls), source),
        None => (None, source),
    };
    let short = short
        .map(|address| LocatedListener { options: ListenerOptions { tls, ..ListenerOptions::plain(address) }, source });
    let mut listeners: Vec<LocatedListener> = short.into_iter().collect();
    for table in tables {
        let source = table.source();
        let Some(options) = read_listener(table, trusted_proxies) else { continue };
        check_unique(&listeners, &options, &source, section);
        listeners.push(LocatedListener { options, source });
    }
    listeners
}

/// Reads the certificate of `listen`, and where it is configured.
fn read_short_tls(section: &mut Section<'_>) -> Option<(TlsOptions, ValueSource)> {
    let (cert_source, key_source) = (section.source_of("tls_cert"), section.source_of("tls_key"));
    let (cert, key) = (section.optional("tls_cert", parse_non_empty), section.optional("tls_key", parse_non_empty));
    match (cert, key) {
        (Some(cert), Some(key)) => {
            let files = CertificateFiles { cert: PathBuf::from(cert), key: PathBuf::from(key) };
            Some((TlsOptions::new(files, HANDSHAKE_TIMEOUT), cert_source))
        }
        (Some(_), None) if key_source == ValueSource::Missing => {
            section.add_error(&cert_source, "tls_cert", "needs tls_key, the file of its key");
            None
        }
        (None, Some(_)) if cert_source == ValueSource::Missing => {
            section.add_error(&key_source, "tls_key", "needs tls_cert, the file of its certificate");
            None
        }
        (_, _) => None,
    }
}

fn read_listener(mut section: Section<'_>, trusted_proxies: &[IpNet]) -> Option<ListenerOptions> {
    let has_address = section.has("address");
    let address = section.optional("address", parse_address);
    let name = section.optional("name", parse_name);
    let proxy_protocol = section.word("proxy_protocol", ProxyProtocol::Off, &PROXY_PROTOCOLS);
    let handshake_timeout = read_ms(&mut section, "tls_handshake_timeout_ms", HANDSHAKE_TIMEOUT, 100);
    let tls = section.optional_section("tls").map(|tls| read_tls(tls, handshake_timeout));
    let redirect = section.parsed("redirect_https", None, https_redirect::parse);
    if !has_address {
        section.error_here("address must say where to listen, such as \"0.0.0.0:8443\"");
    }
    if proxy_protocol == ProxyProtocol::Required && trusted_proxies.is_empty() {
        section.error_here("proxy_protocol is accepted from gateway.trusted_proxies only, which names no network");
    }
    section.reject_unknown_keys();
    let address = address?;
    let name = name.unwrap_or_else(|| address.to_string());
    Some(ListenerOptions { name, address, proxy_protocol, tls, redirect })
}

fn read_tls(mut section: Section<'_>, handshake_timeout: Duration) -> TlsOptions {
    let certificates = section.list_of_sections("certificates");
    if certificates.is_empty() {
        section.error_here("certificates must name at least one { cert = \"FILE\", key = \"FILE\" }");
    }
    if section.has("client_certificate") && !section.has("client_ca") {
        section.error_here("client_certificate needs client_ca, the authorities of these certificates");
    }
    let certificates = certificates.into_iter().filter_map(read_certificate).collect();
    let options = TlsOptions {
        unknown_name: section.word("unknown_name", UnknownName::Default, &UNKNOWN_NAMES),
        min_version: section.word("min_version", MinVersion::Tls12, &MIN_VERSIONS),
        client_certificate: section.word("client_certificate", ClientCertificate::Required, &CLIENT_CERTIFICATES),
        client_ca: section.optional("client_ca", parse_non_empty).map(PathBuf::from),
        handshake_timeout,
        certificates,
    };
    section.reject_unknown_keys();
    options
}

fn read_certificate(mut section: Section<'_>) -> Option<CertificateFiles> {
    let cert = section.optional("cert", parse_non_empty);
    let key = section.optional("key", parse_non_empty);
    let files = match (cert, key) {
        (Some(cert), Some(key)) => Some(CertificateFiles { cert: PathBuf::from(cert), key: PathBuf::from(key) }),
        (_, _) => {
            section.error_here("must have cert and key, each the name of a PEM file");
            None
        }
    };
    section.reject_unknown_keys();
    files
}

/// Reports a listener whose address or name is taken.
fn check_unique(earlier: &[LocatedListener], options: &ListenerOptions, source: &ValueSource, section: &Section<'_>) {
    for other in earlier {
        let what = if overlap(other.options.address, options.address) {
            format!("address {} is also that of {}", options.address, other.source)
        } else if other.options.name == options.name {
            format!("name {:?} is also that of {}", options.name, other.source)
        } else {
            continue;
        };
        section.add_error(source, "listener", &what);
    }
}
