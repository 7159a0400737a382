//! State that all pages share.

use std::sync::Arc;
use std::time::Duration;

use gatepost_control_plane::ControlPlane;
use tokio::sync::watch;

use super::imports::Imports;

/// Settings of the dashboard.
#[derive(Debug, Clone)]
pub struct DashboardOptions {
    /// Origin that browsers use, such as `https://keys.example.com`; absent if it is that of the `Host` header.
    pub origin: Option<String>,
    /// Lifetime of a session, at most 7 days.
    pub session_ttl: Duration,
}

#[derive(Clone)]
pub(crate) struct DashboardState {
    pub(crate) control_plane: ControlPlane,
    pub(crate) options: Arc<DashboardOptions>,
    pub(crate) imports: Imports,
    /// True once the server stops: responses without an end must end.
    pub(crate) shutdown: watch::Receiver<bool>,
    /// True if all browsers connect through a proxy that terminates TLS.
    pub(crate) is_behind_tls_proxy: bool,
}
