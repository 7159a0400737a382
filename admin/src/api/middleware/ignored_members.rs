//! `Gatepost-Ignored`: the members of a body that were ignored.

use std::collections::BTreeSet;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use gatepost_control_plane::UnknownMembers;
use gatepost_domain::key::Secret;
use gatepost_domain::redact::redact_all;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api::prefer;
use crate::api::state::ApiState;
use crate::http::members::MAX_REPORTED;
use crate::http::request_head::RequestHead;
use crate::metrics::method_label;

const IGNORED_MEMBERS: HeaderName = HeaderName::from_static("gatepost-ignored");
/// Characters that are not percent-encoded in [`IGNORED_MEMBERS`]. A comma in a name is, as commas separate names.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// Names the ignored members in the response, and counts them.
pub(crate) async fn layer(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (method, matched) = (method_label(request.method()), request.extensions().get::<MatchedPath>().cloned());
    let handling = prefer::unknown_members_preference(request.headers());
    let head = RequestHead::of(request.extensions());
    let mut response = next.run(request).await;
    let ignored_members = head.members.ignored();
    if ignored_members.is_empty() {
        return response;
    }
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    state.metrics.count_ignored_members(route, method, ignored_members.len());
    response.headers_mut().insert(IGNORED_MEMBERS, header_value(&ignored_members, &head));
    if handling == Some(UnknownMembers::Ignore) {
        response.headers_mut().append(prefer::PREFERENCE_APPLIED, HeaderValue::from_static("handling=lenient"));
    }
    response
}

fn header_value(names: &BTreeSet<String>, head: &RequestHead) -> HeaderValue {
    let presented = || head.presented_credentials.iter().map(Secret::expose);
    let names = names.iter().take(MAX_REPORTED).map(|name| redact_all(name, presented()));
    let names = names.map(|name| utf8_percent_encode(&name, PLAIN).to_string());
    let names: Vec<String> = names.collect();
    HeaderValue::from_str(&names.join(", ")).expect("percent-encoded names and commas make a header")
}
