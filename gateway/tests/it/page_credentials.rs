//! Keys where browsers can put them: found only where the route says, and never seen by the upstream.

use gatepost_gateway::{Auth, CredentialLocation, GatewayOptions, RouteOptions};

use crate::fixture::{Fixture, route};
use crate::raw_requests::status_of;

fn from(path: &str, location: CredentialLocation) -> RouteOptions {
    let origins = vec!["https://app.example".to_owned()];
    RouteOptions {
        credential: vec![CredentialLocation::Authorization, location],
        origins,
        ..route(path, Auth::Required)
    }
}

async fn start() -> Fixture {
    let routes = vec![
        route("/", Auth::Required),
        from("/query", CredentialLocation::Query("key".to_owned())),
        from("/cookie", CredentialLocation::Cookie("session".to_owned())),
        from("/protocol", CredentialLocation::Protocol("key.".to_owned())),
        RouteOptions { stripped_segments: 1, ..from("/strip", CredentialLocation::Query("key".to_owned())) },
    ];
    Fixture::start_with(|options| GatewayOptions { routes, ..options }).await
}

fn send(fixture: &Fixture, target: &str, headers: &str) -> u16 {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n").replace("KEY", &fixture.key);
    status_of(&fixture.send(request.as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_the_query_goes_no_further_than_the_gateway() {
    let fixture = start().await;
    for (target, headers, upstream) in [
        ("/query/x?key=KEY", "", "/query/x"),
        ("/query/x?a=1&k%65y=KEY&b=key=2", "", "/query/x?a=1&b=key=2"),
        ("/query/%61?key=KEY&a", "Authorization: Bearer KEY\r\n", "/query/a?a"),
        ("http://a/query?key=KEY", "Referer: https://a/query?key=KEY&x\r\n", "/query"),
        ("/strip?key=KEY&a", "", "/?a"),
    ] {
        assert_eq!(send(&fixture, target, headers), 200, "{target}");
        let seen = fixture.origin.take_requests().pop().unwrap();
        assert_eq!(seen.request_line(), format!("GET {upstream} HTTP/1.1"), "{target}");
        assert!(!seen.head.contains(&fixture.key), "{}", seen.head);
    }
    for (target, headers) in [
        ("/query?key=KEY&key=KEY", ""),
        ("/query?key=wrong-key", ""),
        ("/query?key=", ""),
        ("/query?KEY=KEY", ""),
        ("/query?key=wrong-key", "Authorization: Bearer KEY\r\n"),
        ("/x?key=KEY", ""),
        ("/cookie?session=KEY", ""),
    ] {
        assert_eq!(send(&fixture, target, headers), 401, "{target}");
    }
    assert_eq!(fixture.origin.take_requests(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_cookie_counts_for_the_pages_of_the_route_only() {
    let fixture = start().await;
    let cookie = "Cookie: a=1; session=KEY; b=2\r\n";
    for headers in [
        format!("{cookie}Origin: https://app.example\r\n"),
        format!("{cookie}Referer: https://app.example/page\r\n"),
        format!("{cookie}Authorization: Bearer KEY\r\n"),
    ] {
        assert_eq!(send(&fixture, "/cookie", &headers), 200, "{headers}");
        let seen = fixture.origin.take_requests().pop().unwrap();
        assert_eq!(seen.header("cookie"), ["a=1; b=2"]);
        assert!(!seen.head.contains(&fixture.key), "{}", seen.head);
    }
    for (headers, status) in [
        (cookie.to_owned(), 403),
        (format!("{cookie}Origin: https://evil.example\r\n"), 403),
        (format!("{cookie}Origin: null\r\nReferer: https://app.example/\r\n"), 403),
        (format!("{cookie}Origin: https://app.example\r\nCookie: session=KEY\r\n"), 401),
        ("Cookie: session=wrong-key\r\nOrigin: https://app.example\r\n".to_owned(), 401),
        ("Origin: https://app.example\r\n".to_owned(), 401),
    ] {
        assert_eq!(send(&fixture, "/cookie", &headers), status, "{headers}");
    }
    assert_eq!(send(&fixture, "/", &format!("{cookie}Origin: https://app.example\r\n")), 401);
    assert_eq!(fixture.origin.take_requests(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_subprotocol_is_not_offered_to_the_upstream() {
    let fixture = start().await;
    for (headers, upstream) in [
        ("Sec-WebSocket-Protocol: chat, key.KEY\r\n", vec!["chat"]),
        ("Sec-WebSocket-Protocol: key.KEY\r\nSec-WebSocket-Protocol: a, b\r\n", vec!["a, b"]),
        ("Sec-WebSocket-Protocol: key.KEY\r\nSec_WebSocket_Protocol: key.KEY\r\n", vec![]),
    ] {
        assert_eq!(send(&fixture, "/protocol", headers), 200, "{headers}");
        let seen = fixture.origin.take_requests().pop().unwrap();
        assert_eq!(seen.header("sec-websocket-protocol"), upstream, "{headers}");
        assert!(!seen.head.contains(&fixture.key), "{}", seen.head);
    }
    for headers in [
        "Sec-WebSocket-Protocol: chat\r\n",
        "Sec-WebSocket-Protocol: key.wrong-key\r\n",
        "Sec-WebSocket-Protocol: key.KEY, key.KEY\r\n",
        "Sec_WebSocket_Protocol: key.KEY\r\n",
    ] {
        assert_eq!(send(&fixture, "/protocol", headers), 401, "{headers}");
    }
    assert_eq!(send(&fixture, "/", "Sec-WebSocket-Protocol: key.KEY\r\n"), 401);
    assert_eq!(fixture.origin.take_requests(), []);
}
