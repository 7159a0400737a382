//! The gateway: a Pingora proxy that lets requests pass whose key may, and tells the upstream whose they are.

mod access_log;
mod authorization;
#[cfg(feature = "steps")]
pub mod bench_support;
mod client_ip;
mod connection_handler;
mod connector;
mod context;
mod credential;
mod failure;
mod header_guard;
mod header_rules;
mod header_sanitizer;
mod header_state;
mod http1_header;
mod in_flight;
mod local_reply;
mod metrics;
pub mod options;
mod outcome;
mod pass_header;
mod per_client_limiter;
mod proxy;
mod request_framing;
mod request_id;
mod request_line;
mod request_validation;
mod response_check;
mod response_headers;
mod route;
mod server;
mod snapshot;
mod start_error;
mod upstream;
mod upstream_headers;
mod upstream_stream;

pub use header_rules::StripMode;
pub use options::{Auth, CredentialLocation, GatewayOptions, Limits, RouteOptions, UpstreamOptions};
pub use pass_header::{ParsePassHeaderError, PassHeader};
pub use server::{Gateway, bind};
pub use start_error::StartError;
pub use upstream::{ResolveError, resolution_errors};
