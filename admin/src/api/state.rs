//! State that all layers and handlers share.

use std::sync::Arc;

use axum::extract::FromRef;
use gatepost_control_plane::{ControlPlane, UnknownMembers};
use tokio::sync::watch;

use crate::http::members::SchemaMembers;
use crate::metrics::Metrics;

#[derive(Clone)]
pub(crate) struct ApiState {
    pub(crate) control_plane: ControlPlane,
    pub(crate) metrics: Arc<Metrics>,
    /// Handling of unknown members for requests without a preference.
    pub(crate) unknown_members: UnknownMembers,
    pub(crate) schema_members: Arc<SchemaMembers>,
    /// True once the server stops: responses without an end must end.
    pub(crate) shutdown: watch::Receiver<bool>,
    pub(crate) has_dashboard: bool,
}

impl FromRef<ApiState> for ControlPlane {
    fn from_ref(state: &ApiState) -> Self {
        state.control_plane.clone()
    }
}
