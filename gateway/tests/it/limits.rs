//! Limits of connections and headers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gatepost_gateway::GatewayLimits;

use crate::fixture::{Fixture, read_response};
use crate::raw_requests::status_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_header_times_out_and_a_quick_one_does_not() {
    let limits = GatewayLimits { header_timeout: Duration::from_millis(300), ..GatewayLimits::default() };
    let fixture = Fixture::start(limits, &[]).await;
    let mut slow = TcpStream::connect(fixture.address).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ").unwrap();
    let mut silent = TcpStream::connect(fixture.address).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut rest = Vec::new();
    // The gateway closes both, or these reads would not end.
    assert_eq!(slow.read_to_end(&mut rest).unwrap(), rest.len());
    assert_eq!(silent.read_to_end(&mut rest).unwrap_or(0), 0);
    let quick = format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", fixture.key);
    assert_eq!(status_of(&fixture.send(quick.as_bytes())), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_per_address_are_limited() {
    let limits = GatewayLimits { max_connections_per_address: 2, ..GatewayLimits::default() };
    let fixture = Fixture::start(limits, &[]).await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", fixture.key);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(fixture.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(status_of(&read_response(&mut stream)), 200);
        held.push(stream);
    }
    let mut one_more = TcpStream::connect(fixture.address).unwrap();
    // Closed at once: writing may fail, and there is no response.
    let _ = one_more.write_all(request.as_bytes());
    assert_eq!(read_response(&mut one_more), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_refused() {
    let limits = GatewayLimits { max_body_bytes: 10, ..GatewayLimits::default() };
    let fixture = Fixture::start(limits, &[]).await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Length: 11\r\n\r\n{}",
        fixture.key,
        "a".repeat(11)
    );
    assert_eq!(status_of(&fixture.send(request.as_bytes())), 413);
    assert_eq!(fixture.origin.take_requests(), [], "it said before that it is too large");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_header_is_not_buffered() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let mut stream = TcpStream::connect(fixture.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let header = format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}", "a".repeat(900 * 1024));
    // The gateway closes the connection before it has read all.
    assert!(stream.write_all(header.as_bytes()).is_err() || status_of(&read_response(&mut stream)) != 200);
    assert_eq!(fixture.origin.take_requests(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_closes_idle_connections() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", fixture.key);
    let mut waiting = TcpStream::connect(fixture.address).unwrap();
    waiting.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    waiting.write_all(request.as_bytes()).unwrap();
    assert_eq!(status_of(&read_response(&mut waiting)), 200);
    assert_eq!(fixture.stop(Duration::from_secs(5)).await, 0);
    // Further requests get no response.
    let _ = waiting.write_all(request.as_bytes());
    assert_eq!(read_response(&mut waiting), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_0_connection_is_closed_after_the_response() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let mut stream = TcpStream::connect(fixture.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let request = format!("GET / HTTP/1.0\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", fixture.key);
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(status_of(&read_response(&mut stream)), 200);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "a client that reads to the end would wait");
}
