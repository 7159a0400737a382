//! The access key of a request: in the headers that clients of the hosted product use.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use gatepost_domain::problem::ErrorCode;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::Failure;

/// In this order: the first one that is there counts, the others may say anything.
const HEADERS: [&str; 4] = ["x-api-key", "api-key", "api_key", "access_key"];

impl FromRequestParts<ControlPlane> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, control_plane: &ControlPlane) -> Result<Self, Failure> {
        // It may have been found already, before the body was read.
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(caller.clone());
        }
        let value = find(&parts.headers).ok_or(ErrorCode::MissingAccessKey)?;
        // Where there is no connection, as in a call from within, all calls share one address.
        let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
        control_plane.authenticate(value, from).await
    }
}

fn find(headers: &HeaderMap) -> Option<&str> {
    let named = HEADERS.iter().find_map(|name| headers.get(*name));
    if let Some(value) = named {
        return Some(value.to_str().unwrap_or_default());
    }
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    Some(authorization.strip_prefix("Bearer ").unwrap_or(authorization).trim())
}
