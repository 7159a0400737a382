//! Check of the `Host` header.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gatepost_control_plane::Failure;
use gatepost_domain::problem::ErrorCode;
use gatepost_http_server::{HostError, HostRule};

use crate::api::respond::problem::ApiError;

/// Refuses requests for other hosts.
pub(crate) async fn layer(State(hosts): State<HostRule>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match hosts.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(fault) => ApiError::from(host_failure(fault)).into_response(),
    }
}

fn host_failure(fault: HostError) -> Failure {
    match fault {
        HostError::Missing | HostError::Multiple | HostError::Malformed => {
            Failure::refused(ErrorCode::BadHost, fault.to_string())
        }
        HostError::Unlisted => Failure::refused(
            ErrorCode::MisdirectedRequest,
            format!(
                "{fault}: list it in control_plane.hosts, or set control_plane.behind_tls_proxy = true if a proxy is in \
                 front"
            ),
        ),
    }
}
