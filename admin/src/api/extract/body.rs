//! Request bodies: JSON, regardless of the content type, with the members that the OpenAPI document defines.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use gatepost_control_plane::{Failure, MemberPolicy};
use gatepost_domain::problem::ErrorCode;
use gatepost_http_server::BodyTimeout;
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use super::read_only::ReadOnlyMembers;
use crate::api::respond::problem::{ApiError, Result};
use crate::api::state::ApiState;
use crate::http::json::{self, JsonError};
use crate::http::member_types::path_text;
use crate::http::members::{self, Members, SchemaMembers, UnknownMember};
use crate::http::request_head::RequestHead;

/// Maximum size of a request body in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A required body.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned + ToSchema> FromRequest<ApiState> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self> {
        Ok(Self(parse_required(request, state).await?.change))
    }
}

/// A required body that changes a resource, and its members that only the server sets.
pub(crate) struct PatchBody<T> {
    pub(crate) change: T,
    pub(crate) read_only: ReadOnlyMembers,
}

impl<T: DeserializeOwned + ToSchema> FromRequest<ApiState> for PatchBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self> {
        Ok(parse_required(request, state).await?)
    }
}

/// An optional body: some clients send the content type of a form and no bytes.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + ToSchema + Default> FromRequest<ApiState> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self> {
        let policy = RequestHead::of(request.extensions()).members;
        let bytes = read_body(request.into_body()).await?;
        match json::strip_byte_order_mark(&bytes).trim_ascii() {
            b"" | b"null" => Ok(Self(T::default())),
            bytes => Ok(Self(parse_known(bytes, &state.schema_members, &policy)?.change)),
        }
    }
}

/// The body of a request that takes none. All members of an object are unknown members; anything else is ignored.
pub(crate) struct NoBody;

impl FromRequest<ApiState> for NoBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &ApiState) -> Result<Self> {
        let policy = RequestHead::of(request.extensions()).members;
        let bytes = read_body(request.into_body()).await?;
        if let Ok(value @ Value::Object(_)) = json::parse(&bytes) {
            check_members(&value, &members::NO_MEMBERS, &policy)?;
        }
        Ok(NoBody)
    }
}

/// Reads a body, for handlers and for layers around them.
pub(crate) async fn read_body(body: Body) -> std::result::Result<Bytes, Failure> {
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(too_large());
    }
    axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|error| read_failure(&error))
}

async fn parse_required<T: DeserializeOwned + ToSchema>(
    request: Request,
    state: &ApiState,
) -> std::result::Result<PatchBody<T>, Failure> {
    let policy = RequestHead::of(request.extensions()).members;
    let bytes = read_body(request.into_body()).await?;
    if json::strip_byte_order_mark(&bytes).trim_ascii().is_empty() {
        return Err(Failure::refused(ErrorCode::InvalidJson, "the body is missing: send a JSON object"));
    }
    parse_known(&bytes, &state.schema_members, &policy)
}

/// Parses a body. Unknown members are refused or recorded as ignored.
fn parse_known<T: DeserializeOwned + ToSchema>(
    bytes: &[u8],
    schemas: &SchemaMembers,
    policy: &MemberPolicy,
) -> std::result::Result<PatchBody<T>, Failure> {
    let value = json::parse(bytes).map_err(|error| number_failure::<T>(schemas, error))?;
    check_members(&value, schemas.of::<T>(), policy)?;
    let parsed = serde_json::from_slice(json::strip_byte_order_mark(bytes));
    let change = parsed.map_err(|error| type_failure::<T>(schemas, &value, &error))?;
    let read_only = ReadOnlyMembers::new(&value, &schemas.read_only::<T>(), policy.clone());
    Ok(PatchBody { change, read_only })
}

/// Returns the refusal of JSON. A number that is too large is refused as one of its member, if that must be a number.
fn number_failure<T: ToSchema>(schemas: &SchemaMembers, error: JsonError) -> Failure {
    let JsonError::Number { path, .. } = &error else { return error.into() };
    match schemas.describe::<T>(path) {
        Some(expected) => Failure::invalid(format!("{}: must be {expected}", path_text(path))),
        None => error.into(),
    }
}

/// Returns the refusal of a body that does not have the types of its schema. The error itself may name no member: one of
/// an object that is read as a whole does not.
fn type_failure<T: ToSchema>(schemas: &SchemaMembers, body: &Value, error: &serde_json::Error) -> Failure {
    match schemas.type_error::<T>(body) {
        Some((path, expected)) => Failure::invalid(format!("{}: must be {expected}", path_text(&path))),
        None => Failure::invalid(error.to_string()),
    }
}

fn check_members(value: &Value, members: &Members, policy: &MemberPolicy) -> std::result::Result<(), Failure> {
    let unknown = members.unknown_in(value).map_err(|list| Failure::invalid(list.to_string()))?;
    if unknown.is_empty() {
        return Ok(());
    }
    let names = unknown.iter().map(UnknownMember::path).collect();
    policy.refuse_or_ignore(names, || Failure::invalid(members::problem_detail(&unknown)))
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
