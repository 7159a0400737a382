//! The table of routes: host, longest path prefix, methods.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use gatepost_domain::header_name::NormalizedHeaderName;
use gatepost_domain::host::normalize;
use gatepost_domain::path::{CanonicalPath, Quirks};
use gatepost_domain::problem::ErrorCode;
use http::Method;

use crate::look_alikes::LookAlikes;
use crate::page_credentials::PageCredentials;
use crate::requirement_class::RequirementClasses;
use crate::route::Route;
use crate::route_index::RouteIndex;
use crate::route_options::RouteOptions;

/// All routes.
#[derive(Debug)]
pub struct Routes<B> {
    /// Of one host and path, those that name methods come first.
    index: RouteIndex<Arc<Route<B>>>,
    /// Headers in which the credential of any route may be.
    credential_headers: Vec<NormalizedHeaderName>,
    /// Other places in which it may be.
    page_credentials: PageCredentials,
    /// None if no path can look like that of a route with other requirements.
    look_alikes: Option<LookAlikes<B>>,
    /// Quirks of paths that any route accepts.
    accepted_quirks: Quirks,
    /// All hosts that routes name, normalized, in lower case.
    hosts: HashSet<String>,
}

/// Result of a look-up in the table.
#[derive(Debug)]
pub(crate) enum RouteMatch<'a, B> {
    Matched(&'a Arc<Route<B>>),
    /// Host and path match this route, but no route there takes the method.
    MethodNotAllowed(&'a Route<B>),
    /// The route, if there is one, does not accept the path, or servers may take it for that of another route.
    PathRefused(ErrorCode, Option<&'a Arc<Route<B>>>),
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
        let hosts = options.iter().filter_map(|route| route.host.as_deref()).map(lower_case).collect();
        let allow = allowed_methods(&options);
        let have_methods = options.iter().any(|route| !route.methods.is_empty());
        let (mut classes, mut accepted_quirks) = (RequirementClasses::default(), Quirks::NONE);
        let mut index = RouteIndex::default();
        let mut credential_headers: Vec<NormalizedHeaderName> = Vec::new();
        let mut page_credentials = PageCredentials::default();
        let mut placed = Vec::with_capacity(options.len());
        for (options, allow) in options.into_iter().zip(allow) {
            let (name, backend, class) = (options.name(), backend(&options)?, classes.class_of(&options));
            let (host, path) = (options.host.clone(), options.path.clone());
            let route = Arc::new(Route::new(name, options, class, allow, backend));
            accepted_quirks = accepted_quirks.union(route.accepted_quirks);
            let is_new = |header: &&NormalizedHeaderName| !credential_headers.contains(header);
            let new: Vec<_> = route.credential_headers.iter().filter(is_new).cloned().collect();
            credential_headers.extend(new);
            page_credentials.add(&route.page_credentials);
            index.insert(host.as_deref(), &path, Arc::clone(&route));
            placed.push((host, path, route));
        }
        let need_no_look_alikes = classes.count() < 2 && !have_methods && accepted_quirks.is_empty();
        let look_alikes = (!need_no_look_alikes).then(|| LookAlikes::new(placed));
        Ok(Self { index, credential_headers, page_credentials, look_alikes, accepted_quirks, hosts })
    }

    /// Finds the route of a request. Host and path decide first: if the routes there do not take the method, shorter
    /// paths are not tried, since they may require less.
    pub(crate) fn find(&self, host: &str, path: &CanonicalPath<'_>, method: &Method) -> RouteMatch<'_, B> {
        let candidates = self.index.find(host, path);
        let found = candidates.iter().find(|route| route.takes(method));
        match (found, candidates.first()) {
            (Some(route), _) => match self.check_path(route, host, path, method) {
                Ok(()) => RouteMatch::Matched(route),
                Err(code) => RouteMatch::PathRefused(code, Some(route)),
            },
            (None, _) if !path.quirks().is_empty() => RouteMatch::PathRefused(ErrorCode::BadPath, None),
            (None, Some(first)) => RouteMatch::MethodNotAllowed(first),
            (None, None) => RouteMatch::NotFound,
        }
    }

    /// Checks that the route accepts a path, and that no server takes the path for that of a route with other
    /// requirements.
    fn check_path(
        &self,
        route: &Route<B>,
        host: &str,
        path: &CanonicalPath<'_>,
        method: &Method,
    ) -> Result<(), ErrorCode> {
        let Some(look_alikes) = &self.look_alikes else { return Ok(()) };
        if !route.accepted_quirks.contains(path.quirks()) {
            return Err(ErrorCode::BadPath);
        }
        look_alikes.check(route, host, path, method)
    }

    /// Returns the quirks of paths that any route accepts.
    pub fn accepted_quirks(&self) -> Quirks {
        self.accepted_quirks
    }

    /// Returns whether a route names a host.
    pub fn have_host(&self, host: &str) -> bool {
        self.hosts.contains(&lower_case(host))
    }

    /// Returns the headers in which a credential may be: of one route, or of all where a request has no route.
    pub fn credential_headers<'a>(&'a self, route: Option<&'a Route<B>>) -> &'a [NormalizedHeaderName] {
        route.map_or(&self.credential_headers, |route| &route.credential_headers)
    }

    /// Returns the other places in which a credential may be: of one route, or of all where a request has no route.
    pub fn page_credentials<'a>(&'a self, route: Option<&'a Route<B>>) -> &'a PageCredentials {
        route.map_or(&self.page_credentials, |route| &route.page_credentials)
    }
}

fn lower_case(host: &str) -> String {
    normalize(host).to_ascii_lowercase()
}

/// Returns the methods of all routes with the host and path of each route.
fn allowed_methods(routes: &[RouteOptions]) -> Vec<Arc<str>> {
    let mut by_place: HashMap<(Option<&str>, &str), Vec<&str>> = HashMap::new();
    for route in routes {
        let methods = route.methods.iter().map(Method::as_str);
        by_place.entry((route.host.as_deref(), &route.path)).or_default().extend(methods);
    }
    let methods = |route: &RouteOptions| by_place[&(route.host.as_deref(), route.path.as_str())].join(", ");
    routes.iter().map(|route| methods(route).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    use gatepost_domain::path::{PathRules, QuirkRule};

    use crate::route_options::Auth;

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
        let found =
            match routes.find(host, &CanonicalPath::parse_accepting(path, routes.accepted_quirks).unwrap(), &method) {
                RouteMatch::Matched(route) => route.name.clone(),
                RouteMatch::MethodNotAllowed(route) => format!("only {}", route.allow),
                RouteMatch::PathRefused(code, _) => code.code().to_owned(),
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
    fn open(path: &str) -> RouteOptions {
        RouteOptions { auth: Auth::Off, ..route(None, path, &[]) }
    }

    #[test]
    fn a_path_that_looks_like_one_with_other_requirements_is_refused() {
        let secret = route(None, "/admin", &[Method::GET]);
        let routes = table(vec![open("/"), secret.clone(), open("/Public"), route(None, "/a%20b", &[])]);
        let ambiguous = "ambiguous-path";
        for (path, expected) in [
            ("/ADMIN/x", ambiguous),
            ("/Admin", ambiguous),
            ("/admin./x", ambiguous),
            ("/admin%20", ambiguous),
            ("/adm%C4%B1n", ambiguous),
            ("/admin", "/admin"),
            ("/admin/X", "/admin"),
            ("/admin/x.", "/admin"),
            ("/administrator", "/"),
            ("/items/AbC", "/"),
            ("/v1.2/%C3%9C", "/"),
            ("/public", "/"),
            ("/Public/x", "/Public"),
            ("/A%20b", ambiguous),
        ] {
            check(&routes, Method::GET, "a", path, expected);
        }
        check(&routes, Method::PUT, "a", "/ADMIN", ambiguous);
        check(&routes, Method::PUT, "a", "/admin", "only GET");
        let same = table(vec![route(None, "/", &[]), route(None, "/admin", &[])]);
        check(&same, Method::GET, "a", "/ADMIN", "/");
    }

    #[test]
    fn a_case_sensitive_route_takes_paths_of_other_letter_case_and_no_other_look_alikes() {
        let sensitive = |options: RouteOptions| RouteOptions { case_sensitive: true, ..options };
        for routes in [
            vec![sensitive(open("/")), route(None, "/admin", &[])],
            vec![open("/"), sensitive(route(None, "/admin", &[]))],
        ] {
            let routes = table(routes);
            check(&routes, Method::GET, "a", "/ADMIN", "/");
            check(&routes, Method::GET, "a", "/admin.", "ambiguous-path");
            check(&routes, Method::GET, "a", "/admin%20/x", "ambiguous-path");
        }
    }

    #[test]
    fn a_kept_quirk_is_judged_by_every_reading() {
        let keeps = PathRules { encoded_slash: QuirkRule::Keep, semicolon: QuirkRule::Keep, ..PathRules::default() };
        let keeping = |path: &str| RouteOptions { paths: keeps, ..open(path) };
        let routes = table(vec![keeping("/"), route(None, "/admin", &[]), open("/strict"), keeping("/proxy")]);
        for (path, expected) in [
            ("/a%2Fb", "/"),
            ("/a;v=1/b", "/"),
            ("/proxy/http:%2F%2Fhost%2Fx", "/proxy"),
            ("/strict/a%2Fb", "bad-path"),
            ("/strict/a;b", "bad-path"),
            ("/strict%2Fa", "/"),
            ("/admin%2Fx", "ambiguous-path"),
            ("/admin;x=1/y", "ambiguous-path"),
            ("/admin%3Bx", "ambiguous-path"),
            ("/ADMIN;x", "ambiguous-path"),
            ("/%2Fadmin", "ambiguous-path"),
            ("/a%2F..%2Fadmin", "bad-path"),
            ("/..;/admin", "bad-path"),
            ("/admin/a%2Fb", "bad-path"),
        ] {
            check(&routes, Method::GET, "a", path, expected);
        }
        let narrow = table(vec![keeping("/proxy")]);
        check(&narrow, Method::GET, "a", "/other%2Fx", "bad-path");
        check(&narrow, Method::GET, "a", "/other", "nothing");
    }
}
