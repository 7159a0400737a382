//! The table of routes: host, longest path prefix, methods.

use gatepost_domain::path::CanonicalPath;
use http::{HeaderName, Method};

use crate::options::{Auth, CredentialPlace, RouteOptions};
use gatepost_domain::permit::Requirement;

/// A route, ready to be asked.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its label in metrics and in the access log.
    pub(crate) name: String,
    pub(crate) auth: Auth,
    pub(crate) credential: Vec<CredentialPlace>,
    pub(crate) requirement: Requirement,
    /// Index of its upstream.
    pub(crate) upstream: usize,
    host: Option<String>,
    path: String,
    methods: Vec<Method>,
}

impl Route {
    /// Names of headers in which this route's credential may stand.
    pub(crate) fn credential_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.credential.iter().map(|place| match place {
            CredentialPlace::Authorization => &http::header::AUTHORIZATION,
            CredentialPlace::Header(name) => name,
        })
    }
}

/// All routes, those with the longest path first, and of equal ones those that name a host.
#[derive(Debug)]
pub(crate) struct Routes(Vec<Route>);

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// Here: the route and its place in the table.
    Route(usize, &'a Route),
    /// Nowhere with this method.
    OtherMethods,
    /// Nowhere.
    Nothing,
}

impl Routes {
    /// Orders the routes. `upstream` tells the index of an upstream's name; the first name that it does
    /// not know is the error.
    pub(crate) fn new(options: Vec<RouteOptions>, upstream: impl Fn(&str) -> Option<usize>) -> Result<Self, String> {
        let mut routes = Vec::with_capacity(options.len());
        for route in options {
            let upstream = upstream(&route.upstream).ok_or_else(|| route.upstream.clone())?;
            routes.push(Route {
                name: format!("{}{}", route.host.as_deref().unwrap_or(""), route.path),
                auth: route.auth,
                credential: route.credential,
                requirement: route.requirement,
                upstream,
                host: route.host,
                path: route.path,
                methods: route.methods,
            });
        }
        routes
            .sort_by_key(|route| (std::cmp::Reverse(route.path.len()), route.host.is_none(), route.methods.is_empty()));
        Ok(Self(routes))
    }

    /// Finds the route of a request.
    pub(crate) fn find(&self, host: &str, path: &CanonicalPath<'_>, method: &Method) -> Found<'_> {
        let mut found = Found::Nothing;
        for (place, route) in self.0.iter().enumerate() {
            let is_here = route.host.as_deref().is_none_or(|name| name == host) && path.starts_with_prefix(&route.path);
            if !is_here {
                continue;
            }
            if route.methods.is_empty() || route.methods.contains(method) {
                return Found::Route(place, route);
            }
            found = Found::OtherMethods;
        }
        found
    }

    /// The route at a place that [`Routes::find`] answered.
    pub(crate) fn at(&self, place: usize) -> Option<&Route> {
        self.0.get(place)
    }

    /// The names of all routes, by place.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|route| route.name.as_str())
    }
}
