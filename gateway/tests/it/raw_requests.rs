//! Raw requests: the upstream sees exactly what was authorised, or nothing.

use std::io::Write;
use std::net::TcpStream;

use gatepost_gateway::GatewayLimits;
use gatepost_test_support::RecordedRequest;

use crate::fixture::{Fixture, read_response};

/// A request with a valid key, which a case changes.
fn with_key(line: &str, rest: &str) -> String {
    format!("{line}\r\nHost: a\r\nX-API-Key: KEY\r\n{rest}\r\n")
}

/// Requests that must not reach the upstream: text (`KEY` is the valid key) and status.
pub(crate) type RejectedRequests = Vec<(String, u16)>;

/// A GET with the valid key and further lines.
fn get_with_key(rest: &str) -> String {
    with_key("GET / HTTP/1.1", rest)
}

/// A POST with the valid key and further lines.
fn post_with_key(rest: &str) -> String {
    with_key("POST / HTTP/1.1", rest)
}

/// A GET of a path with the valid key.
fn get_path(path: &str) -> String {
    with_key(&format!("GET {path} HTTP/1.1"), "")
}

/// A header without `Host`, with the valid key.
fn without_host(head: &str) -> String {
    format!("{head}\r\nX-API-Key: KEY\r\n\r\n")
}

pub(crate) fn rejected_requests() -> RejectedRequests {
    [framing(), lines_and_host(), paths_and_sizes(), credentials()].concat()
}

