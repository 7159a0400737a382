//! The table of routes: host, longest path prefix, methods.

use std::cmp::Reverse;

use gatepost_domain::header_name::NormalizedHeaderName;
use gatepost_domain::host;
use gatepost_domain::path::CanonicalPath;
use gatepost_domain::permit::Requirement;
use http::Method;
use http::header::AUTHORIZATION;

use crate::options::{Auth, CredentialLocation, RouteOptions};

/// A route, ready to be asked.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its label in metrics and in the access log.
    pub(crate) name: String,
    pub(crate) auth: Auth,
    pub(crate) credential: Vec<CredentialLocation>,
    pub(crate) requirement: Requirement,
    /// Index of its upstream.
    pub(crate) upstream_index: usize,
    /// Headers in which this route's credential may stand.
    pub(crate) credential_headers: Vec<NormalizedHeaderName>,
    /// The methods of all routes with this host and path, for answers to other ones.
    pub(crate) allow: String,
    host: Option<String>,
    path: String,
    methods: Vec<Method>,
}

/// All routes, those with the longest path first, and of equal ones those that name a host.
#[derive(Debug)]
pub(crate) struct Routes {
    routes: Vec<Route>,
    /// Headers in which any of them looks for a credential.
    credential_headers: Vec<NormalizedHeaderName>,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum RouteMatch<'a> {
    /// Here: the route and its place in the table.
    Matched(usize, &'a Route),
    /// Nowhere with this method, but here with others.
    MethodNotAllowed(&'a Route),
    /// Nowhere.
    NotFound,
}

impl Routes {
    /// Orders the routes. `upstream` tells the index of an upstream's name; the first name that it does
    /// not know is the error.
    pub(crate) fn new(
        options: Vec<RouteOptions>,
        find_upstream: impl Fn(&str) -> Option<usize>,
    ) -> Result<Self, String> {
        let mut routes = Vec::with_capacity(options.len());
        for route in options {
            let upstream_index = find_upstream(&route.upstream).ok_or_else(|| route.upstream.clone())?;
            routes.push(Route {
                credential_headers: route.credential.iter().map(credential_header).collect(),
                allow: String::new(),
                name: format!("{}{}", route.host.as_deref().unwrap_or(""), route.path),
                auth: route.auth,
                credential: route.credential,
                requirement: route.requirement,
                upstream_index,
                host: route.host,
                path: route.path,
                methods: route.methods,
            });
        }
        routes.sort_by(|one, other| sort_key(one).cmp(&sort_key(other)));
        for index in 0..routes.len() {
            let allow = allowed_methods(&routes, &routes[index]);
            routes[index].allow = allow;
        }
        let mut credential_headers: Vec<NormalizedHeaderName> = Vec::new();
        for name in routes.iter().flat_map(|route| &route.credential_headers) {
            if !credential_headers.contains(name) {
                credential_headers.push(name.clone());
            }
        }
        Ok(Self { routes, credential_headers })
    }

    /// Finds the route of a request. Host and path decide first: a method that the routes there do not take is
    /// not looked for under a shorter path, where less may be asked of it.
    pub(crate) fn find(&self, host: &str, path: &CanonicalPath<'_>, method: &Method) -> RouteMatch<'_> {
        let is_match = |route: &Route| {
            route.host.as_deref().is_none_or(|name| host::is_same_host(name, host))
                && path.starts_with_prefix(&route.path)
        };
        let Some(first) = self.routes.iter().position(is_match) else { return RouteMatch::NotFound };
        let candidates = self
            .routes
            .iter()
            .enumerate()
            .skip(first)
            .take_while(|(_, route)| has_same_host_and_path(&self.routes[first], route));
        for (index, route) in candidates {
            if route.methods.is_empty() || route.methods.contains(method) {
                return RouteMatch::Matched(index, route);
            }
        }
        RouteMatch::MethodNotAllowed(&self.routes[first])
    }

    /// The route at a place that [`Routes::find`] answered.
    pub(crate) fn get(&self, index: usize) -> Option<&Route> {
        self.routes.get(index)
    }

    /// Headers in which a credential may stand: at a place, or of all routes where a request has none.
    pub(crate) fn credential_headers(&self, index: Option<usize>) -> &[NormalizedHeaderName] {
        index.and_then(|place| self.get(place)).map_or(&self.credential_headers, |route| &route.credential_headers)
    }

    /// The names of all routes, by place.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| route.name.as_str())
    }
}

/// The longest path first, then who names a host, then routes with the same host and path beside each other.
fn sort_key(route: &Route) -> (Reverse<usize>, bool, &str, Option<&str>, bool) {
    let is_any_host = route.host.is_none();
    (Reverse(route.path.len()), is_any_host, &route.path, route.host.as_deref(), route.methods.is_empty())
}

fn has_same_host_and_path(one: &Route, other: &Route) -> bool {
    one.host == other.host && one.path == other.path
}

fn allowed_methods(routes: &[Route], like: &Route) -> String {
    let methods = routes.iter().filter(|route| has_same_host_and_path(like, route)).flat_map(|route| &route.methods);
    methods.map(Method::as_str).collect::<Vec<_>>().join(", ")
}

fn credential_header(location: &CredentialLocation) -> NormalizedHeaderName {
    NormalizedHeaderName::new(match location {
        CredentialLocation::Authorization => AUTHORIZATION.as_str(),
        CredentialLocation::Header(name) => name.as_str(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_domain::permit::EnvRule;

    fn route(host: Option<&str>, path: &str, methods: &[Method]) -> RouteOptions {
        RouteOptions {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            methods: methods.to_vec(),
            upstream: "app".to_owned(),
            auth: Auth::Required,
            credential: vec![],
            requirement: Requirement { projects: vec![], env: EnvRule::Any, permissions: vec![] },
        }
    }

    fn check(routes: &Routes, method: Method, host: &str, path: &str, expected: &str) {
        let found = match routes.find(host, &CanonicalPath::parse(path).unwrap(), &method) {
            RouteMatch::Matched(_, route) => route.name.clone(),
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
        let routes = Routes::new(routes, |_| Some(0)).unwrap();
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
        let narrow = Routes::new(vec![route(Some("b"), "/", &[])], |_| Some(0)).unwrap();
        check(&narrow, Method::GET, "a", "/", "nothing");
    }
}
