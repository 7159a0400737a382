//! Reload of a gateway while it serves.

use std::io::Write;
use std::time::Duration;

use gatepost_gateway::{Auth, GatewayLimits, GatewayOptions, StartError, UpstreamOptions};
use gatepost_test_support::{Gate, MockServer};

use crate::fixture::{Fixture, read_response, route};
use crate::raw_requests::status_of;
use crate::request_line::connect;

/// Limit for a request to reach the origin.
const DEADLINE: Duration = Duration::from_secs(10);

fn upstream(name: &str, origin: &MockServer) -> UpstreamOptions {
    UpstreamOptions { name: name.to_owned(), servers: vec![origin.address().to_string()], tls: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_keeps_the_configuration_it_began_with_and_the_next_gets_the_new_one() {
    let gate = Gate::default();
    let fixture = Fixture::start_with_origin(MockServer::with_gate(&gate), |options| options).await;
    let other = MockServer::start();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\napikey: {}\r\n\r\n", fixture.key);
    let mut stream = connect(&fixture);
    stream.write_all(get("/open/1").as_bytes()).unwrap();
    assert_eq!(fixture.origin.await_count(1, DEADLINE), 1);
    let options = GatewayOptions {
        routes: vec![route("/open", Auth::Required), route("/new", Auth::Off)],
        upstreams: vec![upstream("app", &other)],
        limits: GatewayLimits { max_body_bytes: 3, ..GatewayLimits::default() },
        ..fixture.options.clone()
    };
    fixture.reload(options).await.unwrap();
    gate.open();
    assert_eq!(status_of(&read_response(&mut stream)), 200, "in flight");
    for (request, status) in [
        (get("/open/2"), 200),
        (get("/new/3"), 200),
        (get("/gone"), 404),
        ("GET /open/4 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 401),
        ("POST /new/5 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd".to_owned(), 413),
    ] {
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(status_of(&read_response(&mut stream)), status, "{request}");
    }
    let lines = |origin: &MockServer| -> Vec<String> {
        origin.take_requests().iter().map(|seen| seen.request_line().to_owned()).collect()
    };
    assert_eq!(lines(&fixture.origin), ["GET /open/1 HTTP/1.1"]);
    assert_eq!(lines(&other), ["GET /open/2 HTTP/1.1", "GET /new/3 HTTP/1.1"]);
    let counted = fixture.counted_requests();
    let of = |route: &str, status: &str| -> u64 {
        let series = counted.iter().filter(|(name, code, _)| name == route && code == status);
        series.map(|(_, _, count)| count).sum()
    };
    assert_eq!((of("/open", "200"), of("/open", "401"), of("/new", "200"), of("none", "404")), (2, 1, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_reload_changes_nothing() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let options = GatewayOptions { upstreams: Vec::new(), ..fixture.options.clone() };
    let error = fixture.reload(options).await.unwrap_err();
    assert!(matches!(&error, StartError::UnknownUpstream(name) if name == "app"), "{error}");
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\napikey: {}\r\n\r\n", fixture.key);
    assert_eq!(status_of(&fixture.send(request.as_bytes())), 200);
}
