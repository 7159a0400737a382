//! Metrics of upstreams: the result of each try, and the time to the header of the response.

use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use gatepost_gateway::{GatewayLimits, GatewayOptions, UpstreamOptions};
use gatepost_test_support::{AfterReply, Gate, MockServer, Reply};

use crate::fixture::{Fixture, read_response};
use crate::raw_requests::status_of;
use crate::request_line::{connect, get};

/// Sends a request to an upstream that replies so, and checks what is counted.
async fn check(fixture: &Fixture, status: u16, tries: &[(&str, u64)], headers: u64) {
    assert_eq!(status_of(&fixture.send(get("/", fixture).as_bytes())), status);
    fixture.await_upstream_tries(tries).await;
    assert_eq!(fixture.upstream_headers(), headers);
}

async fn fixture_of(response: &'static str) -> Fixture {
    let origin = MockServer::with_script(move |_| Reply::raw(response, AfterReply::Close));
    Fixture::start_with_origin(origin, |options| options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_is_counted_whatever_its_status() {
    for status in [200, 404, 503] {
        let origin = MockServer::with_statuses(move |_| (status, Duration::ZERO));
        let fixture = Fixture::start_with_origin(origin, |options| options).await;
        check(&fixture, status, &[("response", 1)], 1).await;
        check(&fixture, status, &[("response", 2)], 2).await;
    }
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    check(&fixture_of(interim).await, 103, &[("response", 1)], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_that_breaks_off_or_is_not_valid_is_counted_so() {
    let no_response = "";
    check(&fixture_of(no_response).await, 502, &[("closed", 1)], 0).await;
    check(&fixture_of("HTTP/1.1 200 OK\r\nContent-L").await, 502, &[("closed", 1)], 0).await;
    check(&fixture_of("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n").await, 502, &[("invalid", 1)], 0).await;
    check(&fixture_of("secret\r\n\r\n").await, 502, &[("invalid", 1)], 0).await;
    // The header had been sent on.
    check(&fixture_of("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello").await, 200, &[("closed", 1)], 1).await;
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n";
    check(&fixture_of(chunks).await, 200, &[("invalid", 1)], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_connection_is_counted_next_to_the_try_that_follows() {
    // Nobody listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let origin = MockServer::start();
    let servers = vec![closed.to_string(), origin.address().to_string()];
    let upstreams = |servers: Vec<String>| vec![UpstreamOptions::plain("app", servers)];
    let both = upstreams(servers);
    let fixture = Fixture::start_with_origin(origin, |options| GatewayOptions { upstreams: both, ..options }).await;
    check(&fixture, 200, &[("connect", 1), ("response", 1)], 1).await;

    let none = upstreams(vec![closed.to_string()]);
    let fixture = Fixture::start_with(|options| GatewayOptions { upstreams: none, ..options }).await;
    check(&fixture, 502, &[("connect", 2)], 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeout_and_a_client_that_goes_away_are_counted() {
    let gate = Gate::default();
    let limits = GatewayLimits { upstream_timeout: Duration::from_millis(300), ..GatewayLimits::default() };
    let configure = |options| GatewayOptions { limits, ..options };
    let fixture = Fixture::start_with_origin(MockServer::with_gate(&gate), configure).await;
    check(&fixture, 504, &[("timeout", 1)], 0).await;

    let limits = GatewayLimits { max_body_bytes: 3, ..GatewayLimits::default() };
    let fixture = Fixture::start(limits, &[]).await;
    let mut stream = connect(&fixture);
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\napikey: {}\r\nTransfer-Encoding: chunked\r\n\r\n", fixture.key);
    stream.write_all(format!("{head}4\r\nabcd\r\n").as_bytes()).unwrap();
    assert_eq!(status_of(&read_response(&mut stream)), 413);
    let mut stream = connect(&fixture);
    stream.write_all(format!("{head}1\r\n").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    fixture.await_upstream_tries(&[("client", 2)]).await;
    assert_eq!(fixture.upstream_headers(), 0);
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_that_the_gateway_rejects_is_no_try() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    assert_eq!(status_of(&fixture.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")), 401);
    assert_eq!((fixture.upstream_tries(), fixture.upstream_headers()), (vec![], 0));
}
