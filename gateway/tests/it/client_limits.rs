//! Limits of each client, directly and behind trusted proxies.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use gatepost_gateway::{GatewayLimits, GatewayOptions};
use gatepost_test_support::{Gate, MockServer};

use crate::fixture::{Fixture, read_response};

/// Wrong keys of a client that are fetched in a minute.
const WRONG_KEYS: usize = 600;
const DEADLINE: Duration = Duration::from_secs(5);

/// A request of a client that the peer forwards.
fn request_from(client: &str, key: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {client}\r\nx-api-key: {key}\r\n\r\n")
}

/// A connection that has sent a request.
fn send_request(fixture: &Fixture, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(fixture.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_of_a_client_are_rate_limited_and_others_are_not() {
    let fixture = Fixture::start(GatewayLimits::default(), &["127.0.0.1/32"]).await;
    assert!(fixture.send(request_from("192.0.2.1", &fixture.key).as_bytes()).starts_with("HTTP/1.1 200 "));
    let mut stream = TcpStream::connect(fixture.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    for number in 0..WRONG_KEYS {
        stream.write_all(request_from("2001:db8::1", &format!("wrong-key-{number}")).as_bytes()).unwrap();
        assert!(read_response(&mut stream).starts_with("HTTP/1.1 401 "), "{number}");
    }
    // Each tenth of a second, one more is fetched.
    let refused = (0..WRONG_KEYS).find_map(|number| {
        let response = fixture.send(request_from("2001:db8::2", &format!("other-key-{number}")).as_bytes());
        response.starts_with("HTTP/1.1 429 ").then_some(response)
    });
    let refused = refused.expect("a client of the same network goes on");
    assert!(refused.to_lowercase().contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("\"code\":\"rate-limited\""), "{refused}");
    assert!(
        fixture.send(request_from("2001:db8::1", &fixture.key).as_bytes()).starts_with("HTTP/1.1 200 "),
        "it is cached"
    );
    assert!(fixture.send(request_from("192.0.2.1", "wrong-key-1").as_bytes()).starts_with("HTTP/1.1 401 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trusted_proxy_has_no_connection_limit_and_its_clients_have_request_limits() {
    let gate = Gate::default();
    let limits =
        GatewayLimits { max_connections_per_address: 2, max_requests_per_client: 3, ..GatewayLimits::default() };
    let fixture = Fixture::start_with_origin(MockServer::with_gate(&gate), |options| GatewayOptions {
        limits,
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..options
    })
    .await;
    let mut held: Vec<TcpStream> =
        (0..3).map(|_| send_request(&fixture, &request_from("192.0.2.1", &fixture.key))).collect();
    assert_eq!(fixture.origin.await_count(3, DEADLINE), 3, "three connections of one address");
    let refused = fixture.send(request_from("192.0.2.1", &fixture.key).as_bytes());
    assert!(
        refused.starts_with("HTTP/1.1 429 ") && refused.to_lowercase().contains("\r\nretry-after: 1\r\n"),
        "{refused}"
    );
    held.push(send_request(&fixture, &request_from("192.0.2.2", &fixture.key)));
    assert_eq!(fixture.origin.await_count(4, DEADLINE), 4, "another client has its own");
    gate.open();
    for mut stream in held {
        assert!(read_response(&mut stream).starts_with("HTTP/1.1 200 "));
    }
    assert!(fixture.send(request_from("192.0.2.1", &fixture.key).as_bytes()).starts_with("HTTP/1.1 200 "));
}
