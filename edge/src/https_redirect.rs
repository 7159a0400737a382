//! The decision about a request to a listener that only redirects to HTTPS. No key is looked at.

use gatepost_domain::path::PathRules;
use gatepost_domain::problem::ErrorCode;

use crate::decision::Decision;
use crate::request_target::RequestTarget;
use crate::request_validation::{self, Destination, ValidatedRequest};
use crate::request_view::RequestView;
use crate::route_table::{RouteMatch, Routes};

/// Where a listener redirects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsRedirect {
    pub host: RedirectHost,
    /// None for the port of HTTPS.
    pub port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectHost {
    /// The host of the request, if it is known. A client, or a cache on its way, could be sent anywhere otherwise.
    Requested,
    Fixed(String),
}

impl HttpsRedirect {
    /// Redirects a valid request to the same resource over HTTPS. Its path may have the quirks that the route there
    /// accepts.
    pub fn decide<B>(
        &self,
        request: &RequestView<'_>,
        routes: &Routes<B>,
        is_known: impl FnOnce(&str) -> bool,
    ) -> Decision<B> {
        let validated = match request_validation::validate_accepting(request, routes.accepted_quirks()) {
            Ok(Destination::Upstream(validated)) => validated,
            Ok(Destination::Gateway(body)) => return Decision::server_options(body),
            Err(code) => return Decision::invalid(code),
        };
        let rules = self.path_rules(request, routes, &validated);
        let (requested, body) = (validated.host, validated.body);
        let target = validated.resource.into_target(&rules.unwrap_or_default());
        if let Err(code) = rules {
            return Decision::reject(code, target, body);
        }
        let host = match &self.host {
            RedirectHost::Fixed(host) => host,
            RedirectHost::Requested if !requested.is_empty() && is_known(requested) => requested,
            RedirectHost::Requested => return Decision::reject(ErrorCode::MisdirectedRequest, target, body),
        };
        let location = self.location(host, target.origin_form(request.target));
        Decision::redirect(location, target, body)
    }

    /// Returns the rules of the route that the request will have over HTTPS, or the default ones if it has none.
    ///
    /// # Errors
    /// If the path has a quirk that the route does not accept. Any other fault is that of the request over HTTPS.
    fn path_rules<B>(
        &self,
        request: &RequestView<'_>,
        routes: &Routes<B>,
        validated: &ValidatedRequest<'_>,
    ) -> Result<PathRules, ErrorCode> {
        let host = match &self.host {
            RedirectHost::Fixed(host) => host,
            RedirectHost::Requested => validated.host,
        };
        let path = &validated.resource.path;
        match routes.find(host, path, request.method) {
            RouteMatch::Matched(route) => Ok(route.path_rules),
            RouteMatch::PathRefused(code, _) if !path.quirks().is_empty() => Err(code),
            RouteMatch::PathRefused(..) | RouteMatch::MethodNotAllowed(_) | RouteMatch::NotFound => {
                Ok(PathRules::default())
            }
        }
    }

    fn location(&self, host: &str, origin_form: &str) -> String {
        match self.port {
            None => format!("https://{host}{origin_form}"),
            Some(port) => format!("https://{host}:{port}{origin_form}"),
        }
    }
}

impl RequestTarget {
    /// Returns the path with its query.
    fn origin_form<'a>(&'a self, client_target: &'a [u8]) -> &'a str {
        match self {
            RequestTarget::Unchanged { .. } => std::str::from_utf8(client_target).unwrap_or_default(),
            RequestTarget::Rewritten { target, .. } => target,
        }
    }
}
