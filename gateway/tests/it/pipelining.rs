//! Requests that are sent before the response to the previous one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gatepost_gateway::GatewayLimits;
use gatepost_test_support::{Gate, MockServer};

use crate::fixture::{Fixture, read_response};
use crate::raw_requests::{self, status_of};

/// Limit of a client for a response.
const DEADLINE: Duration = Duration::from_secs(10);

/// Requests with all kinds of bodies, each with its own path.
fn requests(key: &str) -> Vec<String> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\napikey: {key}\r\n\r\n");
    let post = |path: &str, rest: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\napikey: {key}\r\n{rest}");
    vec![
        get("/1"),
        post("/2", "Content-Length: 5\r\n\r\n0\r\n\r\n"),
        post("/3", "Transfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"),
        get("/4"),
        post("/5", "Content-Length: 0\r\n\r\n"),
        post("/6", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("HEAD /7 HTTP/1.1\r\nHost: a\r\napikey: {key}\r\n\r\n"),
        post("/8", &format!("Content-Length: 20000\r\n\r\n{}", "x".repeat(20000))),
        get("/9"),
    ]
}

fn connect(fixture: &Fixture) -> TcpStream {
    let stream = TcpStream::connect(fixture.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Reads one response, which has no body if the request is a HEAD.
fn read_response_to(stream: &mut TcpStream, request: &str) -> String {
    if !request.starts_with("HEAD ") {
        return read_response(stream);
    }
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_are_in_order_however_requests_are_split() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let requests = requests(&fixture.key);
    let all = requests.concat();
    for piece in [all.len(), 7, 4096, 61] {
        let mut stream = connect(&fixture);
        let mut writer = stream.try_clone().unwrap();
        let bytes = all.clone();
        let writing = std::thread::spawn(move || {
            bytes.as_bytes().chunks(piece).for_each(|bytes| writer.write_all(bytes).unwrap());
        });
        for request in &requests {
            let got = read_response_to(&mut stream, request).to_ascii_lowercase();
            assert_eq!(status_of(&got), 200, "{request:.30} in pieces of {piece}: {got}");
            assert!(got.contains("\r\nconnection: keep-alive\r\n"), "{got}");
        }
        writing.join().unwrap();
        let seen = fixture.origin.take_requests();
        let paths: Vec<&str> = seen.iter().map(|seen| seen.request_line().split(' ').nth(1).unwrap()).collect();
        assert_eq!(paths, ["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"], "pieces of {piece}");
        let lengths: Vec<usize> = seen.iter().map(|seen| seen.body.len()).collect();
        assert_eq!(lengths, [0, 5, 3, 0, 0, 0, 0, 20000, 0], "pieces of {piece}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_waits_for_the_one_in_progress() {
    let gate = Gate::default();
    let fixture = Fixture::start_with_origin(MockServer::with_gate(&gate), |options| options).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\napikey: {}\r\n\r\n", fixture.key);
    let mut stream = connect(&fixture);
    stream.write_all(get("/1").as_bytes()).unwrap();
    assert_eq!(fixture.origin.await_count(1, DEADLINE), 1);
    stream.write_all(get("/2").as_bytes()).unwrap();
    stream.write_all(get("/3").as_bytes()).unwrap();
    gate.open();
    for _ in 0..3 {
        assert_eq!(status_of(&read_response(&mut stream)), 200);
    }
    let lines: Vec<String> = fixture.origin.take_requests().iter().map(|seen| seen.request_line().to_owned()).collect();
    assert_eq!(lines, ["GET /1 HTTP/1.1", "GET /2 HTTP/1.1", "GET /3 HTTP/1.1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_request_is_rejected_when_pipelined_too() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let first = format!("POST /first HTTP/1.1\r\nHost: a\r\napikey: {}\r\n", fixture.key);
    let chunked = format!("{first}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let with_length = format!("{first}Content-Length: 3\r\n\r\nabc");
    let last = format!("GET /last HTTP/1.1\r\nHost: a\r\napikey: {}\r\n\r\n", fixture.key);
    let mut wrong = Vec::new();
    for (text, status) in raw_requests::rejected_requests() {
        for first in [&chunked, &with_length] {
            let refused = text.replace("KEY", &fixture.key);
            let mut stream = connect(&fixture);
            // The gateway may close the connection before it has read all.
            let _ = stream.write_all(format!("{first}{refused}{last}").as_bytes());
            let statuses: Vec<u16> = (0..3).map(|_| status_of(&read_response(&mut stream))).collect();
            let mut seen: Vec<String> =
                fixture.origin.take_requests().iter().map(|seen| seen.request_line().to_owned()).collect();
            let is_last_answered = statuses[2] == 200 && seen.pop().is_some_and(|line| line == "GET /last HTTP/1.1");
            let is_ended = statuses[2] == 0;
            if statuses[..2] != [200, status] || seen != ["POST /first HTTP/1.1"] || !(is_ended || is_last_answered) {
                let shown: String = text.chars().take(100).collect();
                wrong.push(format!("{shown:?}: {statuses:?} instead of {status}, then {seen:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_authorized_by_its_own_key() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let get = |path: &str, key: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{key}\r\n");
    let good = format!("apikey: {}\r\n", fixture.key);
    let all = [get("/1", &good), get("/2", ""), get("/3", "apikey: wrong-key\r\n"), get("/open", ""), get("/5", &good)];
    let mut stream = connect(&fixture);
    stream.write_all(all.concat().as_bytes()).unwrap();
    let statuses: Vec<u16> = all.iter().map(|_| status_of(&read_response(&mut stream))).collect();
    assert_eq!(statuses, [200, 401, 401, 200, 200]);
    let seen = fixture.origin.take_requests();
    let ids: Vec<(&str, usize)> =
        seen.iter().map(|seen| (seen.request_line(), seen.header("x-gatepost-key-id").len())).collect();
    assert_eq!(ids, [("GET /1 HTTP/1.1", 1), ("GET /open HTTP/1.1", 0), ("GET /5 HTTP/1.1", 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_after_connection_close_is_not_processed() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let get =
        |path: &str, rest: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\napikey: {}\r\n{rest}\r\n", fixture.key);
    let mut stream = connect(&fixture);
    stream.write_all([get("/1", "Connection: close\r\n"), get("/2", "")].concat().as_bytes()).unwrap();
    let first = read_response(&mut stream).to_ascii_lowercase();
    assert!(first.contains("\r\nconnection: close\r\n"), "{first}");
    assert_eq!(read_response(&mut stream), "");
    assert_eq!(fixture.origin.take_requests().len(), 1);
}
