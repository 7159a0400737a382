//! What a route sets for itself: networks, limits, and a response of its own.

use std::time::Duration;

use gatepost_gateway::{Auth, GatewayOptions, NetworkRules, RouteOptions};
use gatepost_test_support::{Gate, MockServer};
use http::StatusCode;

use crate::fixture::{Fixture, route};
use crate::raw_requests::status_of;

/// Starts a gateway with these routes, all to one upstream.
async fn start(routes: Vec<RouteOptions>) -> Fixture {
    Fixture::start_with(|options| GatewayOptions { routes, ..options }).await
}

fn request(fixture: &Fixture, method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    let key = &fixture.key;
    format!("{method} {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_other_networks_are_refused_before_their_key_is_looked_at() {
    let networks = |allow: &[&str], deny: &[&str]| {
        let parsed = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        NetworkRules { allow: parsed(allow), deny: parsed(deny) }
    };
    let fixture = start(vec![
        RouteOptions { networks: networks(&["127.0.0.0/8"], &[]), ..route("/here", Auth::Required) },
        RouteOptions { networks: networks(&["10.0.0.0/8"], &[]), ..route("/elsewhere", Auth::Required) },
        RouteOptions { networks: networks(&[], &["127.0.0.1/32"]), ..route("/denied", Auth::Off) },
    ])
    .await;
    assert_eq!(status_of(&fixture.send(request(&fixture, "GET", "/here", "").as_bytes())), 200);
    for refused in [
        request(&fixture, "GET", "/elsewhere", ""),
        request(&fixture, "GET", "/denied", ""),
        "GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        let response = fixture.send(refused.as_bytes());
        assert_eq!(status_of(&response), 403, "{refused}");
        assert!(response.contains("This route does not accept requests from your address"), "{response}");
    }
    assert_eq!(fixture.origin.request_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_has_its_own_limit_of_bodies_below_or_above_that_of_the_others() {
    let sized = |path: &str, max_body_bytes| RouteOptions { max_body_bytes, ..route(path, Auth::Required) };
    let fixture = Fixture::start_with(|options| {
        let mut options =
            GatewayOptions { routes: vec![sized("/", None), sized("/s", Some(2)), sized("/l", Some(8))], ..options };
        options.limits.max_body_bytes = 5;
        options
    })
    .await;
    for (path, length, status) in
        [("/", 5, 200), ("/", 6, 413), ("/s", 2, 200), ("/s", 3, 413), ("/l", 8, 200), ("/l", 9, 413)]
    {
        let announced = request(&fixture, "POST", path, &"a".repeat(length));
        assert_eq!(status_of(&fixture.send(announced.as_bytes())), status, "{length} announced on {path}");
        let key = &fixture.key;
        let chunked = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n",
            "a".repeat(length)
        );
        assert_eq!(status_of(&fixture.send(chunked.as_bytes())), status, "{length} in chunks on {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_has_its_own_limit_for_its_upstream() {
    let gate = Gate::default();
    let timed = |path: &str, timeout| RouteOptions { upstream_timeout: timeout, ..route(path, Auth::Required) };
    let fixture = Fixture::start_with_origin(MockServer::with_gate(&gate), |options| GatewayOptions {
        routes: vec![timed("/patient", None), timed("/hasty", Some(Duration::from_millis(200)))],
        ..options
    })
    .await;
    assert_eq!(status_of(&fixture.send(request(&fixture, "GET", "/hasty", "").as_bytes())), 504);
    let patient = request(&fixture, "GET", "/patient", "");
    let opening = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(400));
        gate.open();
    });
    assert_eq!(status_of(&fixture.send(patient.as_bytes())), 200);
    opening.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_responds_by_itself_to_whom_it_would_let_through() {
    let responding = |path: &str, status, auth| RouteOptions {
        respond: Some(status),
        upstream: "none".to_owned(),
        ..route(path, auth)
    };
    let fixture = start(vec![
        responding("/maintenance", StatusCode::SERVICE_UNAVAILABLE, Auth::Required),
        responding("/gone", StatusCode::NO_CONTENT, Auth::Off),
    ])
    .await;
    let response = fixture.send(request(&fixture, "GET", "/maintenance", "").as_bytes());
    assert_eq!(status_of(&response), 503);
    let response = response.to_ascii_lowercase();
    assert!(response.contains("content-length: 0") && response.contains("x-request-id: "), "{response}");
    assert_eq!(status_of(&fixture.send(b"GET /maintenance HTTP/1.1\r\nHost: a\r\n\r\n")), 401);
    let response = fixture.send(request(&fixture, "GET", "/gone", "").as_bytes());
    assert_eq!(status_of(&response), 204);
    assert!(!response.to_ascii_lowercase().contains("content-length"), "{response}");
    assert_eq!(fixture.origin.request_count(), 0);
}
