//! Headers that the gateway and the route add to responses of upstreams and of the gateway itself.

use http::HeaderName;
use pingora::http::ResponseHeader;

use crate::context::Context;
use crate::header_edits::edit_response;
use crate::upstream_headers::REQUEST_ID;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const RATE_CONSUMED: HeaderName = HeaderName::from_static("ratelimit-consumed");

/// Applies the edits of the route. Headers that are set after it win.
pub(crate) fn apply_edits(response: &mut ResponseHeader, context: &Context) -> pingora::Result<()> {
    context.route().map_or(Ok(()), |route| edit_response(response, &route.backend.response_edits))
}

/// Adds the id of the request in the access log, which the upstream got as well.
pub(crate) fn add_request_id(response: &mut ResponseHeader, context: &Context) -> pingora::Result<()> {
    response.insert_header(REQUEST_ID, context.request_id.header())
}

/// Adds when the key ends (`Deprecation`, `Sunset`) and what is left of its limit (`RateLimit-…`), where it has them.
pub(crate) fn add_sunset_and_rate_limit(response: &mut ResponseHeader, context: &Context) -> pingora::Result<()> {
    if let Some(sunset) = context.key_check().and_then(|check| check.facts.as_ref()?.sunset()) {
        response.insert_header(DEPRECATION, sunset.deprecation_header())?;
        response.insert_header(SUNSET, sunset.sunset_header())?;
    }
    if let Some(limit_status) = context.limit_status() {
        response.insert_header(RATE_LIMIT, limit_status.limit.to_string())?;
        response.insert_header(RATE_REMAINING, limit_status.remaining.to_string())?;
        response.insert_header(RATE_RESET, limit_status.reset_s().to_string())?;
        response.insert_header(RATE_CONSUMED, limit_status.used().to_string())?;
    }
    Ok(())
}