fn framing() -> RejectedRequests {
    vec![
        (post_with_key("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\nX", 400),
        (post_with_key("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n") + "0\r\n\r\nX", 400),
        (post_with_key("Content-Length: 3\r\nContent-Length: 4\r\n") + "abcd", 400),
        (post_with_key("Content-Length: 3\r\nContent-Length: 3\r\n") + "abc", 400),
        (post_with_key("Content-Length: 3, 3\r\n") + "abc", 400),
        (post_with_key("Content-Length: +3\r\n") + "abc", 400),
        (post_with_key("Content-Length: -1\r\n"), 400),
        (post_with_key("Content-Length: 0x3\r\n") + "abc", 400),
        (post_with_key("Content-Length: 1e3\r\n"), 400),
        (post_with_key("Content-Length:\r\n"), 400),
        (post_with_key("Content-Length: 18446744073709551616\r\n"), 400),
        (post_with_key("Content-Length: 3;\r\n") + "abc", 400),
        (with_key("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400),
        (post_with_key("Transfer-Encoding: xchunked\r\n") + "0\r\n\r\n", 400),
        (post_with_key("Transfer-Encoding: identity\r\n"), 400),
        (post_with_key("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n", 501),
        (post_with_key("Transfer-Encoding: chunked, chunked\r\n") + "0\r\n\r\n", 501),
        (post_with_key("Transfer-Encoding: chunked, identity\r\n") + "0\r\n\r\n", 400),
        (post_with_key("Transfer-Encoding: \"chunked\"\r\n") + "0\r\n\r\n", 400),
        (post_with_key("Transfer-Encoding: chunked;x=1\r\n") + "0\r\n\r\n", 400),
        (post_with_key("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 501),
        (post_with_key("Transfer-Encoding : chunked\r\n") + "0\r\n\r\n", 400),
        (post_with_key("Transfer-Encoding:\r\n chunked\r\n") + "0\r\n\r\n", 400),
    ]
}

fn lines_and_host() -> RejectedRequests {
    vec![
        ("GET / HTTP/1.1\nHost: a\nX-API-Key: KEY\n\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\nX-API-Key: KEY\r\n\r\n".to_owned(), 400),
        (get_with_key("X-A: b\r\n c\r\n"), 400),
        (get_with_key("X-A : b\r\n"), 400),
        (get_with_key(": b\r\n"), 400),
        (get_with_key("X A: b\r\n"), 400),
        (get_with_key("X-A: a\0b\r\n"), 400),
        (get_with_key("X-A: a\rb\r\n"), 400),
        (get_path("/a b"), 400),
        (get_path("/a\tb"), 400),
        (get_path("/a\0b"), 400),
        (with_key("GET  / HTTP/1.1", ""), 400),
        (with_key("GET / HTTP/1.2", ""), 400),
        (with_key("GET / HTTP/2.0", ""), 400),
        (with_key("TRACE / HTTP/1.1", ""), 405),
        (with_key("CONNECT a:80 HTTP/1.1", ""), 405),
        (with_key("GET * HTTP/1.1", ""), 400),
        (get_with_key("Expect: 200-ok\r\n"), 417),
        (without_host("GET / HTTP/1.1"), 400),
        (without_host("GET / HTTP/1.1\r\nHost:"), 400),
        (without_host("GET / HTTP/1.1\r\nHost: a\r\nHost: a"), 400),
        (without_host("GET / HTTP/1.1\r\nHost: a, b"), 400),
        (without_host("GET / HTTP/1.1\r\nHost: a/path"), 400),
        (without_host("GET / HTTP/1.1\r\nHost: user@a"), 400),
        (without_host("GET http://other/ HTTP/1.1\r\nHost: a"), 400),
    ]
}

fn paths_and_sizes() -> RejectedRequests {
    vec![
        (get_path("/a/%2e%2e%2f%2e%2e/etc"), 400),
        (get_path("/a/../b"), 400),
        (get_path("/a/./b"), 400),
        (get_path("//admin"), 400),
        (get_path("/a%2fb"), 400),
        (get_path("/a%00b"), 400),
        (get_path("/a\\b"), 400),
        (get_path("/..;/admin"), 400),
        (get_path("/a%5cb"), 400),
        (get_path("/a%"), 400),
        (get_path("/a%zz"), 400),
        (get_path("/a%252e"), 400),
        (get_path("/a#b"), 400),
        (get_path("admin"), 400),
        (get_path("/caf\u{e9}"), 400),
        (get_path("/?q=\u{e9}"), 400),
        (with_key("G\u{c9}T / HTTP/1.1", ""), 400),
        (get_path(&format!("/{}", "a".repeat(8 * 1024))), 414),
        (get_with_key(&format!("X-A: {}\r\n", "a".repeat(33 * 1024))), 431),
        (get_with_key(&"X-A: b\r\n".repeat(101)), 431),
    ]
}

fn credentials() -> RejectedRequests {
    vec![
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 401),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key:\r\n\r\n".to_owned(), 401),
        ("GET / HTTP/1.1\r\nHost: a\r\nX_API_Key: KEY\r\n\r\n".to_owned(), 401),
        ("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic KEY\r\n\r\n".to_owned(), 401),
        ("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer KEYx\r\n\r\n".to_owned(), 401),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", "k".repeat(513)), 401),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\u{200b}\r\n\r\n".to_owned(), 401),
        (get_with_key("X-API-Key: KEY\r\n"), 401),
        (get_with_key("apikey: another-key\r\n"), 401),
        (get_with_key("Authorization: Bearer another-key\r\n"), 401),
        ("GET /maybe HTTP/1.1\r\nHost: a\r\nX-API-Key: wrong-key\r\n\r\n".to_owned(), 401),
        ("GET /open/../secret HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET /openly HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 401),
        ("GET //open HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_request_never_reaches_the_upstream() {
    check_rejected(&Fixture::start(GatewayLimits::default(), &[]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_request_over_tls_never_reaches_the_upstream() {
    check_rejected(&Fixture::start_secure().await);
}

fn check_rejected(fixture: &Fixture) {
    let mut wrong = Vec::new();
    for (text, status) in rejected_requests() {
        let response = fixture.send(text.replace("KEY", &fixture.key).as_bytes());
        let seen = fixture.origin.take_requests();
        if status_of(&response) != status || !seen.is_empty() {
            let shown: String = text.chars().take(120).collect();
            wrong.push(format!("{shown:?}: {} instead of {status}, upstream saw {seen:?}", status_of(&response)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rejected_requests().len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejection_reveals_nothing_and_closes_if_a_body_could_follow() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let smuggled = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\nX-API-Key: ";
    let mut stream = TcpStream::connect(fixture.address).unwrap();
    stream.write_all(format!("{smuggled}{}\r\n\r\n", fixture.key).as_bytes()).unwrap();
    let response = read_response(&mut stream);
    assert_eq!(status_of(&response), 401);
    assert!(
        response.contains("www-authenticate: Bearer") || response.contains("WWW-Authenticate: Bearer"),
        "{response}"
    );
    assert!(response.to_lowercase().contains("cache-control: no-store"), "{response}");
    assert!(response.contains(r#""code":"missing-key""#), "{response}");
    assert_eq!(read_response(&mut stream), "", "a second answer");
    assert_eq!(fixture.origin.take_requests(), []);

    let unknown = "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: no-such-key\r\n\r\n";
    let malformed = "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: a/b/c/d/e\r\n\r\n";
    let body = |text: &str| {
        fixture
            .send(text.as_bytes())
            .split(r#""requestId""#)
            .next()
            .map(|head| head.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
    };
    assert_eq!(body(unknown), body(malformed));
}

/// A request that passes, and what the upstream must see of it.
struct AcceptedCase {
    text: &'static str,
    line: &'static str,
    has: &'static [(&'static str, &'static str)],
    lacks: &'static [&'static str],
    body: &'static str,
}

const ACCEPTED_CASES: &[AcceptedCase] = &[
    AcceptedCase {
        text: "GET /a/%62?x=%2f HTTP/1.1\r\nHost: A:80\r\nAuthorization: bearer KEY\r\napikey: KEY\r\n\r\n",
        line: "GET /a/b?x=%2f HTTP/1.1",
        has: &[
            ("x-gatepost-key-id", "ID"),
            ("x-gatepost-env", "live"),
            ("x-gatepost-custom-account-id", "%C3%BCber%20100%25"),
            ("x-gatepost-custom-user-id", "a\"b"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "SCHEME"),
        ],
        lacks: &["authorization", "apikey"],
        body: "",
    },
    AcceptedCase {
        text: "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\nX-Gatepost-Key-Id: evil\r\nX_Gatepost_Key_Id: evil\r\n\
               x-GATEPOST_env: evil\r\nX-Gatepost-Anything: evil\r\nX_Api_Key: evil\r\nX-Request-Id: evil\r\n\
               X-Forwarded-For: 1.2.3.4\r\nX_Forwarded_For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n\
               X-Forwarded-Host: evil\r\nContent-Length: 3\r\n\r\nabc",
        line: "POST / HTTP/1.1",
        has: &[("x-gatepost-key-id", "ID"), ("x-gatepost-env", "live"), ("x-forwarded-for", "127.0.0.1")],
        lacks: &["x_gatepost_key_id", "x-gatepost-anything", "x_api_key", "x_forwarded_for", "forwarded", "x-real-ip"],
        body: "abc",
    },
    AcceptedCase {
        text: "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\nConnection: X-Gatepost-Key-Id, X-Gatepost-Env, close\r\n\r\n",
        line: "GET / HTTP/1.1",
        has: &[("x-gatepost-key-id", "ID"), ("x-gatepost-env", "live")],
        lacks: &["x-api-key"],
        body: "",
    },
    AcceptedCase {
        text: "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\nTransfer-Encoding: chunked\r\n\r\n\
               3\r\nabc\r\n2\r\nde\r\n0\r\nX-Gatepost-Key-Id: evil\r\nAuthorization: evil\r\n\r\n",
        line: "POST / HTTP/1.1",
        has: &[("x-gatepost-key-id", "ID"), ("transfer-encoding", "chunked")],
        lacks: &["authorization", "content-length"],
        body: "abcde",
    },
    AcceptedCase {
        text: "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic abc\r\nX-API-Key: KEY\r\n\r\n",
        line: "GET / HTTP/1.1",
        has: &[("authorization", "Basic abc"), ("x-gatepost-key-id", "ID")],
        lacks: &["x-api-key"],
        body: "",
    },
    AcceptedCase {
        text: "GET http://a/b HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\n\r\n",
        line: "GET /b HTTP/1.1",
        has: &[("host", "a"), ("x-gatepost-key-id", "ID")],
        lacks: &[],
        body: "",
    },
    AcceptedCase {
        text: "GET /open HTTP/1.1\r\nHost: a\r\nX-Gatepost-Key-Id: evil\r\nX-API-Key: KEY\r\n\r\n",
        line: "GET /open HTTP/1.1",
        has: &[],
        lacks: &["x-gatepost-key-id", "x-gatepost-env", "x-api-key"],
        body: "",
    },
    AcceptedCase {
        text: "POST / HTTP/1.1\r\nHost: a.\r\nX-API-Key: KEY\r\nX-HTTP-Method-Override: evil\r\nX-HTTP-Method: evil\r\n\
               X_Method_Override: evil\r\nX-Original-URL: /evil\r\nX-Rewrite-URL: /evil\r\nX-Forwarded-Ssl: evil\r\n\
               Content-Length: 0\r\n\r\n",
        line: "POST / HTTP/1.1",
        has: &[("x-gatepost-key-id", "ID")],
        lacks: &["x-http-method-override", "x-original-url", "x-rewrite-url", "x-forwarded-ssl"],
        body: "",
    },
    AcceptedCase {
        text: "GET /open HTTP/1.1\r\nHost: a\r\nAuthorization: Basic x\r\nAuthorization: Bearer KEY\r\n\r\n",
        line: "GET /open HTTP/1.1",
        has: &[],
        lacks: &["authorization"],
        body: "",
    },
    AcceptedCase {
        text: "GET /maybe HTTP/1.1\r\nHost: a\r\nX_Gatepost_Env: evil\r\n\r\n",
        line: "GET /maybe HTTP/1.1",
        has: &[],
        lacks: &["x-gatepost-key-id", "x_gatepost_env"],
        body: "",
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_request_reaches_the_upstream_as_authorised() {
    check_accepted(&Fixture::start(GatewayLimits::default(), &[]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_request_over_tls_reaches_the_upstream_as_authorised() {
    check_accepted(&Fixture::start_secure().await);
}

fn check_accepted(fixture: &Fixture) {
    for case in ACCEPTED_CASES {
        let response = fixture.send(case.text.replace("KEY", &fixture.key).as_bytes());
        assert_eq!(status_of(&response), 200, "{}: {response}", case.text);
        let seen = fixture.origin.take_requests();
        assert_eq!(seen.len(), 1, "{}", case.text);
        check_seen(fixture, case, &seen[0]);
    }
}

fn check_seen(fixture: &Fixture, case: &AcceptedCase, seen: &RecordedRequest) {
    assert_eq!(seen.request_line(), case.line, "{}", case.text);
    assert_eq!(String::from_utf8_lossy(&seen.body), case.body, "{}", case.text);
    for (name, value) in case.has {
        let value = value.replace("ID", &fixture.key_id).replace("SCHEME", fixture.scheme());
        assert_eq!(seen.header(name), [value.as_str()], "{name} of {}", case.text);
    }
    for name in case.lacks {
        assert_eq!(seen.header(name), Vec::<&str>::new(), "{name} of {}", case.text);
    }
    assert!(!seen.head.contains(&fixture.key), "the credential of {}", case.text);
    assert!(!seen.head.contains("evil") && !seen.head.contains("1.2.3.4"), "{}", seen.head);
    assert!(seen.header("x-request-id")[0].starts_with("req_"), "{}", seen.head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarded_headers_of_a_trusted_proxy_are_kept() {
    let fixture = Fixture::start(GatewayLimits::default(), &["127.0.0.0/8"]).await;
    let text = "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\
                X_Forwarded_For: 6.6.6.6\r\n\r\n";
    assert_eq!(status_of(&fixture.send(text.replace("KEY", &fixture.key).as_bytes())), 200);
    let seen = fixture.origin.take_requests();
    assert_eq!(seen[0].header("x-forwarded-for"), ["1.2.3.4, 127.0.0.1"]);
    assert_eq!(seen[0].header("x-forwarded-proto"), ["https"]);
    assert!(!seen[0].head.contains("6.6.6.6"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_of_a_connection_is_authorised_separately() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let mut stream = TcpStream::connect(fixture.address).unwrap();
    let good = format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", fixture.key);
    let bad = "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: no-such-key\r\n\r\n";
    for (text, status) in
        [(good.as_str(), 200), (bad, 401), (&good, 200), ("GET /open HTTP/1.1\r\nHost: a\r\n\r\n", 200)]
    {
        stream.write_all(text.as_bytes()).unwrap();
        assert_eq!(status_of(&read_response(&mut stream)), status, "{text}");
    }
    let seen = fixture.origin.take_requests();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[2].header("x-gatepost-key-id"), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_for_a_replaced_key_has_deprecation_and_sunset() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let response =
        |key: &str| fixture.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n").as_bytes());
    let old = response(&fixture.old_key).to_ascii_lowercase();
    assert_eq!(status_of(&old), 200);
    assert!(old.contains("\r\ndeprecation: @1767225600\r\n"), "{old}");
    assert!(old.contains("\r\nsunset: fri, 01 jan 2100 00:00:00 gmt\r\n"), "{old}");
    let current = response(&fixture.key).to_ascii_lowercase();
    assert_eq!(status_of(&current), 200);
    assert!(!current.contains("deprecation") && !current.contains("sunset"), "{current}");
}

/// Returns the status of a response; 0 if there was none.
pub(crate) fn status_of(response: &str) -> u16 {
    response.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
