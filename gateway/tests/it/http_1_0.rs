//! Clients of HTTP/1.0.

use std::io::Write;
use std::net::TcpStream;

use gatepost_gateway::{GatewayLimits, GatewayOptions, RouteOptions};
use gatepost_test_support::{AfterReply, MockServer, Reply};

use crate::fixture::{Fixture, read_response};
use crate::raw_requests::status_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_needed_only_where_a_route_names_one() {
    let configure = |options: GatewayOptions| {
        let route = options.routes[1].clone();
        let named = RouteOptions { host: Some("a".to_owned()), path: "/named".to_owned(), ..route };
        GatewayOptions { routes: options.routes.into_iter().skip(1).chain([named]).collect(), ..options }
    };
    let fixture = Fixture::start_with(configure).await;
    for (request, status, host) in [
        ("GET /open HTTP/1.0\r\n\r\n", 200, Some("UPSTREAM")),
        ("GET /open HTTP/1.0\r\nHost: b\r\n\r\n", 200, Some("b")),
        ("GET /named HTTP/1.0\r\n\r\n", 404, None),
        ("GET /named HTTP/1.0\r\nHost: a\r\n\r\n", 200, Some("a")),
        ("GET /open HTTP/1.0\r\nHost: \r\n\r\n", 400, None),
        ("GET /open HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, None),
        ("GET http://a/open HTTP/1.0\r\n\r\n", 400, None),
        ("GET /open HTTP/1.1\r\n\r\n", 400, None),
    ] {
        assert_eq!(status_of(&fixture.send_until_closed(request.as_bytes())), status, "{request}");
        let upstream = fixture.origin.address().to_string();
        let expected: Vec<&str> =
            host.iter().map(|host| if *host == "UPSTREAM" { upstream.as_str() } else { host }).collect();
        let seen = fixture.origin.take_requests();
        assert_eq!(seen.iter().flat_map(|seen| seen.header("host")).collect::<Vec<_>>(), expected, "{request}");
        for seen in seen {
            assert!(seen.request_line().ends_with(" HTTP/1.1"), "{}", seen.head);
            assert_eq!(
                seen.header("x-forwarded-host").is_empty(),
                request.contains("HTTP/1.0\r\n\r\n"),
                "{}",
                seen.head
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn problems_are_sent_as_http_1_0_can_read() {
    let fixture = Fixture::start(GatewayLimits { max_body_bytes: 3, ..GatewayLimits::default() }, &[]).await;
    for (request, status) in [
        ("GET / HTTP/1.0\r\n\r\n", 401),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\napikey: a/b\r\n\r\n", 401),
        ("GET /a/../b HTTP/1.0\r\n\r\n", 400),
        ("POST /open HTTP/1.0\r\nContent-Length: 4\r\n\r\nabcd", 413),
        ("TRACE / HTTP/1.0\r\n\r\n", 405),
        ("POST /open HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ] {
        let response = fixture.send_until_closed(request.as_bytes()).to_ascii_lowercase();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert_eq!(status_of(&response), status, "{response}");
        assert!(!head.contains("transfer-encoding") && head.contains("\r\nconnection: close"), "{response}");
        assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{response}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expect_header_is_ignored() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    for expectation in ["100-continue", "200-ok"] {
        let request = format!("POST /open HTTP/1.0\r\nExpect: {expectation}\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(status_of(&fixture.send_until_closed(request.as_bytes())), 200, "{expectation}");
        let seen = fixture.origin.take_requests();
        assert_eq!((seen[0].header("expect"), seen[0].body.as_slice()), (vec![], &b"abc"[..]), "{expectation}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keep_alive_lasts_while_bodies_have_a_length() {
    let origin = MockServer::with_script(|number| match number {
        0 | 1 => Reply { status: 200, ..Reply::default() },
        _ => Reply::raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            AfterReply::KeepAlive,
        ),
    });
    let fixture = Fixture::start_with_origin(origin, |options| options).await;
    let mut stream = TcpStream::connect(fixture.address).unwrap();
    let request = b"GET /open HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    for _ in 0..2 {
        stream.write_all(request).unwrap();
        let response = read_response(&mut stream).to_ascii_lowercase();
        assert!(
            response.contains("\r\nconnection: keep-alive\r\n") && response.ends_with("\r\n\r\norigin"),
            "{response}"
        );
    }
    stream.write_all(request).unwrap();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut rest).unwrap();
    let response = String::from_utf8(rest).unwrap().to_ascii_lowercase();
    assert!(response.contains("\r\nconnection: close\r\n") && response.ends_with("\r\n\r\nok"), "{response}");
}
