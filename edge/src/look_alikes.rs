//! Routes for whose path a server may take that of another route: because it ignores letter case, or dots and spaces at
//! the end of a segment, or decodes what a route keeps.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use gatepost_domain::path::{CanonicalPath, Folding, fold, is_folded, other_readings, unescape};
use gatepost_domain::problem::ErrorCode;
use http::Method;

use crate::route::Route;
use crate::route_index::RouteIndex;

/// The routes of one host and path, in the order of the table.
type RouteGroup<B> = Vec<Arc<Route<B>>>;

/// Routes by the folded forms of their paths.
#[derive(Debug)]
pub(crate) struct LookAlikes<B> {
    by_ends: RouteIndex<RouteGroup<B>>,
    by_ends_and_case: RouteIndex<RouteGroup<B>>,
    /// Whether the path of every route is its own folded form.
    are_folded: bool,
}

thread_local! {
    /// Buffer of a folded path, so that none is allocated.
    static FOLDED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl<B> LookAlikes<B> {
    /// Takes all routes with their hosts and paths.
    pub(crate) fn new(routes: Vec<(Option<String>, String, Arc<Route<B>>)>) -> Self {
        let are_folded = routes.iter().all(|(_, path, _)| is_folded(path));
        let mut groups: BTreeMap<(Option<String>, String), RouteGroup<B>> = BTreeMap::new();
        for (host, path, route) in routes {
            groups.entry((host, path)).or_default().push(route);
        }
        let (mut by_ends, mut by_ends_and_case) = (RouteIndex::default(), RouteIndex::default());
        for ((host, path), group) in groups {
            let path = unescape(path.strip_suffix('/').unwrap_or(&path));
            let mut folded = Vec::new();
            fold(&path, Folding::Ends, &mut folded);
            by_ends.insert_decoded(host.as_deref(), folded.clone(), group.clone());
            fold(&path, Folding::EndsAndCase, &mut folded);
            by_ends_and_case.insert_decoded(host.as_deref(), folded, group);
        }
        Self { by_ends, by_ends_and_case, are_folded }
    }

    /// Checks that no server takes a path for that of a route that requires something else than the one that it
    /// matches.
    ///
    /// # Errors
    /// [`ErrorCode::AmbiguousPath`], or [`ErrorCode::BadPath`] if a reading leads out of its directory.
    pub(crate) fn check(
        &self,
        matched: &Route<B>,
        host: &str,
        path: &CanonicalPath<'_>,
        method: &Method,
    ) -> Result<(), ErrorCode> {
        let is_ambiguous = if !path.quirks().is_empty() {
            let readings = other_readings(path.as_str()).map_err(|_| ErrorCode::BadPath)?;
            readings.iter().any(|reading| self.is_like_another(matched, host, reading, method))
        } else if self.are_folded && is_folded(path.as_str()) {
            // Its look-alikes are the routes that match it.
            false
        } else {
            self.is_like_another(matched, host, &unescape(path.as_str()), method)
        };
        if is_ambiguous { Err(ErrorCode::AmbiguousPath) } else { Ok(()) }
    }

    /// Returns whether a decoded path is, for some server, that of a route with other requirements, or of none.
    fn is_like_another(&self, matched: &Route<B>, host: &str, reading: &[u8], method: &Method) -> bool {
        let alike = self.find(host, reading, Folding::EndsAndCase);
        let mut others = others(alike, matched, method).peekable();
        if others.peek().is_none() {
            return alike.is_empty();
        }
        let is_case_different = matched.is_case_sensitive || others.all(|route| route.is_case_sensitive);
        if !is_case_different {
            return true;
        }
        let alike = self.find(host, reading, Folding::Ends);
        alike.is_empty() || self::others(alike, matched, method).next().is_some()
    }

    fn find(&self, host: &str, reading: &[u8], folding: Folding) -> &[RouteGroup<B>] {
        let index = match folding {
            Folding::Ends => &self.by_ends,
            Folding::EndsAndCase => &self.by_ends_and_case,
        };
        FOLDED.with_borrow_mut(|folded| {
            fold(reading, folding, folded);
            index.find_decoded(host, folded)
        })
    }
}

/// Returns the routes of these groups that would take the method and have other requirements than `matched`, or the
/// first of a group that does not take it.
fn others<'a, B>(
    groups: &'a [RouteGroup<B>],
    matched: &Route<B>,
    method: &Method,
) -> impl Iterator<Item = &'a Route<B>> {
    let other = move |group: &'a RouteGroup<B>| match group.iter().find(|route| route.takes(method)) {
        Some(route) if route.class == matched.class => None,
        Some(route) => Some(&**route),
        None => group.first().map(|route| &**route),
    };
    groups.iter().filter_map(other)
}
