//! For whom a request is meant.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gatepost_domain::problem::ErrorCode;
use gatepost_http_server::{HostFault, HostRule};

use crate::failure::Failure;

/// Refuses requests whose `Host` names nobody here.
pub(super) async fn judge(State(hosts): State<HostRule>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match hosts.judge(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(fault) => refused(fault).into_response(),
    }
}

fn refused(fault: HostFault) -> Failure {
    match fault {
        HostFault::Missing | HostFault::Several | HostFault::Malformed => {
            Failure::refused(ErrorCode::BadHost, fault.to_string())
        }
        HostFault::Unlisted => Failure::refused(
            ErrorCode::MisdirectedRequest,
            format!(
                "{fault}: list it in control_plane.hosts, or set control_plane.behind_tls_proxy = true if a proxy is in \
                 front"
            ),
        ),
    }
}
