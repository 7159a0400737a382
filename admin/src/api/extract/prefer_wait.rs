//! `Prefer: wait=N` (RFC 7240): responses that wait for gateways.

use std::time::Duration;

use axum::extract::FromRequestParts;
use gatepost_control_plane::{ControlPlane, Failure, MAX_WAIT, RequestContext};
use gatepost_domain::partition::Position;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::api::prefer::{PREFERENCE_APPLIED, preference};
use crate::api::respond::problem::{ApiError, Result};
use crate::api::state::ApiState;

/// The known gateways that had applied the change when the response was sent: `applied/known`.
const PROPAGATED: HeaderName = HeaderName::from_static("gatepost-propagated");

/// The time that a response waits until all gateways have applied the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PreferWait(Option<Duration>);

impl PreferWait {
    /// Waits as preferred, and returns headers that report what was reached.
    pub(crate) async fn wait_for_propagation(
        self,
        control_plane: &ControlPlane,
        context: &RequestContext,
        position: Position,
    ) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let Some(wait) = self.0 else { return Ok(headers) };
        let status = control_plane.await_propagation(&context.caller.account, position, wait).await?;
        headers.insert(PROPAGATED, header_value(&format!("{}/{}", status.applied, status.known)));
        headers.insert(PREFERENCE_APPLIED, header_value(&format!("wait={}", wait.as_secs())));
        Ok(headers)
    }

    /// Returns the wait that is preferred; zero without one.
    pub(crate) fn duration(self) -> Duration {
        self.0.unwrap_or_default()
    }

    fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self(None)) };
        let seconds: u64 =
            text.parse().map_err(|_| Failure::invalid("Prefer: wait must be a whole number of seconds"))?;
        Ok(Self(Some(Duration::from_secs(seconds).min(MAX_WAIT))))
    }
}

impl FromRequestParts<ApiState> for PreferWait {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self> {
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
