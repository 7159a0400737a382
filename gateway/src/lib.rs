//! The gateway: a Pingora proxy that lets requests pass whose key may, and tells the upstream whose they are.

mod access_log;
mod client;
mod client_counts;
mod connection;
mod connector;
mod context;
mod credential;
mod failure;
mod front;
mod identity;
mod in_flight;
mod judge;
mod listed;
mod message_end;
mod metrics;
pub mod options;
mod passed_name;
mod proxy;
mod request_id;
mod request_line;
mod respond;
mod response;
mod response_check;
mod route;
mod server;
#[cfg(feature = "steps")]
pub mod steps;
mod strip;
mod upstream;
mod upstream_stream;
mod watched;

pub use listed::Strip;
pub use options::{Auth, CredentialPlace, GatewayOptions, Limits, RouteOptions, UpstreamOptions};
pub use passed_name::{NotAnIdentityName, PassedName};
pub use server::{Gateway, NotStarted, bind};
pub use upstream::unresolved;
