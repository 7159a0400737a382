//! The decision about one request: whether it goes upstream, as whom, and else how to respond.
//!
//! A caller describes the request as a [`RequestView`], which borrows all of it, and passes it to
//! [`Authorizer::authorize`] with the [`Policy`] in force. No proxy engine is known here: the gateway's proxy phases
//! are one caller, and an endpoint for other proxies can be another.

#![allow(missing_docs, reason = "called only within this workspace, where a comment that repeats a name adds nothing")]

mod authorizer;
#[cfg(feature = "bench-support")]
pub mod bench_support;
pub mod client_ip;
pub mod credential;
mod decision;
mod described_request;
mod header_edits;
mod https_redirect;
mod look_alikes;
mod metrics;
mod network_rules;
mod page_credentials;
mod page_origin;
mod per_client_limiter;
mod request_target;
pub mod request_validation;
mod request_view;
mod requirement_class;
mod route;
mod route_index;
mod route_options;
mod route_table;
#[cfg(test)]
mod test_headers;

pub use authorizer::{Authorizer, Policy};
pub use client_ip::PeerTrust;
pub use decision::{AuthOutcome, AuthorizedAs, Decision, KeyCheck, RequestAction};
pub use described_request::{DescribedDestination, DescribedRequest};
pub use gatepost_domain::path::{EscapeRule, PathRules, QuirkRule, RawRule};
pub use header_edits::HeaderEdits;
pub use https_redirect::{HttpsRedirect, RedirectHost};
pub use metrics::DURATION_BUCKETS_S;
pub use network_rules::NetworkRules;
pub use page_credentials::PageCredentials;
pub use per_client_limiter::{ClientSlot, PerClientLimiter};
pub use request_target::{RequestTarget, Resource};
pub use request_view::{BodyLength, MAX_HEADER_BYTES, MessageError, RequestView};
pub use route::Route;
pub use route_options::{Auth, CredentialLocation, DEFAULT_UPSTREAM, RouteOptions};
pub use route_table::Routes;
