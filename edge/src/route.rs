//! The table of routes: host, longest path prefix, methods.

use std::sync::Arc;

use gatepost_domain::header_name::NormalizedHeaderName;
use gatepost_domain::path::CanonicalPath;
use gatepost_domain::permit::Requirement;
use http::{Method, StatusCode};

use crate::network_rules::NetworkRules;
use crate::route_index::RouteIndex;
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
    /// `Allow` of 405: the methods of all routes with this host and path.
    pub allow: Arc<str>,
    pub backend: B,
    /// Limit for a request body; none for that of the policy.
    pub max_body_bytes: Option<u64>,
    /// Status of the response in place of an upstream's.
    pub(crate) respond: Option<StatusCode>,
    pub(crate) networks: NetworkRules,
    methods: Vec<Method>,
}

/// All routes.
#[derive(Debug)]
pub struct Routes<B> {
    /// Of one host and path, those that name methods come first.
    index: RouteIndex<Arc<Route<B>>>,
    /// Headers in which the credential of any route may be.
    credential_headers: Vec<NormalizedHeaderName>,
}

/// Result of a look-up in the table.
#[derive(Debug)]
pub(crate) enum RouteMatch<'a, B> {
    Matched(&'a Arc<Route<B>>),
    /// Host and path match this route, but no route there takes the method.
    MethodNotAllowed(&'a Route<B>),
    NotFound,
}

impl<B> Routes<B> {
    /// Orders the routes. `backend` makes what is attached to a route.
    ///
    /// # Errors
    /// The first error of `backend`.
    pub fn new<E>(
        mut options: Vec<RouteOptions>,
        mut backend: impl FnMut(&RouteOptions) -> Result<B, E>,
    ) -> Result<Self, E> {
        options.sort_by_key(|route| route.methods.is_empty());
        let allow: Vec<Arc<str>> = options.iter().map(|route| allowed_methods(&options, route)).collect();
        let mut index = RouteIndex::default();
        let mut credential_headers: Vec<NormalizedHeaderName> = Vec::new();
        for (options, allow) in options.into_iter().zip(allow) {
            let (name, backend) = (options.name(), backend(&options)?);
            let (host, path) = (options.host.clone(), options.path.clone());
            let route = Route::new(name, options, allow, backend);
            let is_new = |header: &&NormalizedHeaderName| !credential_headers.contains(header);
            let new: Vec<_> = route.credential_headers.iter().filter(is_new).cloned().collect();
            credential_headers.extend(new);
            index.insert(host.as_deref(), &path, Arc::new(route));
        }
        Ok(Self { index, credential_headers })
    }

    /// Finds the route of a request. Host and path decide first: if the routes there do not take the method, shorter
    /// paths are not tried, since they may require less.
    pub(crate) fn find(&self, host: &str, path: &CanonicalPath<'_>, method: &Method) -> RouteMatch<'_, B> {
        let candidates = self.index.find(host, path);
        let Some(first) = candidates.first() else { return RouteMatch::NotFound };
        let takes_method = |route: &&Arc<Route<B>>| route.methods.is_empty() || route.methods.contains(method);
        match candidates.iter().find(takes_method) {
            Some(route) => RouteMatch::Matched(route),
            None => RouteMatch::MethodNotAllowed(first),
        }
    }

    /// Returns the headers in which a credential may be: of one route, or of all where a request has no route.
    pub fn credential_headers<'a>(&'a self, route: Option<&'a Route<B>>) -> &'a [NormalizedHeaderName] {
        route.map_or(&self.credential_headers, |route| &route.credential_headers)
    }
}

impl<B> Route<B> {
    fn new(name: String, options: RouteOptions, allow: Arc<str>, backend: B) -> Self {
        Self {
            name,
            auth: options.auth,
            credential_headers: options.credential.iter().map(credential_header).collect(),
            credential: options.credential,
            requirement: options.requirement,
            allow,
            backend,
            max_body_bytes: options.max_body_bytes,
            respond: options.respond,
            networks: options.networks,
            methods: options.methods,
        }
    }
}

fn allowed_methods(routes: &[RouteOptions], of: &RouteOptions) -> Arc<str> {
    let same = routes.iter().filter(|route| route.host == of.host && route.path == of.path);
    let methods = same.flat_map(|route| &route.methods);
    methods.map(Method::as_str).collect::<Vec<_>>().join(", ").into()
}

fn credential_header(location: &CredentialLocation) -> NormalizedHeaderName {
    NormalizedHeaderName::new(location.header_name().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn route(host: Option<&str>, path: &str, methods: &[Method]) -> RouteOptions {
        RouteOptions {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            methods: methods.to_vec(),
            ..RouteOptions::default()
        }
    }

    fn table(routes: Vec<RouteOptions>) -> Routes<()> {
        let backend = |_: &RouteOptions| Ok::<(), Infallible>(());
        Routes::new(routes, backend).unwrap()
    }

    fn check(routes: &Routes<()>, method: Method, host: &str, path: &str, expected: &str) {
        let found = match routes.find(host, &CanonicalPath::parse(path).unwrap(), &method) {
            RouteMatch::Matched(route) => route.name.clone(),
            RouteMatch::MethodNotAllowed(route) => format!("only {}", route.allow),
            RouteMatch::NotFound => "nothing".to_owned(),
        };
        assert_eq!(found, expected, "{method} {host}{path}");
    }

    #[test]
    fn host_and_longest_path_decide_before_the_method() {
        let routes = vec![
            route(None, "/", &[]),
            route(None, "/admin", &[Method::GET]),
            route(None, "/admin", &[Method::PUT]),
            route(Some("admin.example.com"), "/", &[]),
            route(None, "/v1/users:export", &[Method::POST]),
        ];
        let routes = table(routes);
        check(&routes, Method::GET, "a", "/x", "/");
        check(&routes, Method::GET, "a", "/admin/x", "/admin");
        check(&routes, Method::PUT, "a", "/admin", "/admin");
        check(&routes, Method::POST, "a", "/admin/x", "only GET, PUT");
        check(&routes, Method::HEAD, "a", "/admin", "only GET, PUT");
        check(&routes, Method::GET, "a", "/administration", "/");
        check(&routes, Method::GET, "admin.example.com", "/x", "admin.example.com/");
        check(&routes, Method::GET, "ADMIN.example.com", "/x", "admin.example.com/");
        check(&routes, Method::GET, "admin.example.com", "/admin", "/admin");
        check(&routes, Method::POST, "a", "/v1/users%3Aexport", "/v1/users:export");
        check(&routes, Method::POST, "a", "/v1/users:exports", "/");
        let narrow = table(vec![route(Some("b"), "/", &[])]);
        check(&narrow, Method::GET, "a", "/", "nothing");
    }
}
