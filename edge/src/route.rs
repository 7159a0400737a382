//! A route: what it requires, and what its caller attaches to it.

use std::sync::Arc;

use gatepost_domain::header_name::NormalizedHeaderName;
use gatepost_domain::path::{PathRules, Quirks};
use gatepost_domain::permit::Requirement;
use http::{Method, StatusCode};

use crate::network_rules::NetworkRules;
use crate::page_credentials::PageCredentials;
use crate::requirement_class::RequirementClass;
use crate::route_options::{Auth, CredentialLocation, RouteOptions};

/// A route with what its caller attaches to it: the gateway attaches the upstream and its counters.
#[derive(Debug)]
pub struct Route<B> {
    /// Label in metrics and in the access log: host and path.
    pub name: String,
    pub auth: Auth,
    pub credential: Vec<CredentialLocation>,
    pub requirement: Requirement,
    /// Headers in which this route's credential may be.
    pub credential_headers: Vec<NormalizedHeaderName>,
    /// Other places of requests in which it may be.
    pub page_credentials: PageCredentials,
    /// `Allow` of 405: the methods of all routes with this host and path.
    pub allow: Arc<str>,
    pub backend: B,
    /// Limit for a request body; none for that of the policy.
    pub max_body_bytes: Option<u64>,
    /// Status of the response in place of an upstream's.
    pub(crate) respond: Option<StatusCode>,
    pub(crate) networks: NetworkRules,
    /// Origins of pages whose requests may have the key in a cookie.
    pub(crate) origins: Vec<String>,
    pub(crate) path_rules: PathRules,
    /// Those of the rules.
    pub(crate) accepted_quirks: Quirks,
    /// Whether paths of different letter case are different to the upstream.
    pub(crate) is_case_sensitive: bool,
    pub(crate) class: RequirementClass,
    methods: Vec<Method>,
}

impl<B> Route<B> {
    pub(crate) fn new(
        name: String,
        options: RouteOptions,
        class: RequirementClass,
        allow: Arc<str>,
        backend: B,
    ) -> Self {
        Self {
            name,
            auth: options.auth,
            credential_headers: own_headers(&options.credential),
            page_credentials: PageCredentials::of(&options.credential),
            origins: options.origins,
            credential: options.credential,
            requirement: options.requirement,
            allow,
            backend,
            max_body_bytes: options.max_body_bytes,
            respond: options.respond,
            networks: options.networks,
            path_rules: options.paths,
            accepted_quirks: options.paths.accepted(),
            is_case_sensitive: options.case_sensitive,
            class,
            methods: options.methods,
        }
    }

    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

fn own_headers(locations: &[CredentialLocation]) -> Vec<NormalizedHeaderName> {
    let names = locations.iter().filter_map(CredentialLocation::own_header);
    names.map(|name| NormalizedHeaderName::new(name.as_str())).collect()
}
