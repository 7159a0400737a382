//! `OPTIONS *`, which the gateway handles and no upstream sees.

use std::io::Write;

use gatepost_gateway::GatewayLimits;

use crate::fixture::{Fixture, read_response};
use crate::raw_requests::status_of;
use crate::request_line::{connect, get, seen};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_options_is_handled_by_the_gateway_alone() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    for (line, rest) in [
        ("OPTIONS * HTTP/1.1", ""),
        ("OPTIONS * HTTP/1.1", "X-API-Key: KEY\r\n"),
        ("OPTIONS * HTTP/1.1", "X-API-Key: no-such-key\r\n"),
        ("OPTIONS * HTTP/1.1", "Max-Forwards: 0\r\n"),
        ("OPTIONS * HTTP/1.1", "Max-Forwards: 5\r\n"),
        ("OPTIONS * HTTP/1.0", ""),
        ("OPTIONS http://a HTTP/1.1", ""),
        ("OPTIONS https://a HTTP/1.1", "X-API-Key: KEY\r\n"),
    ] {
        let text = format!("{line}\r\nHost: a\r\n{rest}\r\n").replace("KEY", &fixture.key);
        let response = fixture.send(text.as_bytes()).to_ascii_lowercase();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert_eq!((status_of(&response), body), (200, ""), "{text}: {response}");
        let has = |field: &str| head.split("\r\n").any(|line| line == field);
        assert!(has("content-length: 0"), "{response}");
        assert!(has("allow: get, head, post, put, patch, delete, options"), "{response}");
        assert!(head.contains("\r\nx-request-id: req_"), "{response}");
        assert!(!head.contains("ratelimit-"), "it is no use of a key: {response}");
        assert_eq!(seen(&fixture), <[&str; 0]>::default(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_asterisk_requests_are_rejected() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    for (line, rest) in [
        ("GET * HTTP/1.1", "Host: a\r\n"),
        ("HEAD * HTTP/1.1", "Host: a\r\n"),
        ("POST * HTTP/1.1", "Host: a\r\nContent-Length: 0\r\n"),
        ("options * HTTP/1.1", "Host: a\r\n"),
        ("OPTIONS ** HTTP/1.1", "Host: a\r\n"),
        ("OPTIONS *?a HTTP/1.1", "Host: a\r\n"),
        ("OPTIONS */ HTTP/1.1", "Host: a\r\n"),
        ("OPTIONS x HTTP/1.1", "Host: a\r\n"),
        ("OPTIONS http://a? HTTP/1.1", "Host: a\r\n"),
        ("OPTIONS http://b HTTP/1.1", "Host: a\r\n"),
        ("GET http://a HTTP/1.1", "Host: a\r\n"),
        ("OPTIONS * HTTP/1.1", ""),
        ("OPTIONS * HTTP/1.1", "Host: a\r\nHost: a\r\n"),
        ("OPTIONS * HTTP/1.1", "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
    ] {
        let text = format!("{line}\r\n{rest}X-API-Key: {}\r\n\r\n", fixture.key);
        let response = fixture.send(text.as_bytes());
        assert_eq!(status_of(&response), 400, "{text}: {response}");
        assert_eq!(seen(&fixture), <[&str; 0]>::default(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_survives_server_options_without_a_body() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let options = "OPTIONS * HTTP/1.1\r\nHost: a\r\n";
    let mut stream = connect(&fixture);
    stream.write_all(format!("{options}\r\n{options}\r\n{}", get("/1", &fixture)).as_bytes()).unwrap();
    let statuses = [(); 3].map(|()| status_of(&read_response(&mut stream)));
    assert_eq!(statuses, [200, 200, 200]);
    assert_eq!(seen(&fixture), ["GET /1 HTTP/1.1"]);
    let smuggled = get("/2", &fixture);
    let with_body = format!("{options}Content-Length: {}\r\n\r\n{smuggled}", smuggled.len());
    let mut stream = connect(&fixture);
    stream.write_all(with_body.as_bytes()).unwrap();
    assert_eq!(status_of(&read_response(&mut stream)), 200);
    assert_eq!(read_response(&mut stream), "");
    assert_eq!(seen(&fixture), <[&str; 0]>::default());
}
