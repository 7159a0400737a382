//! Configuration of routes.

use std::time::Duration;

use gatepost_domain::key::Env;
use gatepost_domain::path::PathRules;
use gatepost_domain::permit::{EnvRule, Requirement};
use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderName, Method, StatusCode};

use crate::header_edits::HeaderEdits;
use crate::network_rules::NetworkRules;

/// Upstream of routes that name none.
pub const DEFAULT_UPSTREAM: &str = "app";

/// Requests that a route takes, and what they must bring.
#[derive(Debug, Clone)]
pub struct RouteOptions {
    /// Host without port, lower case; none for any.
    pub host: Option<String>,
    /// Path prefix in canonical form that ends with a segment, such as `/v1/items`.
    pub path: String,
    /// What happens to paths that servers do not all read the same way.
    pub paths: PathRules,
    /// Whether paths of different letter case are different to the upstream. If not, one that looks like the path of a
    /// route with other requirements is refused.
    pub case_sensitive: bool,
    /// Segments at the start of a request's path that the upstream does not get.
    pub stripped_segments: usize,
    /// Empty for all.
    pub methods: Vec<Method>,
    pub upstream: String,
    pub auth: Auth,
    /// Where the key may be.
    pub credential: Vec<CredentialLocation>,
    /// Origins of the pages whose requests may have the key in a cookie, as browsers send them.
    pub origins: Vec<String>,
    /// What the key must be.
    pub requirement: Requirement,
    /// Where requests may come from.
    pub networks: NetworkRules,
    /// Limit for a request body, if it is not that of the policy.
    pub max_body_bytes: Option<u64>,
    /// Limit between two reads of the upstream's response, if it is not that of all routes.
    pub upstream_timeout: Option<Duration>,
    /// Status of the response to every request that is let through, in place of an upstream's response.
    pub respond: Option<StatusCode>,
    /// Edits of the request upstream.
    pub request_headers: HeaderEdits,
    /// Edits of the response, also if it is the gateway's own.
    pub response_headers: HeaderEdits,
}

impl Default for RouteOptions {
    /// Takes every request with a live key to the upstream `app`.
    fn default() -> Self {
        Self {
            host: None,
            path: "/".to_owned(),
            paths: PathRules::default(),
            case_sensitive: false,
            stripped_segments: 0,
            methods: Vec::new(),
            upstream: DEFAULT_UPSTREAM.to_owned(),
            auth: Auth::Required,
            credential: vec![
                CredentialLocation::Authorization,
                CredentialLocation::Header(HeaderName::from_static("x-api-key")),
                CredentialLocation::Header(HeaderName::from_static("apikey")),
            ],
            origins: Vec::new(),
            requirement: Requirement { projects: Vec::new(), env: EnvRule::Only(Env::Live), permissions: Vec::new() },
            networks: NetworkRules::default(),
            max_body_bytes: None,
            upstream_timeout: None,
            respond: None,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
        }
    }
}

impl RouteOptions {
    /// Returns the label in metrics, in the access log and in warnings: host and path.
    pub fn name(&self) -> String {
        format!("{}{}", self.host.as_deref().unwrap_or(""), self.path)
    }
}

/// Whether a route requires a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    Required,
    /// A request without a key passes, one with a bad key does not.
    Optional,
    /// Keys are not looked at.
    Off,
}

/// A place in which a credential may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialLocation {
    /// `Authorization: Bearer …`. Other schemes are not credentials and go upstream.
    Authorization,
    Header(HeaderName),
    /// A parameter of the query.
    Query(String),
    Cookie(String),
    /// What follows this prefix in a subprotocol that a WebSocket offers.
    Protocol(String),
}

impl CredentialLocation {
    /// Returns the header in which the credential may be; none if it is in the target.
    pub fn header_name(&self) -> Option<&HeaderName> {
        match self {
            CredentialLocation::Authorization => Some(&AUTHORIZATION),
            CredentialLocation::Header(name) => Some(name),
            CredentialLocation::Query(_) => None,
            CredentialLocation::Cookie(_) => Some(&COOKIE),
            CredentialLocation::Protocol(_) => Some(&SEC_WEBSOCKET_PROTOCOL),
        }
    }

    /// Returns the header that holds nothing but a credential.
    pub(crate) fn own_header(&self) -> Option<&HeaderName> {
        match self {
            CredentialLocation::Authorization | CredentialLocation::Header(_) => self.header_name(),
            CredentialLocation::Query(_) | CredentialLocation::Cookie(_) | CredentialLocation::Protocol(_) => None,
        }
    }
}
