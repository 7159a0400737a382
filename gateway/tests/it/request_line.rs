//! Empty lines before a request line.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gatepost_gateway::GatewayLimits;
use tokio::time::Instant;

use crate::fixture::{Fixture, read_response};
use crate::raw_requests::status_of;

const HEADER_TIMEOUT: Duration = Duration::from_millis(300);
/// Limit of a client for a response.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) fn connect(fixture: &Fixture) -> TcpStream {
    let stream = TcpStream::connect(fixture.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

pub(crate) fn get(path: &str, fixture: &Fixture) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", fixture.key)
}

pub(crate) fn seen(fixture: &Fixture) -> Vec<String> {
    fixture.origin.take_requests().iter().map(|seen| seen.request_line().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_empty_line_before_a_request_is_ignored_and_nothing_else_is() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let post = format!("POST /1 HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Length: 3\r\n\r\nabc", fixture.key);
    let second = get("/2", &fixture);
    for (before, status) in [
        ("", 200),
        ("\r\n", 200),
        ("\n", 400),
        ("\r", 400),
        ("\r\n\r\n", 400),
        ("\r\n\n", 400),
        ("\r\n ", 400),
        (" ", 400),
    ] {
        for first in [post.clone(), get("/1", &fixture), format!("\r\n{post}"), String::new()] {
            for piece in [usize::MAX, 1] {
                let mut stream = connect(&fixture);
                let text = format!("{first}{before}{second}");
                // The gateway may close the connection before it has read all.
                let _ = text.as_bytes().chunks(piece.min(text.len())).try_for_each(|bytes| stream.write_all(bytes));
                let mut expected = vec![status];
                if !first.is_empty() {
                    expected.insert(0, 200);
                }
                let statuses: Vec<u16> = expected.iter().map(|_| status_of(&read_response(&mut stream))).collect();
                assert_eq!(statuses, expected, "{text:?} in pieces of {piece}");
                let lines = seen(&fixture);
                assert_eq!(
                    lines.len(),
                    expected.iter().filter(|status| **status == 200).count(),
                    "{text:?}: {lines:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_line_after_a_request_starts_no_header_timeout() {
    let limits = GatewayLimits { header_timeout: HEADER_TIMEOUT, ..GatewayLimits::default() };
    let fixture = Fixture::start(limits, &[]).await;
    let mut stream = connect(&fixture);
    stream.write_all(format!("{}\r\n", get("/1", &fixture)).as_bytes()).unwrap();
    assert_eq!(status_of(&read_response(&mut stream)), 200);
    // Nothing happens within the deadline of a header.
    stream.set_read_timeout(Some(HEADER_TIMEOUT * 3)).unwrap();
    assert!(stream.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(get("/2", &fixture).as_bytes()).unwrap();
    assert_eq!(status_of(&read_response(&mut stream)), 200);
    assert_eq!(seen(&fixture), ["GET /1 HTTP/1.1", "GET /2 HTTP/1.1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_lines_do_not_extend_the_header_timeout() {
    let limits = GatewayLimits { header_timeout: HEADER_TIMEOUT, ..GatewayLimits::default() };
    let fixture = Fixture::start(limits, &[]).await;
    for first in [String::new(), get("/1", &fixture)] {
        for lines in ["\r\n\r\n", "\r\n\n", "\n", "\r\r"] {
            let mut stream = connect(&fixture);
            stream.write_all(format!("{first}{lines}").as_bytes()).unwrap();
            let (began, mut response) = (Instant::now(), Vec::new());
            stream.read_to_end(&mut response).expect("it is closed");
            assert!(began.elapsed() < DEADLINE, "{lines:?}");
            assert_eq!(status_of(&String::from_utf8_lossy(&response)), if first.is_empty() { 0 } else { 200 });
        }
    }
    // Line ends that keep coming do not move the deadline.
    let mut stream = connect(&fixture);
    let began = Instant::now();
    while stream.write_all(b"\r\n").is_ok() {
        std::thread::sleep(Duration::from_millis(20));
        assert!(began.elapsed() < DEADLINE, "it is never closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_lines_add_to_the_header_size_and_are_scanned_once() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    let mut stream = connect(&fixture);
    let began = Instant::now();
    // The gateway closes the connection before it has read all.
    let _ = stream.write_all("\r\n".repeat(100_000).as_bytes());
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    assert_eq!(String::from_utf8_lossy(&response), "");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
