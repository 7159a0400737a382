//! `/gateways`.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{ControlPlane, GatewayLag, RequestContext};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::respond::problem::Result;

/// A gateway.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GatewayBody)]
pub(crate) struct GatewayResource {
    /// Id of the gateway. It changes at each start.
    id: String,
    /// Age of the oldest change that it has not applied, in milliseconds; 0 if it has applied all.
    lag_ms: u64,
    /// Time from which it refuses all requests unless it renews its lease.
    refuses_at: String,
}

impl From<GatewayLag> for GatewayResource {
    fn from(GatewayLag { gateway, lag }: GatewayLag) -> Self {
        Self {
            id: gateway.id.as_str().to_owned(),
            lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
            refuses_at: gateway.lease_expires_at.to_string(),
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
