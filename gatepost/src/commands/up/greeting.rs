//! What `gatepost up` says to the person at its terminal: where each part listens, and what to try next.

use std::net::SocketAddr;

use gatepost_admin::ControlPlaneServer;
use gatepost_control_plane::ControlPlane;
use gatepost_runtime::error_chain;

use crate::admin_url::reachable_address;
use crate::dashboard_url;
use crate::log;
use crate::next_command::{NextCommand, first_access_key_of};
use crate::person::Terminal;
use crate::process::{GatewayHandle, Process};

/// The greeting, before it is text.
#[derive(Debug)]
struct Greeting {
    /// URL of each listener of the gateway.
    gateway: Vec<String>,
    admin: SocketAddr,
    ops: SocketAddr,
    /// Lines about the dashboard.
    dashboard: Vec<String>,
    next: String,
}

/// Greets the person at a terminal, below what has been logged so far.
pub(super) async fn print(
    terminal: Terminal,
    process: &Process,
    gateway: &GatewayHandle,
    server: &ControlPlaneServer,
    use_cases: &ControlPlane,
) {
    let addresses = gateway.gateway.addresses().await;
    let listeners = process.config.gateway.listeners.iter().map(|listener| listener.options.tls.is_some());
    let listeners: Vec<(bool, SocketAddr)> = listeners.zip(addresses).collect();
    let url = |(is_tls, address): &(bool, SocketAddr)| {
        format!("{}://{}", if *is_tls { "https" } else { "http" }, reachable_address(*address))
    };
    let next = NextCommand {
        access_key: first_access_key_of(&process.config.store.url),
        admin: server.address(),
        gateway: if let [(false, address)] = listeners[..] { Some(address) } else { None },
    };
    let greeting = Greeting {
        gateway: listeners.iter().map(url).collect(),
        admin: reachable_address(server.address()),
        ops: reachable_address(process.ops_address()),
        dashboard: dashboard_lines(process, server, use_cases).await,
        next: next.create_key("--name Jane"),
    };
    log::flush_without_blocking().await;
    terminal.print(&greeting.render());
}

async fn dashboard_lines(process: &Process, server: &ControlPlaneServer, use_cases: &ControlPlane) -> Vec<String> {
    let Some(url) = process.dashboard_url(server) else { return Vec::new() };
    match dashboard_url::create_link(use_cases, Some(&url), None).await {
        Ok(link) => vec![link.url.clone(), format!("({})", link.limits())],
        Err(error) => vec![format!("no sign-in link: {}", error_chain(error.as_ref()))],
    }
}

impl Greeting {
    fn render(&self) -> String {
        let mut lines = vec![format!("\nGatepost {} is running, until Ctrl-C.\n", env!("CARGO_PKG_VERSION"))];
        let mut part = |name: &str, text: &str| lines.push(format!("  {name:<10} {text}"));
        for (number, url) in self.gateway.iter().enumerate() {
            part(if number == 0 { "gateway" } else { "" }, url);
        }
        part("admin API", &format!("http://{}", self.admin));
        part("metrics", &format!("http://{}/metrics", self.ops));
        for (number, line) in self.dashboard.iter().enumerate() {
            part(if number == 0 { "dashboard" } else { "" }, line);
        }
        lines.push(format!("\nCreate a key, in another terminal in this directory:\n\n  {}\n", self.next));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_a_table_and_a_command() {
        let greeting = Greeting {
            gateway: vec!["http://127.0.0.1:8080".to_owned(), "https://127.0.0.1:8443".to_owned()],
            admin: "127.0.0.1:8081".parse().unwrap(),
            ops: "127.0.0.1:9464".parse().unwrap(),
            dashboard: vec!["LINK".to_owned(), "(once)".to_owned()],
            next: "gatepost key create --name Jane".to_owned(),
        };
        let text = greeting.render();
        let (first, rest) = text.trim_start().split_once("\n\n").unwrap();
        assert!(first.starts_with("Gatepost ") && first.ends_with(" is running, until Ctrl-C."), "{first}");
        assert_eq!(
            rest,
            "  gateway    http://127.0.0.1:8080\n             https://127.0.0.1:8443\n  admin API  \
             http://127.0.0.1:8081\n  metrics    http://127.0.0.1:9464/metrics\n  dashboard  LINK\n             \
             (once)\n\nCreate a key, in another terminal in this directory:\n\n  gatepost key create --name Jane\n"
        );
    }
}
