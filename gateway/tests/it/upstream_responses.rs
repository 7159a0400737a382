//! Responses of upstreams: a malformed one never reaches a client, the others do in the client's version of HTTP.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};

use gatepost_gateway::GatewayOptions;
use gatepost_test_support::{AfterReply, MockServer, Reply};

use crate::fixture::{Fixture, read_response};
use crate::raw_requests::status_of;

/// A body that must not reach the client if the response is rejected.
const BODY: &str = "secret";

/// A gateway in front of an upstream that responds with given bytes.
struct RawUpstream {
    fixture: Fixture,
    next: Arc<Mutex<Option<Reply>>>,
}

impl RawUpstream {
    async fn start() -> Self {
        let next = Arc::<Mutex<Option<Reply>>>::default();
        let script = Arc::clone(&next);
        let origin = MockServer::with_script(move |_| {
            let plain = Reply { status: 200, ..Reply::default() };
            script.lock().unwrap().take().unwrap_or(plain)
        });
        Self { fixture: Fixture::start_with_origin(origin, |options: GatewayOptions| options).await, next }
    }

    /// Returns what a client gets for a request while the upstream responds so. The connection ends with it.
    fn exchange(&self, request: &str, response: &str, then: AfterReply) -> String {
        *self.next.lock().unwrap() = Some(Reply::raw(response, then));
        let request = request.replace("KEY", &self.fixture.key);
        self.fixture.send_until_closed(request.as_bytes())
    }

