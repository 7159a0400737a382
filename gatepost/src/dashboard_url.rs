//! Address of the dashboard, and sign-in links to it.

use std::net::SocketAddr;

use anyhow::Context;
use gatepost_control_plane::{ControlPlane, SIGN_IN_LINK_TTL};
use gatepost_runtime::error_chain;
use serde::{Deserialize, Serialize};

use crate::admin_url::{AdminUrl, reachable_address};
use crate::config::DashboardConfig;
use crate::person::Terminal;

const SIGN_IN_PATH: &str = "/dashboard/sign-in";

/// URL of the dashboard's sign-in page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DashboardUrl(String);

impl DashboardUrl {
    /// Returns the URL under which a browser reaches an admin API that listens at an address: at the configured origin,
    /// or on this machine if it listens on all interfaces.
    pub(crate) fn new(config: &DashboardConfig, listen: SocketAddr) -> Self {
        let address = reachable_address(listen);
        let origin = config.origin.clone().unwrap_or_else(|| format!("http://{address}"));
        Self(format!("{origin}{SIGN_IN_PATH}"))
    }
}

/// A sign-in link as the command line prints it. It grants access, so it must never be logged.
#[derive(Serialize, Deserialize)]
pub(crate) struct SignInLink {
    pub(crate) url: String,
    /// Name and role of the access key that it signs in with.
    pub(crate) name: String,
    pub(crate) role: String,
}

impl SignInLink {
    /// Returns the link at another address of the admin API.
    pub(crate) fn at(self, admin: &AdminUrl) -> Self {
        let mut url = admin.endpoint(SIGN_IN_PATH);
        url.set_query(self.url.split_once('?').map(|(_, query)| query));
        Self { url: url.into(), ..self }
    }

    /// Returns whom the link signs in, and for how long it is valid.
    pub(crate) fn limits(&self) -> String {
        let minutes = SIGN_IN_LINK_TTL.as_secs() / 60;
        format!("the link signs in as {:?} ({}), once and within {minutes} minutes", self.name, self.role)
    }
}

/// Creates a link that signs in with an access key by its id, or without an id with that of an admin.
///
/// # Errors
/// If the dashboard is turned off, or if there is no such access key.
pub(crate) async fn create_link(
    use_cases: &ControlPlane,
    dashboard: Option<&DashboardUrl>,
    access_key: Option<&str>,
) -> anyhow::Result<SignInLink> {
    let DashboardUrl(url) = dashboard.context("the dashboard is turned off: set dashboard.enabled = true")?;
    let link = use_cases.create_operator_sign_in_link(access_key).await?;
    Ok(SignInLink {
        url: format!("{url}?link={}", link.token.expose()),
        name: link.access_key.name,
        role: link.access_key.role.as_str().to_owned(),
    })
}

/// Prints a sign-in link to the person at the terminal. It is never logged, where others could read it.
pub(crate) async fn print_link(terminal: Terminal, use_cases: &ControlPlane, dashboard: &DashboardUrl) {
    terminal.print(&match create_link(use_cases, Some(dashboard), None).await {
        Ok(link) => format!("dashboard: {}\n{}", link.url, link.limits()),
        Err(error) => format!("no sign-in link to the dashboard: {}", error_chain(error.as_ref())),
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_browser_reaches_the_address_that_is_printed() {
        for (origin, listen, url) in [
            (None, "127.0.0.1:8081", "http://127.0.0.1:8081/dashboard/sign-in"),
            (None, "0.0.0.0:80", "http://127.0.0.1:80/dashboard/sign-in"),
            (None, "[::]:8081", "http://[::1]:8081/dashboard/sign-in"),
            (None, "10.0.0.7:8081", "http://10.0.0.7:8081/dashboard/sign-in"),
            (Some("https://keys.example.com"), "127.0.0.1:8081", "https://keys.example.com/dashboard/sign-in"),
        ] {
            let config = DashboardConfig { origin: origin.map(str::to_owned), session_ttl: Duration::from_secs(3600) };
            assert_eq!(DashboardUrl::new(&config, listen.parse().unwrap()), DashboardUrl(url.to_owned()), "{listen}");
        }
    }

    #[test]
    fn a_link_leads_to_the_address_that_is_named() {
        for (admin, url) in [
            ("http://10.0.0.7:9000", "http://10.0.0.7:9000/dashboard/sign-in?link=token"),
            ("https://ops.example.com/", "https://ops.example.com/dashboard/sign-in?link=token"),
        ] {
            let url_here = "http://127.0.0.1:8081/dashboard/sign-in?link=token".to_owned();
            let link = SignInLink { url: url_here, name: "first".to_owned(), role: "admin".to_owned() };
            assert_eq!(link.at(&admin.parse().unwrap()).url, url);
        }
    }
}
