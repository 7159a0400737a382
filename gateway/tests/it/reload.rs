//! Reload of a gateway while it serves.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use gatepost_gateway::{
    Auth, GatewayLimits, GatewayOptions, ListenerOptions, RouteOptions, StartError, UpstreamOptions,
};
use gatepost_test_support::{Gate, MockServer, free_port};

use crate::fixture::{Fixture, read_response, route};
use crate::raw_requests::status_of;
use crate::request_line::connect;

/// Limit for a request to reach the origin.
const DEADLINE: Duration = Duration::from_secs(10);

fn upstream(name: &str, origin: &MockServer) -> UpstreamOptions {
    UpstreamOptions::plain(name, vec![origin.address().to_string()])
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_are_added_and_removed_and_one_that_stays_keeps_its_connections() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let get = format!("GET / HTTP/1.1\r\nHost: a\r\napikey: {}\r\n\r\n", fixture.key);
    let mut kept = connect(&fixture);
    let added = ListenerOptions { name: "added".to_owned(), ..fixture.listeners[0].clone() };
    let both = [fixture.listeners.clone(), vec![added.clone()]].concat();
    let addresses = fixture.reload_listeners(&both).await.unwrap();
    assert_eq!(addresses.len(), 2);
    let mut on_added = TcpStream::connect(addresses[1]).unwrap();
    for stream in [&mut kept, &mut on_added] {
        stream.write_all(get.as_bytes()).unwrap();
        assert_eq!(status_of(&read_response(stream)), 200);
    }

    assert_eq!(fixture.reload_listeners(&[added]).await.unwrap(), [addresses[1]]);
    assert!(TcpStream::connect(addresses[0]).is_err(), "the removed listener refuses connections");
    on_added.write_all(get.as_bytes()).unwrap();
    assert!(!read_response(&mut on_added).contains("connection: close"), "its listener stays");
    kept.write_all(get.as_bytes()).unwrap();
    let last = read_response(&mut kept);
    assert_eq!(status_of(&last), 200, "a connection of the removed listener gets its response");
    assert!(last.to_ascii_lowercase().contains("connection: close"), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_cannot_be_added_leaves_all_as_they_were() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let busy = ListenerOptions {
        name: "busy".to_owned(),
        address: taken.local_addr().unwrap(),
        ..fixture.listeners[0].clone()
    };
    let error = fixture.reload_listeners(&[busy]).await.unwrap_err();
    assert!(matches!(&error, StartError::Bind { .. }), "{error}");
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\napikey: {}\r\n\r\n", fixture.key);
    assert_eq!(status_of(&fixture.send(request.as_bytes())), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_of_a_refused_reload_leaves_no_metrics() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let servers = || fixture.gauges("gatepost_upstream_servers", "upstream");
    let before = servers();
    assert_eq!(before, [("app".to_owned(), 1.0)]);
    let two = UpstreamOptions::plain("app", vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()]);
    let options = GatewayOptions {
        // The last is refused.
        upstreams: vec![two, upstream("new", &fixture.origin), UpstreamOptions::plain("empty", Vec::new())],
        ..fixture.options.clone()
    };
    assert!(fixture.reload(options).await.is_err());
    assert_eq!(servers(), before);
    let to = |upstream: &str| RouteOptions { upstream: upstream.to_owned(), ..route("/", Auth::Off) };
    let options = GatewayOptions {
        upstreams: vec![upstream("new", &fixture.origin)],
        routes: vec![to("new"), RouteOptions { path: "/lost".to_owned(), ..to("lost") }],
        ..fixture.options.clone()
    };
    assert!(fixture.reload(options).await.is_err());
    assert_eq!(servers(), before);
    let tried = fixture.labels("gatepost_upstream_requests_total", "upstream");
    assert!(tried.iter().all(|upstream| upstream == "app"), "{tried:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_after_the_begin_of_a_stop_starts_no_listener() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let address = (Ipv4Addr::LOCALHOST, free_port()).into();
    let added = [ListenerOptions::plain(address)];
    let (left, reloaded) = tokio::join!(fixture.stop_gateway(), fixture.reload_listeners(&added));
    assert_eq!(left, 0);
    assert!(matches!(reloaded, Err(StartError::Stopping)), "{reloaded:?}");
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_has_not_changed_keeps_its_connections() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\napikey: {}\r\n\r\n", fixture.key);
    let mut stream = connect(&fixture);
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(status_of(&read_response(&mut stream)), 200);
        fixture.reload(fixture.options.clone()).await.unwrap();
    }
    let connections: BTreeSet<_> = fixture.origin.take_requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections.len(), 1);
    fixture.await_upstream_tries(&[("response", 3)]).await;
}
