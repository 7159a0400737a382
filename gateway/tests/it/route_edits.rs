//! What a route changes in requests and responses on their way.

use gatepost_gateway::{Auth, GatewayOptions, HeaderEdits, RouteOptions};
use gatepost_test_support::{AfterReply, MockServer, Reply};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::fixture::{Fixture, route};
use crate::raw_requests::status_of;

const OPEN: &str = "HTTP/1.1\r\nHost: a\r\n";

fn edits(set: &[(&'static str, &'static str)], remove: &[&'static str]) -> HeaderEdits {
    let field =
        |(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    HeaderEdits {
        set: set.iter().map(field).collect(),
        remove: remove.iter().copied().map(HeaderName::from_static).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream_gets_the_path_without_the_segments_that_the_route_strips() {
    let stripping = |path: &str, stripped_segments| RouteOptions { stripped_segments, ..route(path, Auth::Off) };
    let routes = vec![stripping("/", 0), stripping("/v1", 1), stripping("/v1/files", 1), stripping("/a:b", 1)];
    let fixture = Fixture::start_with(|options| GatewayOptions { routes, ..options }).await;
    for (target, expected) in [
        ("/v1/items/42?x=/v1", "/items/42?x=/v1"),
        ("/v1", "/"),
        ("/v1?x=1", "/?x=1"),
        ("/v1/", "/"),
        ("/%761/%61", "/a"),
        ("http://a/v1/items?x", "/items?x"),
        ("/v1/files/v1", "/files/v1"),
        ("/a%3Ab/c", "/c"),
        ("/v10/items", "/v10/items"),
    ] {
        assert_eq!(status_of(&fixture.send(format!("GET {target} {OPEN}\r\n").as_bytes())), 200, "{target}");
        let seen = fixture.origin.take_requests().pop().unwrap();
        assert_eq!(seen.request_line(), format!("GET {expected} HTTP/1.1"), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_requests_are_set_and_removed_in_every_spelling() {
    let edited = RouteOptions {
        request_headers: edits(&[("x-team", "a"), ("x-forwarded-prefix", "/v1")], &["x-debug", "user-agent"]),
        ..route("/v1", Auth::Required)
    };
    let routes = vec![edited, route("/", Auth::Required)];
    let fixture = Fixture::start_with(|options| GatewayOptions { routes, ..options }).await;
    let client = "X-Team: evil\r\nx_team: evil\r\nX.Debug: 1\r\nX-Debug: 1\r\nX-Debug: 2\r\nUser-Agent: u\r\n\
                  X-Forwarded-Prefix: /evil\r\nX-Other: 1\r\nConnection: x-team\r\n";
    for (path, expected) in [
        ("/v1/x", [("x-team", Some("a")), ("x-forwarded-prefix", Some("/v1")), ("user-agent", None)]),
        ("/x", [("x-team", None), ("x-forwarded-prefix", None), ("user-agent", Some("u"))]),
    ] {
        let request = format!("GET {path} {OPEN}X-API-Key: {}\r\n{client}\r\n", fixture.key);
        assert_eq!(status_of(&fixture.send(request.as_bytes())), 200);
        let seen = fixture.origin.take_requests().pop().unwrap();
        for (name, value) in expected {
            assert_eq!(seen.header(name), value.into_iter().collect::<Vec<_>>(), "{path} {name}");
        }
        assert_eq!(seen.header("x-gatepost-key-id"), [fixture.key_id.as_str()]);
        assert_eq!(seen.header("x-other"), ["1"]);
        let is_edited = path.starts_with("/v1");
        assert_eq!(seen.header("x_team").is_empty() && seen.header("x.debug").is_empty(), is_edited, "{}", seen.head);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_responses_are_edited_also_of_those_of_the_gateway_itself() {
    let reply =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: s\r\nServer: t\r\nX-Team: b\r\nX-Request-Id: u\r\n\r\nok";
    let origin = MockServer::with_script(move |_| Reply::raw(reply, AfterReply::Close));
    let response_headers = edits(&[("x-team", "a"), ("cache-control", "public"), ("location", "/v2")], &["server"]);
    let edited =
        |path: &str| RouteOptions { response_headers: response_headers.clone(), ..route(path, Auth::Required) };
    let moved = RouteOptions { respond: Some(StatusCode::MOVED_PERMANENTLY), auth: Auth::Off, ..edited("/moved") };
    let routes = vec![edited("/"), moved, route("/plain", Auth::Off)];
    let fixture = Fixture::start_with_origin(origin, |options| GatewayOptions { routes, ..options }).await;
    let key = format!("X-API-Key: {}\r\n", fixture.key);
    for (path, key, status, cache, is_edited) in [
        ("/", key.as_str(), 200, Some("public"), true),
        ("/", "", 401, Some("no-store"), true),
        ("/moved", "", 301, Some("public"), true),
        ("/plain", "", 200, None, false),
    ] {
        let response = fixture.send(format!("GET {path} {OPEN}{key}\r\n").as_bytes());
        assert_eq!(status_of(&response), status, "{response}");
        let field = |name: &str| {
            let fields = response.lines().filter_map(|line| line.split_once(": "));
            fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(field("cache-control"), cache.into_iter().collect::<Vec<_>>(), "{response}");
        assert_eq!(field("x-team"), [if is_edited { "a" } else { "b" }], "{response}");
        assert_eq!(field("location").len(), usize::from(is_edited), "{response}");
        assert_eq!(field("server").is_empty(), is_edited, "{response}");
        assert_eq!(field("x-request-id").len(), 1, "{response}");
        assert_ne!(field("x-request-id"), ["u"], "{response}");
    }
}
