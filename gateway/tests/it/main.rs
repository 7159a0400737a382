//! The gateway as its clients and its upstream see it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod client_limits;
mod fixture;
mod header_names;
mod http_1_0;
mod limits;
mod page_credentials;
mod path_rules;
mod pipelining;
mod proxy_protocol;
mod raw_requests;
mod reload;
mod request_line;
mod route_edits;
mod route_settings;
mod server_options;
mod tls_client;
mod traces;
mod upstream_metrics;
mod upstream_responses;
mod websocket;
