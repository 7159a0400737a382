//! Addresses on which two listeners of one process would listen.

use std::net::SocketAddr;

use super::reader::Section;
use super::tree::ValueSource;

/// Address of a listener, with its key and its position.
pub(super) struct ListenAddress<'a> {
    pub(super) key: &'static str,
    pub(super) address: SocketAddr,
    pub(super) source: &'a ValueSource,
}

/// Reports servers of one process that have one address. Those of the gateway were compared before.
pub(super) fn check_servers(gateway: &[ListenAddress<'_>], others: &[ListenAddress<'_>], root: &Section<'_>) {
    for listener in gateway {
        others.iter().for_each(|other| check_pair(listener, other, root));
    }
    for (index, one) in others.iter().enumerate() {
        others[..index].iter().for_each(|other| check_pair(one, other, root));
    }
}

fn check_pair(one: &ListenAddress<'_>, other: &ListenAddress<'_>, root: &Section<'_>) {
    if !overlap(one.address, other.address) {
        return;
    }
    // That of a default has no position.
    let (at, taken) = if *one.source == ValueSource::Missing { (other, one) } else { (one, other) };
    root.add_error(at.source, at.key, &format!("address {} is also that of {}", at.address, taken.key));
}

/// Returns whether the system refuses the second of two addresses. With port 0 it chooses a port for each.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    let is_same_host = one.ip() == other.ip() || is_any && one.is_ipv4() == other.is_ipv4();
    one.port() == other.port() && one.port() != 0 && is_same_host
}
