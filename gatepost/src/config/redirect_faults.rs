//! Faults of redirects to HTTPS that only all listeners together show.

use gatepost_gateway::RedirectHost;

use super::listeners::LocatedListener;
use super::reader::Section;

/// Reports redirects that lead nowhere.
pub(super) fn check_redirects(listeners: &[LocatedListener], do_routes_name_hosts: bool, section: &Section<'_>) {
    let is_known_host_possible = do_routes_name_hosts || listeners.iter().any(|one| one.options.tls.is_some());
    for listener in listeners {
        let Some(redirect) = &listener.options.redirect else { continue };
        let fault = |what: &str| section.add_error(&listener.source, "listener", what);
        if listener.options.tls.is_some() {
            fault("redirect_https is for a listener without tls");
        }
        if redirect.host == RedirectHost::Requested && !is_known_host_possible {
            fault("redirect_https: $host must be a name of a certificate or of a route, and there is none");
        }
        if let Some(plain) = redirect.port.and_then(|port| plain_listener(listeners, port)) {
            fault(&format!("redirect_https leads to the listener at {}, which has no tls", plain.source));
        }
    }
    if !listeners.is_empty() && listeners.iter().all(|listener| listener.options.redirect.is_some()) {
        section.error_here("every listener only redirects: add one that serves requests");
    }
}

/// Returns the listener without TLS on a port, unless another one there has TLS.
fn plain_listener(listeners: &[LocatedListener], port: u16) -> Option<&LocatedListener> {
    let on_port: Vec<&LocatedListener> =
        listeners.iter().filter(|listener| listener.options.address.port() == port).collect();
    on_port.first().copied().filter(|_| on_port.iter().all(|listener| listener.options.tls.is_none()))
}
