//! One server of an upstream.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;

use super::ejection::Ejection;
use crate::tls::UpstreamTls;

/// A server with all that a request needs of it. Requests share it by `Arc`.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Configured name and port, for HTTP/1.0 requests that have no `Host`.
    pub(crate) host: HeaderValue,
    /// The address as the access log prints it.
    pub(crate) address_text: String,
    pub(crate) ejection: Ejection,
    /// None for plain HTTP.
    pub(crate) tls: Option<Arc<UpstreamTls>>,
}

impl Server {
    pub(super) fn new(address: SocketAddr, host: HeaderValue, tls: Option<Arc<UpstreamTls>>) -> Self {
        Self { address, host, address_text: address.to_string(), ejection: Ejection::default(), tls }
    }

    #[cfg(test)]
    pub(super) fn for_test(port: u16) -> Self {
        Self::new(([127, 0, 0, 1], port).into(), HeaderValue::from_static("server"), None)
    }
}