    /// Returns the connections on which the upstream saw the last request and sees another one.
    fn connections(&self) -> (Option<usize>, Option<usize>) {
        let last = || self.fixture.origin.take_requests().pop().map(|seen| seen.connection);
        let before = last();
        *self.next.lock().unwrap() = None;
        assert_eq!(status_of(&self.fixture.send_until_closed(GET.replace("KEY", &self.fixture.key).as_bytes())), 200);
        (before, last())
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\napikey: KEY\r\nConnection: close\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\napikey: KEY\r\nConnection: close\r\n\r\n";
const GET_HTTP_1_0: &str = "GET / HTTP/1.0\r\nHost: a\r\napikey: KEY\r\n\r\n";
const HEAD_HTTP_1_0: &str = "HEAD / HTTP/1.0\r\nHost: a\r\napikey: KEY\r\n\r\n";
const WEBSOCKET: &str = "GET / HTTP/1.1\r\nHost: a\r\napikey: KEY\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A response with these fields and the forbidden body, also in chunks.
fn fields(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{BODY}")
}

fn chunked(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n6\r\n{BODY}\r\n0\r\n\r\n")
}

/// Returns the header of a response without what differs each time, in lower case, and its body.
fn stable_parts(response: &str) -> (String, &str) {
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((response, ""));
    let is_stable = |line: &&str| !line.starts_with("date: ") && !line.starts_with("x-request-id: ");
    let head = head.to_ascii_lowercase();
    let mut lines: Vec<&str> = head.split("\r\n").filter(is_stable).collect();
    lines[1..].sort_unstable();
    (lines.join("\n"), body)
}

fn malformed_lengths() -> Vec<String> {
    let values =
        ["+6", "-6", "6 6", "0x6", "", "6,", ",6", "6;", "6.0", "6e0", "\u{ff16}", "99999999999999999999", "6, 7"];
    let single = values.iter().map(|value| fields(&format!("Content-Length: {value}\r\n")));
    let several = [
        "Content-Length: 6\r\nContent-Length: 7\r\n",
        "Content-Length: 6\r\nX-A: b\r\ncontent-length: 5\r\n",
        "Content-Length: 6, 6\r\nContent-Length: 5\r\n",
        "Content-Length: 6\r\nContent-Length: x\r\n",
        "Content-Length: 6\r\nContent-Length:\r\n",
    ];
    single.chain(several.iter().map(|lines| fields(lines))).collect()
}

fn malformed_encodings() -> Vec<String> {
    let values = [
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity",
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
        "",
        "chunked,",
        ",chunked",
        "chunked\u{a0}",
    ];
    let single = values.iter().map(|value| chunked(&format!("Transfer-Encoding: {value}\r\n")));
    let several = [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nX-A: b\r\ntransfer-encoding: identity\r\n",
        "Content-Length: 16\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 16\r\n",
        "Content-Length: x\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length : 16\r\nTransfer-Encoding : chunked\r\n",
        "Content-Length: 6\r\nTransfer-Encoding: identity\r\n",
        "content-LENGTH: 0\r\nTRANSFER-encoding: chunked\r\n",
    ];
    single.chain(several.iter().map(|lines| chunked(lines))).collect()
}

fn malformed_lines() -> Vec<String> {
    vec![
        chunked("Transfer-Encoding:\r\n chunked\r\n"),
        fields("X-A: b\r\n c\r\nContent-Length: 6\r\n"),
        fields("X-A: b\r\n\tContent-Length: 6\r\n"),
        fields(" X-A: b\r\nContent-Length: 6\r\n"),
        fields("X-A: a\0b\r\nContent-Length: 6\r\n"),
        fields("X-A: a\rContent-Length: 7\r\nContent-Length: 6\r\n"),
        fields("X-A\r\nContent-Length: 6\r\n"),
        fields(": b\r\nContent-Length: 6\r\n"),
        fields("X A: b\r\nContent-Length: 6\r\n"),
        chunked("Transfer-Encoding: chunked\r\n").replace("1.1", "1.0"),
        fields("Content-Length: 6\r\n").replace("HTTP/1.1", "HTTP/2.0"),
        fields("Content-Length: 6\r\n").replace("HTTP/1.1", "HTTP/1.2"),
        fields("Content-Length: 6\r\n").replace("HTTP/1.1", "http/1.1"),
        fields("Content-Length: 6\r\n").replace("200", "20"),
        fields("Content-Length: 6\r\n").replace("200", "2000"),
        fields("Content-Length: 6\r\n").replace("200", "099"),
        fields("Content-Length: 6\r\n").replace("200", "2x0"),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nsecret".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 6\r\n\r\nsecret".to_owned(),
        "secret".to_owned(),
        "secret\r\n\r\n".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_response_is_a_502_without_its_body_and_closes_the_upstream_connection() {
    let raw = RawUpstream::start().await;
    let mut wrong = Vec::new();
    for response in [malformed_lengths(), malformed_encodings(), malformed_lines()].concat() {
        let then = if response.contains("\r\n\r\n") { AfterReply::KeepAlive } else { AfterReply::Close };
        for request in [GET, HEAD, GET_HTTP_1_0] {
            let got = raw.exchange(request, &response, then.clone());
            let (last, next) = raw.connections();
            let is_clean = status_of(&got) == 502 && !got.contains(BODY) && got.matches("HTTP/1.").count() == 1;
            if !is_clean || last.is_none() || last == next {
                wrong.push(format!("{response:?} to {:?}: {got:?}, then on {last:?} and {next:?}", &request[..16]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unrequested_protocol_switch_is_a_502() {
    let raw = RawUpstream::start().await;
    for response in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nsecret",
        "HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nsecret",
    ] {
        let got = raw.exchange(WEBSOCKET, response, AfterReply::KeepAlive);
        assert_eq!((status_of(&got), got.contains(BODY)), (502, false), "{response}: {got}");
        let (last, next) = raw.connections();
        assert_ne!(last, next, "{response}");
    }
}

/// What a client gets of a response.
struct ResponseCase {
    request: &'static str,
    response: &'static str,
    then: AfterReply,
    head: &'static str,
    body: &'static str,
}

fn case(request: &'static str, response: &'static str, head: &'static str, body: &'static str) -> ResponseCase {
    ResponseCase { request, response, then: AfterReply::KeepAlive, head, body }
}

/// A response that ends with its connection.
fn closing_case(request: &'static str, response: &'static str, head: &'static str, body: &'static str) -> ResponseCase {
    ResponseCase { request, response, then: AfterReply::Close, head, body }
}

const CHUNKS: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n";

fn valid_responses() -> Vec<ResponseCase> {
    let with_length = "http/1.1 200 ok\nconnection: close\ncontent-length: 5";
    let in_chunks = "http/1.1 200 ok\nconnection: close\ntransfer-encoding: chunked";
    let until_closed = "http/1.1 200 ok\nconnection: close";
    vec![
        case(GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", with_length, "hello"),
        case(GET, "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", with_length, "hello"),
        case(GET, "HTTP/1.1 200 OK\r\nContent-Length: 5,05 , 5\r\n\r\nhello", with_length, "hello"),
        case(GET, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", with_length, "hello"),
        closing_case(GET, "HTTP/1.0 200 OK\r\n\r\nhello", in_chunks, "5\r\nhello\r\n0\r\n\r\n"),
        closing_case(GET, "HTTP/1.1 200 OK\r\n\r\nhello", in_chunks, "5\r\nhello\r\n0\r\n\r\n"),
        case(GET, CHUNKS, in_chunks, "5\r\nabcde\r\n0\r\n\r\n"),
        case(GET_HTTP_1_0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", with_length, "hello"),
        closing_case(GET_HTTP_1_0, "HTTP/1.1 200 OK\r\n\r\nhello", until_closed, "hello"),
        closing_case(GET_HTTP_1_0, "HTTP/1.0 200 OK\r\n\r\nhello", until_closed, "hello"),
        case(GET_HTTP_1_0, CHUNKS, until_closed, "abcde"),
        case(HEAD_HTTP_1_0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", until_closed, ""),
        case(HEAD_HTTP_1_0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", with_length, ""),
        case(HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", with_length, ""),
        case(HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", with_length, ""),
        case(HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", in_chunks, ""),
        case(HEAD, "HTTP/1.1 200 OK\r\n\r\n", until_closed, ""),
        // Longer than its length.
        case(GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n", with_length, "hello"),
        case(
            GET_HTTP_1_0,
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            "http/1.1 204 no content\nconnection: close",
            "",
        ),
    ]
}

fn bodiless_responses() -> Vec<ResponseCase> {
    let empty = "http/1.1 204 no content\nconnection: close";
    let same = "http/1.1 304 not modified\nconnection: close\netag: \"a\"";
    let early = "http/1.1 103 early hints\nlink: x";
    let rest = "HTTP/1.1 204 No Content\r\n";
    vec![
        case(GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", empty, ""),
        case(GET, "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nsecret", empty, ""),
        case(GET, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n", empty, ""),
        case(GET_HTTP_1_0, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", empty, ""),
        case(GET, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 6\r\n\r\n", same, ""),
        case(GET, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", same, ""),
        case(
            GET,
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            early,
            rest,
        ),
        case(
            GET,
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            early,
            rest,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_is_rewritten_to_the_clients_version_with_one_framing() {
    let raw = RawUpstream::start().await;
    let mut wrong = Vec::new();
    for case in valid_responses().into_iter().chain(bodiless_responses()) {
        let got = raw.exchange(case.request, case.response, case.then);
        let (head, body) = stable_parts(&got);
        let is_body = if case.body.starts_with("HTTP/") { body.starts_with(case.body) } else { body == case.body };
        if head != case.head || !is_body || got.contains(BODY) {
            wrong.push(format!("{:?} to {:?}: {head:?} {body:?}", case.response, &case.request[..16]));
        }
        // Another request gets its own response.
        assert!(raw.connections().0.is_some(), "{}", case.request);
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hop_by_hop_fields_are_not_forwarded() {
    let raw = RawUpstream::start().await;
    let fields = "Connection: X-Nominated, close, Content-Length\r\nX-Nominated: 1\r\nKeep-Alive: timeout=5\r\n\
                  Proxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: x-t\r\nUpgrade: h2c\r\nX-Kept: 1\r\n";
    let got =
        raw.exchange(GET, &format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 5\r\n\r\nhello"), AfterReply::KeepAlive);
    assert_eq!(
        stable_parts(&got),
        ("http/1.1 200 ok\nconnection: close\ncontent-length: 5\nx-kept: 1".to_owned(), "hello")
    );
    let upgrade =
        "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n";
    let head = "http/1.1 426 upgrade required\nconnection: close\ncontent-length: 0\nupgrade: websocket";
    assert_eq!(stable_parts(&raw.exchange(GET, upgrade, AfterReply::KeepAlive)), (head.to_owned(), ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_without_a_body_keeps_the_connection() {
    let raw = RawUpstream::start().await;
    let mut stream = TcpStream::connect(raw.fixture.address).unwrap();
    for (request, response) in [
        (HEAD, "HTTP/1.1 200 OK\r\n\r\n"),
        (HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n"),
        (HEAD_HTTP_1_0, "HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        *raw.next.lock().unwrap() = Some(Reply::raw(response, AfterReply::KeepAlive));
        let request = request.replace("KEY", &raw.fixture.key).replace("Connection: close\r\n", "");
        let request = request.replace("HTTP/1.0\r\n", "HTTP/1.0\r\nConnection: keep-alive\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let got = read_response(&mut stream).to_ascii_lowercase();
        assert!(got.contains("\r\nconnection: keep-alive\r\n"), "{response:?} to {:?}: {got}", &request[..16]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_after_an_interim_response_is_still_a_502() {
    let raw = RawUpstream::start().await;
    let early = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    for rest in ["HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nsecret", "secret\r\n\r\n", ""] {
        let (resume, resumed) = mpsc::sync_channel::<()>(1);
        let resumed = Mutex::new(resumed);
        let finish = move |mut stream: TcpStream| {
            resumed.lock().unwrap().recv().unwrap();
            stream.write_all(rest.as_bytes()).unwrap();
        };
        *raw.next.lock().unwrap() = Some(Reply::raw(early, AfterReply::HandOver(Arc::new(finish))));
        let mut stream = TcpStream::connect(raw.fixture.address).unwrap();
        stream.write_all(GET.replace("KEY", &raw.fixture.key).as_bytes()).unwrap();
        assert_eq!(status_of(&read_response(&mut stream)), 103);
        resume.send(()).unwrap();
        let problem = read_response(&mut stream);
        assert_eq!((status_of(&problem), problem.contains(BODY)), (502, false), "{problem}");
        assert!(problem.contains("\"code\":\"upstream-invalid\""), "{problem}");
        assert_eq!(read_response(&mut stream), "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncated_body_is_not_completed() {
    let raw = RawUpstream::start().await;
    for (response, body) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "5\r\nhello\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n", "5\r\nhello\r\n"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nsecretsecret\r\n0\r\n\r\n",
            "5\r\nhello\r\n",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", "hello"),
    ] {
        let got = raw.exchange(GET, response, AfterReply::Close);
        let got_body = stable_parts(&got).1;
        // The bytes so far may be there, but no end.
        assert!(got_body.len() <= response.len() && !got_body.ends_with("0\r\n\r\n"), "{response:?}: {got}");
        assert!(got_body.is_empty() || got_body.starts_with(body), "{response:?}: {got}");
    }
}
