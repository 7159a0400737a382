//! `/auth/authenticate`: key authentication for old clients of the hosted product.

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

/// Key to authenticate.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Authenticate {
    /// Credentials that contain the key.
    #[schema(value_type = Credentials)]
    credentials: Option<Credentials>,
}

/// Credentials that contain the key.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Credentials {
    /// Value of the key.
    #[schema(value_type = String)]
    api_key: Option<String>,
}

/// Authenticated key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Authenticated {
    /// Always true: a key that cannot be used returns 404.
    authenticated: bool,
    /// Any JSON value attached by the creator.
    #[schema(value_type = Value)]
    custom_meta_data: Value,
    /// The caller's own id of the customer.
    custom_account_id: Option<String>,
    /// The caller's own id of the customer's user.
    custom_user_id: Option<String>,
}

/// Authenticates a key and counts one use, for old clients. New clients use `POST /api-keys/auth/{key}`.
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
