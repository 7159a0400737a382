//! Paths that servers do not all read the same way: refused, or passed on as a route says, and never to a route that
//! requires less.

use gatepost_gateway::{Auth, EscapeRule, GatewayOptions, PathRules, QuirkRule, RawRule, RouteOptions};

use crate::fixture::{Fixture, route};
use crate::raw_requests::status_of;

const KEEP_ALL: PathRules = PathRules {
    encoded_slash: QuirkRule::Keep,
    semicolon: QuirkRule::Keep,
    raw: RawRule::Keep,
    non_utf8: QuirkRule::Keep,
    unreserved: EscapeRule::Keep,
};

async fn start(routes: Vec<RouteOptions>) -> Fixture {
    Fixture::start_with(|options| GatewayOptions { routes, ..options }).await
}

fn with_rules(path: &str, paths: PathRules) -> RouteOptions {
    RouteOptions { paths, ..route(path, Auth::Off) }
}

/// Sends a GET without a key. Returns the status, the code of the problem, and the target that the upstream saw.
fn get(fixture: &Fixture, target: &str) -> (u16, String, Option<String>) {
    let response = fixture.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    let code = response.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let seen = fixture.origin.take_requests().pop();
    let target = seen.and_then(|request| request.request_line().split(' ').nth(1).map(str::to_owned));
    (status_of(&response), code.to_owned(), target)
}

#[track_caller]
fn check_passes(fixture: &Fixture, target: &str, upstream: &str) {
    assert_eq!(get(fixture, target), (200, String::new(), Some(upstream.to_owned())), "{target}");
}

