//! `/gateways`, and answers that wait for them.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use gatepost_domain::time::Version;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::use_cases::gateways::{GatewayLag, MAX_WAIT};

/// How many of the known gateways had applied the change when the answer was made: `applied/known`.
const PROPAGATED: HeaderName = HeaderName::from_static("gatepost-propagated");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

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
            refuses_at: gateway.refuses_at.to_string(),
        }
    }
}

/// Lists the gateways that may still accept keys from their caches, with their lag.
#[utoipa::path(
    get, path = "/gateways", tag = "gateways",
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
    pub(super) async fn headers(self, control_plane: &ControlPlane, version: Version) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let Some(wait) = self.0 else { return Ok(headers) };
        let reached = control_plane.await_propagation(version, wait).await?;
        headers.insert(PROPAGATED, value(&format!("{}/{}", reached.applied, reached.known)));
        headers.insert(PREFERENCE_APPLIED, value(&format!("wait={}", wait.as_secs())));
        Ok(headers)
    }

    /// Reads the header's preferences. Others than `wait` are not ours; the first of several counts.
    fn parse<'a>(fields: impl Iterator<Item = &'a str>) -> Result<Self> {
        let preferences = fields.flat_map(|field| field.split(',')).filter_map(|preference| {
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
        });
        let Some(text) = preferences.into_iter().next() else { return Ok(Self(None)) };
        let seconds: u64 =
            text.parse().map_err(|_| Failure::invalid("Prefer: wait must be a whole number of seconds"))?;
        Ok(Self(Some(Duration::from_secs(seconds).min(MAX_WAIT))))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PreferWait {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Self::parse(parts.headers.get_all("prefer").iter().filter_map(|field| field.to_str().ok()))
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits, slashes and letters make a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_found_among_other_preferences() {
        let parse =
            |field: &str| PreferWait::parse([field].into_iter()).ok().map(|wait| wait.0.map(|wait| wait.as_secs()));
        for (field, wait) in [
            ("wait=5", Some(Some(5))),
            ("respond-async, Wait = \"7\"; x=1", Some(Some(7))),
            ("wait=31", Some(Some(30))),
            ("return=minimal", Some(None)),
            ("wait", Some(None)),
            ("wait=-1", None),
            ("wait=soon", None),
        ] {
            assert_eq!(parse(field), wait, "{field}");
        }
    }
}
