//! Addresses on which two listeners of one process would listen.

use std::net::SocketAddr;

use gatepost_store::StoreUrl;

use super::Config;
use super::reader::Section;
use super::tree::ValueSource;

/// Address of a listener, with its key and its position.
struct ListenAddress<'a> {
    key: &'static str,
    address: SocketAddr,
    source: &'a ValueSource,
}

/// Positions of the addresses of the servers beside the gateway.
pub(super) struct ServerSources {
    pub(super) admin: ValueSource,
    pub(super) ops: ValueSource,
}

/// Reports servers of one process that have one address. Those of the gateway were compared before. With a store on
/// Redis, gateway and admin API may be processes on different machines.
pub(super) fn check_servers(config: &Config, sources: &ServerSources, root: &Section<'_>) {
    let admin =
        ListenAddress { key: "control_plane.listen", address: config.control_plane.listen, source: &sources.admin };
    let ops = ListenAddress { key: "ops.listen", address: config.ops.listen, source: &sources.ops };
    let is_one_process = !matches!(config.store.url, StoreUrl::Redis(_));
    let (with_admin, mut others) = (is_one_process.then_some(&admin), vec![&ops]);
    others.extend(with_admin);
    for listener in &config.gateway.listeners {
        let (address, source) = (listener.options.address, &listener.source);
        let gateway = ListenAddress { key: "gateway.listen", address, source };
        others.iter().for_each(|other| check_pair(&gateway, other, root));
    }
    with_admin.iter().for_each(|admin| check_pair(&ops, admin, root));
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
