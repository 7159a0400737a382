//! Target of the request upstream: the canonical one, without the segments that the route strips, and without a
//! credential in its query.

use std::borrow::Cow;

use gatepost_edge::{PageCredentials, RequestTarget};
use memchr::memchr_iter;

/// Returns the target of the request upstream; none if it is the client's.
pub(crate) fn rewrite<'a>(
    target: &'a RequestTarget,
    client_target: &'a [u8],
    stripped_segments: usize,
    credentials: &PageCredentials,
) -> Option<Cow<'a, [u8]>> {
    if stripped_segments == 0 && credentials.is_empty() {
        return match target {
            RequestTarget::Unchanged { .. } => None,
            RequestTarget::Rewritten { target, .. } => Some(target.as_bytes().into()),
        };
    }
    let (path, query) = target.split(client_target);
    let query = credentials.without_parameters(query).map_or(Cow::Borrowed(query), Cow::Owned);
    let path = strip(path, stripped_segments);
    Some(if query.is_empty() { path.into() } else { [path, &query].concat().into() })
}

/// Removes segments from the start of a path. The rest of it begins with a slash, even if none is left.
fn strip(path: &[u8], segments: usize) -> &[u8] {
    memchr_iter(b'/', path).nth(segments).map_or(b"/".as_slice(), |at| &path[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, stripped_segments: usize, expected: &str) {
        let path_bytes = target.find('?').unwrap_or(target.len());
        let rewritten = RequestTarget::Rewritten { target: target.to_owned(), path_bytes };
        for (target, client_target) in
            [(rewritten, "http://a/other"), (RequestTarget::Unchanged { path_bytes }, target)]
        {
            let rewritten = rewrite(&target, client_target.as_bytes(), stripped_segments, &PageCredentials::default());
            assert_eq!(rewritten.as_deref(), Some(expected.as_bytes()), "{target:?}");
        }
    }

    #[test]
    fn segments_are_stripped_and_the_query_stays() {
        check("/v1/items/42", 1, "/items/42");
        check("/v1/items/42", 2, "/42");
        check("/v1/items/", 2, "/");
        check("/v1/", 1, "/");
        check("/v1", 1, "/");
        check("/v1?a=/b/c", 1, "/?a=/b/c");
        check("/v1/?", 1, "/?");
        check("/v1/a%3Ab?x", 1, "/a%3Ab?x");
        check("/a%3Ab/c", 1, "/c");
    }

    #[test]
    fn without_segments_to_strip_the_canonical_target_goes_upstream() {
        let none = PageCredentials::default();
        assert_eq!(rewrite(&RequestTarget::Unchanged { path_bytes: 2 }, b"/a?b", 0, &none), None);
        let rewritten = RequestTarget::Rewritten { target: "/a?b".to_owned(), path_bytes: 2 };
        assert_eq!(rewrite(&rewritten, b"/%61?b", 0, &none).as_deref(), Some(b"/a?b".as_slice()));
    }
}
