//! `/gateways`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{
    ControlPlane, GatewayLag, GatewayPropagation, PropagationReport, PropagationStatus, RequestContext,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::extract::prefer_wait::PreferWait;
use crate::api::extract::query::PathId;
use crate::api::respond::problem::Result;
use crate::http::changes::parse_path_cursor;

/// A gateway.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GatewayBody)]
pub(crate) struct GatewayResource {
    /// Id of the gateway. It changes at each start.
    id: String,
    /// `gateway.name` in its configuration, by default the name of the machine and the port; null for gateways of 0.1.0.
    #[schema(example = "edge-1:8080")]
    name: Option<String>,
    /// Release; null for gateways of 0.1.0.
    version: Option<String>,
    /// Age of the oldest change that it has not applied, in milliseconds; 0 if it has applied all.
    lag_ms: u64,
    /// Time from which it refuses all requests unless it renews its lease.
    refuses_at: String,
    /// Time of its last heartbeat; null for gateways of 0.1.0.
    last_heartbeat_at: Option<String>,
}

/// Gateways that have applied a change, and those that have not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PropagationBody {
    /// Number of gateways that have applied the change.
    #[schema(example = 3)]
    applied: usize,
    /// Number of known gateways. A gateway is known until it stops, or until it refuses all requests.
    #[schema(example = 3)]
    known: usize,
    /// How long the request has waited, in milliseconds.
    #[schema(example = 41)]
    waited_ms: u64,
    /// Every known gateway.
    gateways: Vec<GatewayPropagationResource>,
}

/// A gateway, and whether it has applied a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GatewayPropagationBody)]
pub(crate) struct GatewayPropagationResource {
    /// Id of the gateway.
    id: String,
    /// As in the list of gateways.
    #[schema(example = "edge-1:8080")]
    name: Option<String>,
    /// As in the list of gateways.
    version: Option<String>,
    /// Whether it has applied the change. If the change revokes a key, the gateway refuses it from then on.
    #[schema(example = true)]
    applied: bool,
    /// Time from the start of the request until it was seen to have applied the change, in milliseconds; null if it was
    /// not.
    #[schema(example = 41)]
    applied_after_ms: Option<u64>,
    /// Time from which it refuses all requests unless it renews its lease.
    refuses_at: String,
    /// Time of its last heartbeat; null for gateways of 0.1.0.
    last_heartbeat_at: Option<String>,
}

impl From<PropagationReport> for PropagationBody {
    fn from(report: PropagationReport) -> Self {
        let PropagationStatus { applied, known } = report.status();
        let gateways = report.gateways.into_iter().map(GatewayPropagationResource::from).collect();
        Self { applied, known, waited_ms: whole_ms(report.waited), gateways }
    }
}

impl From<GatewayPropagation> for GatewayPropagationResource {
    fn from(GatewayPropagation { gateway, applied_after }: GatewayPropagation) -> Self {
        let (name, version) = gateway.label.map(|label| (label.name, label.version)).unzip();
        Self {
            id: gateway.id.as_str().to_owned(),
            name,
            version,
            applied: applied_after.is_some(),
            applied_after_ms: applied_after.map(whole_ms),
            refuses_at: gateway.lease_expires_at.to_string(),
            last_heartbeat_at: gateway.last_heartbeat_at.map(|at| at.to_string()),
        }
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<GatewayLag> for GatewayResource {
    fn from(GatewayLag { gateway, lag }: GatewayLag) -> Self {
        let (name, version) = gateway.label.map(|label| (label.name, label.version)).unzip();
        Self {
            id: gateway.id.as_str().to_owned(),
            name,
            version,
            lag_ms: whole_ms(lag),
            refuses_at: gateway.lease_expires_at.to_string(),
            last_heartbeat_at: gateway.last_heartbeat_at.map(|at| at.to_string()),
        }
    }
}

/// Lists the gateways that may still accept keys from their caches, with their lag.
#[utoipa::path(
    get, path = "/gateways", operation_id = "listGateways", tag = "gateways",
    responses((status = 200, body = [GatewayResource]), (status = 401), (status = 403), (status = 503))
)]
pub(crate) async fn list(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
) -> Result<Json<Vec<GatewayResource>>> {
    let gateways = control_plane.gateways(&context).await?;
    Ok(Json(gateways.into_iter().map(GatewayResource::from).collect()))
}

/// Returns which gateways have applied a change.
///
/// With `Prefer: wait=N` (up to 30 seconds) the response is sent once all have, or when the wait times out.
#[utoipa::path(
    get, path = "/events/{cursor}/propagation", operation_id = "getEventPropagation", tag = "gateways",
    params(
        ("cursor" = String, Path, description = "`cursor` of the change", example = "1860000000000000000"),
        ("Prefer" = Option<String>, Header, example = "wait=5"),
    ),
    responses(
        (status = 200, body = PropagationBody), (status = 400), (status = 401), (status = 403), (status = 404),
        (status = 503),
    )
)]
pub(crate) async fn propagation(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    wait: PreferWait,
    PathId(cursor): PathId,
) -> Result<Json<PropagationBody>> {
    let change = control_plane.change_at(&context, &parse_path_cursor(&cursor)?).await?;
    let report = control_plane.propagation_report(&context, change.position(), wait.duration()).await?;
    Ok(Json(report.into()))
}
