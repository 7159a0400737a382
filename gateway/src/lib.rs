//! The gateway: a Pingora proxy that forwards requests whose key permits them, and identifies the key to the upstream.
//!
//! [`bind`] or [`adopt`], and [`Gateway::start`] start one, [`Gateway::reload`] changes its configuration. `gatepost-edge` decides
//! on requests; this crate is its caller in Pingora's phases.

#![allow(missing_docs, reason = "called only within this workspace, where a comment that repeats a name adds nothing")]

mod access_log;
#[cfg(feature = "bench-support")]
pub mod bench_support;
mod checked_protocol;
mod connector;
mod context;
mod failure;
mod header_edits;
mod header_guard;
mod header_rules;
mod header_sanitizer;
mod header_state;
mod http1_header;
mod http2_header;
mod in_flight;
mod listen;
mod local_reply;
mod metrics;
pub mod options;
mod pass_header;
mod peer_ip;
mod proxy;
mod proxy_protocol;
mod raw_header;
mod request_decision;
mod request_framing;
mod request_id;
mod request_line;
mod resolve_error;
mod response_check;
mod response_headers;
mod response_rewrite;
mod server;
mod snapshot;
mod start_error;
mod tls;
mod trace;
mod traceparent;
mod upstream;
mod upstream_exchange;
mod upstream_headers;
mod upstream_stream;
mod upstream_target;
mod websocket_end;

pub use gatepost_edge::{
    Auth, CredentialLocation, DEFAULT_UPSTREAM, EscapeRule, HeaderEdits, HttpsRedirect, NetworkRules, PathRules,
    QuirkRule, RawRule, RedirectHost, RouteOptions,
};
pub use header_edits::{ParseHeaderNameError, parse_request_header_name, parse_response_header_name};
pub use header_rules::StripMode;
pub use listen::{Listener, adopt, bind};
pub use options::{GatewayLimits, GatewayOptions, ListenerOptions, ProxyProtocol, UpstreamOptions};
pub use pass_header::{ParsePassHeaderError, PassHeader};
pub use resolve_error::ResolveError;
pub use server::{Gateway, GatewayStatus};
pub use start_error::StartError;
pub use tls::{
    CertificateError, CertificateFiles, ClientCertificate, MinVersion, TlsError, TlsFault, TlsMaterials, TlsOptions,
    UnknownName, UpstreamTlsError, UpstreamTlsOptions, certificate_error,
};
pub use trace::{IncomingTrace, TraceOptions};
pub use upstream::{UpstreamStatus, resolution_errors};
