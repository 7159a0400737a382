//! Parts of a request that all layers and handlers can read.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::Extensions;
use gatepost_control_plane::MemberPolicy;
use gatepost_domain::key::Secret;

/// Data of a request that is known before authentication; an extension of the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestHead {
    /// The id in the response and in the log.
    pub(crate) id: String,
    /// Credentials that the request presents: no response and no log line repeats them.
    pub(crate) presented_credentials: Arc<[Secret]>,
    /// The address of the client.
    pub(crate) address: Option<IpAddr>,
    pub(crate) members: MemberPolicy,
}

impl RequestHead {
    /// Returns the head of the request with these extensions.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }
}
