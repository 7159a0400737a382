//! `/auth/authenticate`: the check of a key by old clients of the hosted product.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{ControlPlane, EndUser, Failure, RequestContext};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::extract::body::JsonBody;
use crate::api::respond::problem::Result;
use crate::api::respond::usage_headers;

/// A key to be checked.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Authenticate {
    /// Where the key is.
    #[schema(value_type = Credentials)]
    credentials: Option<Credentials>,
}

/// Where the key is.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Credentials {
    /// Its value.
    #[schema(value_type = String)]
    api_key: Option<String>,
}

/// A key that may be used.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Authenticated {
    /// Always true: what may not be used is a 404.
    authenticated: bool,
    /// Anything its maker attached.
    #[schema(value_type = Value)]
    custom_meta_data: Value,
    /// The caller's own id of the customer.
    custom_account_id: Option<String>,
    /// The caller's own id of the customer's user.
    custom_user_id: Option<String>,
}

/// Checks a key and counts it as used, for old clients; new ones use `POST /api-keys/auth/{key}`.
#[utoipa::path(
    post, path = "/auth/authenticate", operation_id = "authenticateLegacy", tag = "api-keys", request_body = Authenticate,
    responses((status = 201, body = Authenticated), (status = 400), (status = 401), (status = 404), (status = 429))
)]
pub(crate) async fn authenticate(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    user: EndUser,
    JsonBody(request): JsonBody<Authenticate>,
) -> Result<(StatusCode, HeaderMap, Json<Authenticated>)> {
    let key = request.credentials.and_then(|credentials| credentials.api_key);
    let key = key.ok_or_else(|| Failure::invalid("credentials.api_key: is missing"))?;
    let used = control_plane.authenticate_api_key(&context, &key, &user).await?;
    let headers = usage_headers::for_authenticated(&used);
    let found = used.key;
    let body = Authenticated {
        authenticated: true,
        custom_meta_data: serde_json::from_str(&found.metadata.0).unwrap_or(Value::Null),
        custom_account_id: found.custom_account_id,
        custom_user_id: found.custom_user_id,
    };
    Ok((StatusCode::CREATED, headers, Json(body)))
}
