//! `/gateways`, and answers that wait for them.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use gatepost_domain::time::Version;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

use super::prefer::{PREFERENCE_APPLIED, preference};
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::use_cases::gateways::{GatewayLag, MAX_WAIT};

/// How many of the known gateways had applied the change when the answer was made: `applied/known`.
const PROPAGATED: HeaderName = HeaderName::from_static("gatepost-propagated");

/// A gateway.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewayBody {
    /// Which. A gateway has another id after each start.
    id: String,
    /// For how long the oldest change that it has not applied has stood; 0 if it has applied all.
    lag_ms: u64,
    /// The moment from which it refuses everything unless it is heard from again.
    refuses_at: String,
}

impl From<GatewayLag> for GatewayBody {
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
    responses((status = 200, body = [GatewayBody]), (status = 401), (status = 403), (status = 503))
)]
pub(super) async fn list(State(control_plane): State<ControlPlane>, caller: Caller) -> Result<Json<Vec<GatewayBody>>> {
    let gateways = control_plane.gateways(&caller).await?;
    Ok(Json(gateways.into_iter().map(GatewayBody::from).collect()))
}

/// For how long an answer shall wait until all gateways have applied the change (RFC 7240, `wait`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PreferWait(Option<Duration>);

impl PreferWait {
    /// Waits as preferred, and answers the headers that tell what was reached.
    pub(super) async fn wait_for_propagation(
        self,
        control_plane: &ControlPlane,
        caller: &Caller,
        version: Version,
    ) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let Some(wait) = self.0 else { return Ok(headers) };
        let status = control_plane.await_propagation(&caller.account, version, wait).await?;
        headers.insert(PROPAGATED, header_value(&format!("{}/{}", status.applied, status.known)));
        headers.insert(PREFERENCE_APPLIED, header_value(&format!("wait={}", wait.as_secs())));
        Ok(headers)
    }

    fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self(None)) };
        let seconds: u64 =
            text.parse().map_err(|_| Failure::invalid("Prefer: wait must be a whole number of seconds"))?;
        Ok(Self(Some(Duration::from_secs(seconds).min(MAX_WAIT))))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PreferWait {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Self::parse(preference(&parts.headers, "wait"))
    }
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits, slashes and letters make a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_whole_seconds_up_to_thirty() {
        let parse = |text| PreferWait::parse(text).ok().map(|wait| wait.0.map(|wait| wait.as_secs()));
        for (text, wait) in [
            (Some("5"), Some(Some(5))),
            (Some("31"), Some(Some(30))),
            (None, Some(None)),
            (Some("-1"), None),
            (Some("soon"), None),
        ] {
            assert_eq!(parse(text), wait, "{text:?}");
        }
    }
}
