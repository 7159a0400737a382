//! Target of the request upstream: the canonical one, without the segments that the route strips.

use std::borrow::Cow;

use gatepost_edge::RequestTarget;
use memchr::memchr_iter;

/// Returns the target of the request upstream; none if it is the client's.
pub(crate) fn rewrite<'a>(
    target: &'a RequestTarget,
    client_target: &'a [u8],
    stripped_segments: usize,
) -> Option<Cow<'a, [u8]>> {
    match target {
        RequestTarget::Unchanged { .. } if stripped_segments == 0 => None,
        RequestTarget::Rewritten { target, .. } if stripped_segments == 0 => Some(target.as_bytes().into()),
        RequestTarget::Unchanged { .. } | RequestTarget::Rewritten { .. } => {
            let (path, query) = target.split(client_target);
            Some(strip(path, query, stripped_segments))
        }
    }
}

/// Removes segments from the start of a path. The rest of it begins with a slash, even if none is left.
fn strip<'a>(path: &'a [u8], query: &'a [u8], segments: usize) -> Cow<'a, [u8]> {
    let rest = memchr_iter(b'/', path).nth(segments).map_or(b"/".as_slice(), |at| &path[at..]);
    if query.is_empty() { rest.into() } else { [rest, query].concat().into() }
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
            let rewritten = rewrite(&target, client_target.as_bytes(), stripped_segments);
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
        assert_eq!(rewrite(&RequestTarget::Unchanged { path_bytes: 2 }, b"/a?b", 0), None);
        let rewritten = RequestTarget::Rewritten { target: "/a?b".to_owned(), path_bytes: 2 };
        assert_eq!(rewrite(&rewritten, b"/%61?b", 0).as_deref(), Some(b"/a?b".as_slice()));
    }
}
