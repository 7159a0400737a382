//! Headers of the PROXY protocol, versions 1 and 2, by which a proxy names the client of a connection.
//!
//! The specification is `doc/proxy-protocol.txt` of HAProxy.

use std::net::SocketAddr;

use ppp::v2::{Addresses, Protocol};
use ppp::{PartialResult as _, v1, v2};

/// Limit for a header in bytes. Those of version 2 rarely have more than 300.
pub(crate) const MAX_HEADER_BYTES: usize = 4096;
/// Limit for a header of version 1 in bytes, by the specification.
const MAX_VERSION_1_BYTES: usize = 107;

/// Version and command of a header about a connection of the proxy itself.
const VERSION_2_LOCAL: u8 = 0x20;
/// Size of a header of version 2 up to its length, which counts the bytes behind it.
const VERSION_2_PREFIX_BYTES: usize = 16;

/// First bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// They all belong to a header that is longer.
    Incomplete,
    /// They begin with a header of this length in bytes. It has no client if the connection is the proxy's own, or if
    /// the proxy does not know whose it is.
    Header { length: usize, client: Option<SocketAddr> },
}

/// Bytes that are no header, whatever follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a header of the PROXY protocol")]
pub(crate) struct InvalidHeader;

/// Parses the header that a connection begins with.
///
/// # Errors
/// If it is not one of the specification, or names the client of a datagram.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, InvalidHeader> {
    if let Some(length) = local_length(bytes) {
        let is_whole = bytes.len() >= length;
        return Ok(if is_whole { Parsed::Header { length, client: None } } else { Parsed::Incomplete });
    }
    match v2::Header::try_from(bytes) {
        Ok(header) => Ok(Parsed::Header { length: header.as_bytes().len(), client: client_of_version_2(&header)? }),
        Err(error) if error.is_incomplete() => Ok(Parsed::Incomplete),
        Err(_) => parse_version_1(bytes),
    }
}

/// Returns the length of a header whose addresses must be ignored, whatever they are.
fn local_length(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.get(..VERSION_2_PREFIX_BYTES)?;
    let is_local = prefix.starts_with(v2::PROTOCOL_PREFIX) && prefix[12] == VERSION_2_LOCAL;
    is_local.then(|| VERSION_2_PREFIX_BYTES + usize::from(u16::from_be_bytes([prefix[14], prefix[15]])))
}

/// Parses a line of ASCII that ends with CR LF, once all of it is there.
fn parse_version_1(bytes: &[u8]) -> Result<Parsed, InvalidHeader> {
    let end = bytes.iter().position(|byte| *byte == b'\r').map(|at| at + v1::PROTOCOL_SUFFIX.len());
    let Some(line) = end.and_then(|end| bytes.get(..end)) else {
        let prefix = v1::PROTOCOL_PREFIX.as_bytes();
        let is_beginning = bytes.starts_with(prefix) || prefix.starts_with(bytes);
        let is_possible = is_beginning && bytes.len() < MAX_VERSION_1_BYTES && bytes.is_ascii();
        return if is_possible { Ok(Parsed::Incomplete) } else { Err(InvalidHeader) };
    };
    match v1::Header::try_from(line) {
        Ok(header) if line.is_ascii() => {
            Ok(Parsed::Header { length: line.len(), client: client_of_version_1(&header.addresses) })
        }
        Ok(_) | Err(_) => Err(InvalidHeader),
    }
}

fn client_of_version_1(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(v4) => Some((v4.source_address, v4.source_port).into()),
        v1::Addresses::Tcp6(v6) => Some((v6.source_address, v6.source_port).into()),
        v1::Addresses::Unknown => None,
    }
}

/// Returns none if the proxy does not know the client, or if that came through a Unix socket.
fn client_of_version_2(header: &v2::Header<'_>) -> Result<Option<SocketAddr>, InvalidHeader> {
    match (&header.addresses, header.protocol) {
        (Addresses::IPv4(v4), Protocol::Stream) => Ok(Some((v4.source_address, v4.source_port).into())),
        (Addresses::IPv6(v6), Protocol::Stream) => Ok(Some((v6.source_address, v6.source_port).into())),
        (Addresses::Unspecified | Addresses::Unix(_), _) => Ok(None),
        (Addresses::IPv4(_) | Addresses::IPv6(_), Protocol::Unspecified | Protocol::Datagram) => Err(InvalidHeader),
    }
}
