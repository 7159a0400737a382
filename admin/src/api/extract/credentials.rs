//! The access key of a request, in the headers that clients of the hosted product use.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request};
use gatepost_control_plane::{Caller, Failure};
use gatepost_domain::id::{AccessKeyId, KeyId};
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::api::respond::problem::{ApiError, Result};
use crate::api::state::ApiState;

/// In this order: the first header that is present is used, the others are ignored.
const ACCESS_KEY_HEADERS: [&str; 4] = ["x-api-key", "api-key", "api_key", "access_key"];

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self> {
        // The authorization layer may have authenticated it before the body was read.
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(caller.clone());
        }
        let value = find_access_key(&parts.headers).ok_or_else(missing_access_key)?;
        // Calls without a connection share one address.
        let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
        Ok(state.control_plane.authenticate_caller(value, from).await?)
    }
}

fn missing_access_key() -> Failure {
    Failure::refused(ErrorCode::MissingAccessKey, "the access key is missing: send it in the header x-api-key")
}

/// Returns everything that a request presents as a credential: in the headers above, and as the name of a key in its
/// path. Neither log lines nor problems repeat it.
pub(crate) fn presented_credentials(request: &Request) -> Vec<Secret> {
    let headers = ACCESS_KEY_HEADERS.iter().flat_map(|name| request.headers().get_all(*name));
    let headers = headers.chain(request.headers().get_all(AUTHORIZATION)).filter_map(|value| value.to_str().ok());
    let headers = headers.map(|value| value.strip_prefix("Bearer ").unwrap_or(value).trim().to_owned());
    headers.chain(keys_in_path(request)).map(Secret::new).collect()
}

/// Returns the values of keys among the variable segments of a path. Ids are not secret.
fn keys_in_path(request: &Request) -> Vec<String> {
    let matched = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if !["/api-keys/", "/access-keys/"].iter().any(|start| matched.starts_with(start)) {
        return Vec::new();
    }
    let parts = matched.split('/').zip(request.uri().path().split('/'));
    let variable = parts.filter(|(name, _)| name.starts_with('{')).map(|(_, part)| part);
    let decoded = variable.map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned());
    decoded.filter(|part| ![KeyId::PREFIX, AccessKeyId::PREFIX].iter().any(|id| part.starts_with(id))).collect()
}

fn find_access_key(headers: &HeaderMap) -> Option<&str> {
    let named = ACCESS_KEY_HEADERS.iter().find_map(|name| headers.get(*name));
    if let Some(value) = named {
        return Some(value.to_str().unwrap_or_default());
    }
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    Some(authorization.strip_prefix("Bearer ").unwrap_or(authorization).trim())
}