#[track_caller]
fn check_refused(fixture: &Fixture, target: &str, code: &str) {
    assert_eq!(get(fixture, target), (400, code.to_owned(), None), "{target}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_looks_like_one_that_requires_a_key_never_reaches_the_upstream() {
    let fixture = start(vec![route("/", Auth::Off), route("/admin", Auth::Required)]).await;
    for target in
        ["/ADMIN", "/Admin/x?y", "/admin.", "/admin./x", "/admin%20/x", "/admin%20.", "/%41dmin", "http://a/ADMIN"]
    {
        check_refused(&fixture, target, "ambiguous-path");
    }
    for target in ["/items/AbC", "/v1.2/x", "/administrator", "/%C3%9C"] {
        check_passes(&fixture, target, target);
    }
    assert_eq!(get(&fixture, "/admin").0, 401);
    let sensitive = |path: &str, auth| RouteOptions { case_sensitive: true, ..route(path, auth) };
    let routes = vec![sensitive("/", Auth::Off), sensitive("/admin", Auth::Required)];
    fixture.reload(GatewayOptions { routes, ..fixture.options.clone() }).await.unwrap();
    check_passes(&fixture, "/ADMIN", "/ADMIN");
    check_refused(&fixture, "/admin.", "ambiguous-path");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_rule_decides_what_the_upstream_gets() {
    let rules = PathRules::default();
    let keep = QuirkRule::Keep;
    let fixture = start(vec![
        with_rules("/strict", rules),
        with_rules("/slash", PathRules { encoded_slash: keep, ..rules }),
        with_rules("/semicolon", PathRules { semicolon: keep, ..rules }),
        with_rules("/encode", PathRules { raw: RawRule::Encode, ..rules }),
        with_rules("/raw", PathRules { raw: RawRule::Keep, ..rules }),
        with_rules("/bytes", PathRules { non_utf8: keep, ..rules }),
        with_rules("/spelling", PathRules { unreserved: EscapeRule::Keep, ..rules }),
        with_rules("/all", KEEP_ALL),
        RouteOptions { stripped_segments: 1, ..with_rules("/strip", KEEP_ALL) },
    ])
    .await;
    for (target, upstream) in [
        ("/slash/a%2fb?c=%2f", "/slash/a%2Fb?c=%2f"),
        ("/slash/%61", "/slash/a"),
        ("/slash/http:%2F%2Fhost%2F", "/slash/http:%2F%2Fhost%2F"),
        ("/semicolon/a;b=1/c", "/semicolon/a;b=1/c"),
        ("/semicolon/a%3bb", "/semicolon/a%3Bb"),
        ("/encode/a|b[c]", "/encode/a%7Cb%5Bc%5D"),
        ("/encode/café/日本?q=1", "/encode/caf%C3%A9/%E6%97%A5%E6%9C%AC?q=1"),
        ("/encode/%c3%a9é", "/encode/%C3%A9%C3%A9"),
        ("http://a/encode/é", "/encode/%C3%A9"),
        ("/raw/a|b[c]%7e", "/raw/a|b[c]~"),
        ("/bytes/caf%e9", "/bytes/caf%E9"),
        ("/spelling/%61%2d%c3%bc", "/spelling/%61%2d%c3%bc"),
        ("/all/%61%2f;|%e9", "/all/%61%2f;|%e9"),
        ("http://a/all/%61%2f;|%e9", "/all/%61%2f;|%e9"),
        ("/strip/%61%2f;|?x", "/%61%2f;|?x"),
    ] {
        check_passes(&fixture, target, upstream);
    }
    for path in ["a%2fb", "a;b", "a%3bb", "a|b", "caf%e9"] {
        check_refused(&fixture, &format!("/strict/{path}"), "bad-path");
        check_refused(&fixture, &format!("/spelling/{path}"), "bad-path");
        check_refused(&fixture, &format!("/nowhere/{path}"), "bad-path");
    }
    for target in ["/raw/é", "/all/é", "/é", "/encode/a?é", "/encode/\u{85}", "/encode/é/../x", "http://é/encode/x"]
    {
        assert_eq!((get(&fixture, target).0, fixture.origin.take_requests().len()), (400, 0), "{target}");
    }
    // What is no UTF-8 is never a path.
    for target in [&b"/encode/caf\xe9"[..], b"/encode/%c3\xa9", b"/encode/\xc0\xaf", b"/encode/\xed\xa0\x80"] {
        let request = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert_eq!(status_of(&fixture.send(&request)), 400, "{target:?}");
    }
    check_refused(&fixture, "/slash/a;b", "bad-path");
    check_passes(&fixture, "/strict/%61", "/strict/a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kept_spelling_reaches_what_requires_more() {
    let encoding =
        RouteOptions { stripped_segments: 1, ..with_rules("/y", PathRules { raw: RawRule::Encode, ..KEEP_ALL }) };
    let secret = route("/%C3%BCber", Auth::Required);
    let fixture = start(vec![with_rules("/", KEEP_ALL), route("/admin", Auth::Required), encoding, secret]).await;
    for target in [
        "/admin%2fx",
        "/admin%2Fx",
        "/%2fadmin",
        "/x%2f%2fadmin/..",
        "/admin;x",
        "/admin;x=1/y",
        "/admin%3bx/y",
        "/;x/admin",
        "/x%2f..%2fadmin",
        "/x/..;/admin",
        "/x/..%3b/admin",
        "/x%2f..;%2fadmin",
        "/.%2fadmin",
        "/x%2f.%2fadmin",
        "/admin%252fx",
        "/x%252f..%252fadmin",
        "/%2561dmin",
        "/ADMIN%2fx",
        "/admin.;x",
        "/%c0%afadmin",
        "/x%c0%ae%c0%ae/admin",
        "/x\\..\\admin",
        "/x%5cadmin",
        "/admin%00",
        "/über",
        "/y/..%2füber",
    ] {
        let (status, code, upstream) = get(&fixture, target);
        assert_eq!((status, upstream), (400, None), "{target} {code}");
    }
    assert_eq!(get(&fixture, "/%61dmin").0, 401);
    for target in ["/x%2fadmin", "/x;admin", "/x%3badmin", "/%e9|"] {
        check_passes(&fixture, target, target);
    }
}
