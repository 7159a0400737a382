//! Configuration of routes.

use gatepost_domain::permit::Requirement;
use http::{HeaderName, Method};

/// Requests that a route takes, and what they must bring.
#[derive(Debug, Clone)]
pub struct RouteOptions {
    /// Host without port, lower case; none for any.
    pub host: Option<String>,
    /// Path prefix in canonical form that ends with a segment, such as `/v1/items`.
    pub path: String,
    /// Empty for all.
    pub methods: Vec<Method>,
    pub upstream: String,
    pub auth: Auth,
    /// Headers in which the key may be.
    pub credential: Vec<CredentialLocation>,
    /// What the key must be.
    pub requirement: Requirement,
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

/// A header in which a credential may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialLocation {
    /// `Authorization: Bearer …`. Other schemes are not credentials and go upstream.
    Authorization,
    Header(HeaderName),
}
