//! Finds what is configured for a host and a path without looking at all of it.

use std::cmp::Ordering;

use gatepost_domain::host::normalize;
use gatepost_domain::path::{CanonicalPath, unescape};
use memchr::memchr_iter;

/// Values by path prefix and host.
#[derive(Debug)]
pub(crate) struct RouteIndex<T> {
    /// In the order of their paths.
    paths: Vec<PathEntry<T>>,
    /// Numbers of segments that paths have, the largest first.
    depths: Vec<usize>,
}

/// What is configured for one path.
#[derive(Debug)]
struct PathEntry<T> {
    /// Decoded, without a slash at the end.
    path: Vec<u8>,
    /// In the order of their names.
    hosts: Vec<HostEntry<T>>,
    any_host: Vec<T>,
}

#[derive(Debug)]
struct HostEntry<T> {
    /// Normalized, in lower case.
    name: String,
    values: Vec<T>,
}

impl<T> Default for RouteIndex<T> {
    fn default() -> Self {
        Self { paths: Vec::new(), depths: Vec::new() }
    }
}

impl<T> RouteIndex<T> {
    /// Adds a value after those of the same host and path. The prefix must be canonical; a slash at its end is ignored.
    pub(crate) fn insert(&mut self, host: Option<&str>, prefix: &str, value: T) {
        self.insert_decoded(host, unescape(prefix.strip_suffix('/').unwrap_or(prefix)).into_owned(), value);
    }

    /// Adds a value for a decoded prefix without a slash at its end.
    pub(crate) fn insert_decoded(&mut self, host: Option<&str>, path: Vec<u8>, value: T) {
        let depth = memchr_iter(b'/', &path).count();
        if let Err(at) = self.depths.binary_search_by(|other| depth.cmp(other)) {
            self.depths.insert(at, depth);
        }
        let at = self.paths.binary_search_by(|entry| entry.path.cmp(&path)).unwrap_or_else(|at| {
            self.paths.insert(at, PathEntry { path, hosts: Vec::new(), any_host: Vec::new() });
            at
        });
        self.paths[at].values_mut(host).push(value);
    }

    /// Returns the values of the longest prefix that a path is at or below, by whole segments, and that has any for the
    /// host: its own before those of any host. Escapes are compared decoded: `/a%3Ab` is below `/a:b`, because most
    /// servers read it that way. Empty if nothing matches.
    pub(crate) fn find(&self, host: &str, path: &CanonicalPath<'_>) -> &[T] {
        self.find_decoded(host, &unescape(path.as_str()))
    }

    /// Returns the values for a decoded path.
    pub(crate) fn find_decoded(&self, host: &str, path: &[u8]) -> &[T] {
        let host = normalize(host);
        let prefixes = self.depths.iter().filter_map(|depth| prefix_of_depth(path, *depth));
        let mut found = prefixes.filter_map(|prefix| {
            let at = self.paths.binary_search_by(|entry| entry.path.as_slice().cmp(prefix)).ok()?;
            Some(self.paths[at].values(&host)).filter(|values| !values.is_empty())
        });
        found.next().unwrap_or_default()
    }
}

impl<T> PathEntry<T> {
    fn values_mut(&mut self, host: Option<&str>) -> &mut Vec<T> {
        let Some(host) = host else { return &mut self.any_host };
        let name = normalize(host).to_ascii_lowercase();
        let at = self.hosts.binary_search_by(|entry| entry.name.cmp(&name)).unwrap_or_else(|at| {
            self.hosts.insert(at, HostEntry { name, values: Vec::new() });
            at
        });
        &mut self.hosts[at].values
    }

    fn values(&self, host: &str) -> &[T] {
        match self.hosts.binary_search_by(|entry| compare_lower_case(&entry.name, host)) {
            Ok(at) => &self.hosts[at].values,
            Err(_) => &self.any_host,
        }
    }
}

/// Returns the prefix of a path that has a number of segments; none if the path has fewer.
fn prefix_of_depth(path: &[u8], depth: usize) -> Option<&[u8]> {
    if depth == 0 {
        return Some(&[]);
    }
    let mut slashes = memchr_iter(b'/', path).skip(depth - 1);
    slashes.next()?;
    Some(slashes.next().map_or(path, |end| &path[..end]))
}

/// Compares a name in lower case with one in any case.
fn compare_lower_case(name: &str, other: &str) -> Ordering {
    name.bytes().cmp(other.bytes().map(|byte| byte.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(prefixes: &[(Option<&'static str>, &'static str)]) -> RouteIndex<String> {
        let mut index = RouteIndex::default();
        for (host, prefix) in prefixes {
            index.insert(*host, prefix, format!("{}{prefix}", host.unwrap_or("")));
        }
        index
    }

    fn find<'a>(index: &'a RouteIndex<String>, host: &str, path: &str) -> &'a [String] {
        index.find(host, &CanonicalPath::parse(path).unwrap())
    }

    #[test]
    fn prefixes_match_whole_segments() {
        for (path, prefix, matches) in [
            ("/api", "/api", true),
            ("/api/", "/api", true),
            ("/api/x", "/api", true),
            ("/api/x", "/api/", true),
            ("/api", "/api/", true),
            ("/apix", "/api", false),
            ("/ap", "/api", false),
            ("/API", "/api", false),
            ("/", "/api", false),
            ("/", "/", true),
            ("/anything/at/all", "/", true),
            ("/a%3Ab/c", "/a:b", true),
            ("/a:b/c", "/a%3Ab", true),
        ] {
            assert_eq!(!find(&index(&[(None, prefix)]), "a", path).is_empty(), matches, "{path} {prefix}");
        }
    }

    #[test]
    fn the_longest_prefix_of_the_host_is_found() {
        let index = index(&[
            (None, "/"),
            (Some("b"), "/"),
            (None, "/x"),
            (Some("b"), "/x/y"),
            (None, "/a%3Ab%3Ac"),
            (None, "/a:b:c/d"),
            (Some("[::1]"), "/"),
        ]);
        for (host, path, expected) in [
            ("a", "/", "/"),
            ("b", "/", "b/"),
            ("B", "/z", "b/"),
            ("b", "/x", "/x"),
            ("b", "/x/y/z", "b/x/y"),
            ("a", "/x/y/z", "/x"),
            ("a", "/a:b:c/d", "/a:b:c/d"),
            ("[0:0:0:0:0:0:0:1]", "/", "[::1]/"),
        ] {
            assert_eq!(find(&index, host, path), [expected], "{host}{path}");
        }
        assert!(find(&RouteIndex::default(), "a", "/").is_empty());
    }

    #[test]
    fn each_of_many_is_found() {
        let mut index = RouteIndex::default();
        for number in 0..500 {
            index.insert(Some(&format!("{number}.example.com")), "/", number);
            index.insert(None, &format!("/v1/{number}"), 1000 + number);
        }
        for number in 0..500 {
            let (host, below) = (format!("{number}.example.com"), format!("/v1/{number}/x"));
            assert_eq!(index.find(&host, &CanonicalPath::parse("/x").unwrap()), [number]);
            assert_eq!(index.find(&host, &CanonicalPath::parse(&below).unwrap()), [1000 + number]);
        }
    }
}
