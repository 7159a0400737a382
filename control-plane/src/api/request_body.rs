//! Bodies of requests: JSON whatever the content type says, with the members that the OpenAPI document names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::redact::redact_all;
use gatepost_http_server::BodyTimeout;
use http::{HeaderName, HeaderValue};
use http_body_util::LengthLimitError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use super::{DOCUMENT, access_log, prefer};
use crate::ControlPlane;
use crate::failure::Failure;
use crate::json;
use crate::members::{self, MAX_REPORTED, Members, UnknownMember, UnknownMembers};
use crate::request_context;

/// Bytes of a request's body.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The members of a body that were ignored.
const IGNORED_MEMBERS: HeaderName = HeaderName::from_static("gatepost-ignored");
/// Characters that stand in [`IGNORED_MEMBERS`] as they are; others are percent-encoded, the comma between names included.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// The members of each schema of the document: what it shows and what is accepted cannot differ.
static MEMBERS: LazyLock<BTreeMap<String, Members>> = LazyLock::new(|| {
    let resolve = |reference: &str| DOCUMENT.pointer(reference.strip_prefix('#')?);
    let schemas = DOCUMENT["components"]["schemas"].as_object().into_iter().flatten();
    schemas.map(|(name, schema)| (name.clone(), Members::of_schema(schema, &resolve))).collect()
});

/// Returns the members that a body may have.
pub(crate) fn allowed_members<T: ToSchema>() -> &'static Members {
    MEMBERS.get(T::name().as_ref()).unwrap_or(&members::NO_MEMBERS)
}

/// A body that must be there.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned + ToSchema> FromRequest<ControlPlane> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &ControlPlane) -> Result<Self, Failure> {
        let bytes = read_body(request.into_body()).await?;
        parse_known(&bytes, allowed_members::<T>()).map(Self)
    }
}

/// A body that may be left out, as clients do which send a form's content type and no byte.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + ToSchema + Default> FromRequest<ControlPlane> for OptionalBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &ControlPlane) -> Result<Self, Failure> {
        let bytes = read_body(request.into_body()).await?;
        match json::strip_byte_order_mark(&bytes).trim_ascii() {
            b"" | b"null" => Ok(Self(T::default())),
            bytes => parse_known(bytes, allowed_members::<T>()).map(Self),
        }
    }
}

/// The body of a request that takes none. An object's members would be without effect, so they are unknown; what is no
/// object says nothing that could be missed.
pub(crate) struct NoBody;

impl FromRequest<ControlPlane> for NoBody {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &ControlPlane) -> Result<Self, Failure> {
        let bytes = read_body(request.into_body()).await?;
        match json::parse(&bytes) {
            Ok(value @ Value::Object(_)) => check_members(&value, &members::NO_MEMBERS).map(|()| NoBody),
            Ok(_) | Err(_) => Ok(NoBody),
        }
    }
}

/// Reads a body, for handlers and whoever must know it before them.
pub(super) async fn read_body(body: Body) -> Result<Bytes, Failure> {
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(too_large());
    }
    axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|error| read_failure(&error))
}

/// Reads a body whose members are known; others are refused or noted.
fn parse_known<T: DeserializeOwned>(bytes: &[u8], members: &Members) -> Result<T, Failure> {
    check_members(&json::parse(bytes)?, members)?;
    serde_json::from_slice(json::strip_byte_order_mark(bytes)).map_err(|error| json::parse_failure(&error))
}

fn check_members(value: &Value, members: &Members) -> Result<(), Failure> {
    let unknown = members.unknown_in(value).map_err(|list| Failure::invalid(list.to_string()))?;
    if unknown.is_empty() {
        return Ok(());
    }
    let names = unknown.iter().map(UnknownMember::path).collect();
    request_context::refuse_or_ignore(names, || Failure::invalid(members::problem_detail(&unknown)))
}

fn read_failure(error: &axum::Error) -> Failure {
    if BodyTimeout::is_cause_of(error) {
        return Failure::refused(ErrorCode::RequestTimeout, BodyTimeout.to_string());
    }
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    if causes.into_iter().any(|cause| cause.is::<LengthLimitError>()) {
        return too_large();
    }
    Failure::refused(ErrorCode::BadRequest, "the body could not be read")
}

fn too_large() -> Failure {
    let detail = format!("the body has more than {} KiB", MAX_BODY_BYTES / 1024);
    Failure::refused(ErrorCode::BodyTooLarge, detail)
}

/// Names the members that were ignored in the answer, and counts them.
pub(super) async fn report_ignored(
    State(control_plane): State<ControlPlane>,
    request: Request,
    next: Next,
) -> Response {
    let (method, matched) =
        (access_log::method_label(request.method()), request.extensions().get::<MatchedPath>().cloned());
    let handling = prefer::unknown_members_preference(request.headers());
    let mut response = next.run(request).await;
    let Some(request) = request_context::current() else { return response };
    let ignored_members = request.ignored_members();
    if ignored_members.is_empty() {
        return response;
    }
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    control_plane.metrics.count_ignored_members(route, method, ignored_members.len());
    response.headers_mut().insert(IGNORED_MEMBERS, header_value(&ignored_members, &request));
    if handling == Some(UnknownMembers::Ignore) {
        response.headers_mut().append(prefer::PREFERENCE_APPLIED, HeaderValue::from_static("handling=lenient"));
    }
    response
}

fn header_value(names: &BTreeSet<String>, request: &request_context::RequestContext) -> HeaderValue {
    let presented = || request.presented_credentials.iter().map(Secret::expose);
    let names = names.iter().take(MAX_REPORTED).map(|name| redact_all(name, presented()));
    let names = names.map(|name| utf8_percent_encode(&name, PLAIN).to_string());
    let names: Vec<String> = names.collect();
    HeaderValue::from_str(&names.join(", ")).expect("percent-encoded names and commas make a header")
}
