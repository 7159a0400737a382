//! Answers of upstreams: what is malformed never reaches a client, what reaches it is in the client's version of HTTP.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};

use gatepost_gateway::GatewayOptions;
use gatepost_test_support::{Origin, Reply, Then};

use crate::fixture::{Fixture, read_answer};
use crate::raw::status_of;

/// A body that must not be seen where an answer is refused.
const BODY: &str = "secret";

/// A gateway in front of an upstream that answers with bytes of one's choice.
struct Raw {
    fixture: Fixture,
    next: Arc<Mutex<Option<Reply>>>,
}

impl Raw {
    async fn start() -> Self {
        let next = Arc::<Mutex<Option<Reply>>>::default();
        let script = Arc::clone(&next);
        let origin = Origin::replying(move |_| {
            let plain = Reply { status: 200, ..Reply::default() };
            script.lock().unwrap().take().unwrap_or(plain)
        });
        Self { fixture: Fixture::in_front_of(origin, |options: GatewayOptions| options).await, next }
    }

    /// What a client gets for a request while the upstream answers so. The connection ends with it.
    fn ask(&self, request: &str, answer: &str, then: Then) -> String {
        *self.next.lock().unwrap() = Some(Reply::raw(answer, then));
        let request = request.replace("KEY", &self.fixture.key);
        self.fixture.exchange(request.as_bytes())
    }

    /// On which connections the upstream saw the last request and sees another one.
    fn connections(&self) -> (Option<usize>, Option<usize>) {
        let last = || self.fixture.origin.take().pop().map(|seen| seen.connection);
        let before = last();
        *self.next.lock().unwrap() = None;
        assert_eq!(status_of(&self.fixture.exchange(GET.replace("KEY", &self.fixture.key).as_bytes())), 200);
        (before, last())
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\napikey: KEY\r\nConnection: close\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\napikey: KEY\r\nConnection: close\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\nHost: a\r\napikey: KEY\r\n\r\n";
const OLD_HEAD: &str = "HEAD / HTTP/1.0\r\nHost: a\r\napikey: KEY\r\n\r\n";
const WEBSOCKET: &str = "GET / HTTP/1.1\r\nHost: a\r\napikey: KEY\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// An answer with these fields and the body that must not be seen, also in chunks.
fn fields(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{BODY}")
}

fn chunked(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n6\r\n{BODY}\r\n0\r\n\r\n")
}

/// The header of an answer without what differs each time, in lower case, and its body.
fn parts(answer: &str) -> (String, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let is_stable = |line: &&str| !line.starts_with("date: ") && !line.starts_with("x-request-id: ");
    let head = head.to_ascii_lowercase();
    let mut lines: Vec<&str> = head.split("\r\n").filter(is_stable).collect();
    lines[1..].sort_unstable();
    (lines.join("\n"), body)
}

fn lengths() -> Vec<String> {
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

fn encodings() -> Vec<String> {
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

fn lines() -> Vec<String> {
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
async fn a_malformed_answer_is_a_502_without_its_body_and_the_last_of_its_connection() {
    let raw = Raw::start().await;
    let mut wrong = Vec::new();
    for answer in [lengths(), encodings(), lines()].concat() {
        let then = if answer.contains("\r\n\r\n") { Then::GoOn } else { Then::Close };
        for request in [GET, HEAD, OLD] {
            let got = raw.ask(request, &answer, then.clone());
            let (last, next) = raw.connections();
            let is_clean = status_of(&got) == 502 && !got.contains(BODY) && got.matches("HTTP/1.").count() == 1;
            if !is_clean || last.is_none() || last == next {
                wrong.push(format!("{answer:?} to {:?}: {got:?}, then on {last:?} and {next:?}", &request[..16]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_to_a_protocol_that_was_not_asked_for_is_a_502() {
    let raw = Raw::start().await;
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nsecret",
        "HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nsecret",
    ] {
        let got = raw.ask(WEBSOCKET, answer, Then::GoOn);
        assert_eq!((status_of(&got), got.contains(BODY)), (502, false), "{answer}: {got}");
        let (last, next) = raw.connections();
        assert_ne!(last, next, "{answer}");
    }
}

/// What a client gets of an answer.
struct Passes {
    request: &'static str,
    answer: &'static str,
    then: Then,
    head: &'static str,
    body: &'static str,
}

fn case(request: &'static str, answer: &'static str, head: &'static str, body: &'static str) -> Passes {
    Passes { request, answer, then: Then::GoOn, head, body }
}

/// An answer that ends with its connection.
fn ends(request: &'static str, answer: &'static str, head: &'static str, body: &'static str) -> Passes {
    Passes { request, answer, then: Then::Close, head, body }
}

const CHUNKS: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n";

fn passing() -> Vec<Passes> {
    let with_length = "http/1.1 200 ok\nconnection: close\ncontent-length: 5";
    let in_chunks = "http/1.1 200 ok\nconnection: close\ntransfer-encoding: chunked";
    let until_closed = "http/1.1 200 ok\nconnection: close";
    vec![
        case(GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", with_length, "hello"),
        case(GET, "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", with_length, "hello"),
        case(GET, "HTTP/1.1 200 OK\r\nContent-Length: 5,05 , 5\r\n\r\nhello", with_length, "hello"),
        case(GET, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", with_length, "hello"),
        ends(GET, "HTTP/1.0 200 OK\r\n\r\nhello", in_chunks, "5\r\nhello\r\n0\r\n\r\n"),
        ends(GET, "HTTP/1.1 200 OK\r\n\r\nhello", in_chunks, "5\r\nhello\r\n0\r\n\r\n"),
        case(GET, CHUNKS, in_chunks, "5\r\nabcde\r\n0\r\n\r\n"),
        case(OLD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", with_length, "hello"),
        ends(OLD, "HTTP/1.1 200 OK\r\n\r\nhello", until_closed, "hello"),
        ends(OLD, "HTTP/1.0 200 OK\r\n\r\nhello", until_closed, "hello"),
        case(OLD, CHUNKS, until_closed, "abcde"),
        case(OLD_HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", until_closed, ""),
        case(OLD_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", with_length, ""),
        case(HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", with_length, ""),
        case(HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", with_length, ""),
        case(HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", in_chunks, ""),
        case(HEAD, "HTTP/1.1 200 OK\r\n\r\n", until_closed, ""),
        // An answer that is longer than it says.
        case(GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n", with_length, "hello"),
        case(
            OLD,
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            "http/1.1 204 no content\nconnection: close",
            "",
        ),
    ]
}

fn without_body() -> Vec<Passes> {
    let empty = "http/1.1 204 no content\nconnection: close";
    let same = "http/1.1 304 not modified\nconnection: close\netag: \"a\"";
    let early = "http/1.1 103 early hints\nlink: x";
    let rest = "HTTP/1.1 204 No Content\r\n";
    vec![
        case(GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", empty, ""),
        case(GET, "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nsecret", empty, ""),
        case(GET, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n", empty, ""),
        case(OLD, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", empty, ""),
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
async fn an_answer_leaves_in_the_clients_version_and_with_one_framing() {
    let raw = Raw::start().await;
    let mut wrong = Vec::new();
    for case in passing().into_iter().chain(without_body()) {
        let got = raw.ask(case.request, case.answer, case.then);
        let (head, body) = parts(&got);
        let is_body = if case.body.starts_with("HTTP/") { body.starts_with(case.body) } else { body == case.body };
        if head != case.head || !is_body || got.contains(BODY) {
            wrong.push(format!("{:?} to {:?}: {head:?} {body:?}", case.answer, &case.request[..16]));
        }
        // Another request gets an answer of its own.
        assert!(raw.connections().0.is_some(), "{}", case.request);
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_between_gateway_and_upstream_stays_there() {
    let raw = Raw::start().await;
    let fields = "Connection: X-Nominated, close, Content-Length\r\nX-Nominated: 1\r\nKeep-Alive: timeout=5\r\n\
                  Proxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: x-t\r\nUpgrade: h2c\r\nX-Kept: 1\r\n";
    let got = raw.ask(GET, &format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 5\r\n\r\nhello"), Then::GoOn);
    assert_eq!(parts(&got), ("http/1.1 200 ok\nconnection: close\ncontent-length: 5\nx-kept: 1".to_owned(), "hello"));
    let upgrade =
        "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n";
    let head = "http/1.1 426 upgrade required\nconnection: close\ncontent-length: 0\nupgrade: websocket";
    assert_eq!(parts(&raw.ask(GET, upgrade, Then::GoOn)), (head.to_owned(), ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_a_body_ends_no_connection() {
    let raw = Raw::start().await;
    let mut stream = TcpStream::connect(raw.fixture.address).unwrap();
    for (request, answer) in [
        (HEAD, "HTTP/1.1 200 OK\r\n\r\n"),
        (HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n"),
        (OLD_HEAD, "HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        *raw.next.lock().unwrap() = Some(Reply::raw(answer, Then::GoOn));
        let request = request.replace("KEY", &raw.fixture.key).replace("Connection: close\r\n", "");
        let request = request.replace("HTTP/1.0\r\n", "HTTP/1.0\r\nConnection: keep-alive\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let got = read_answer(&mut stream).to_ascii_lowercase();
        assert!(got.contains("\r\nconnection: keep-alive\r\n"), "{answer:?} to {:?}: {got}", &request[..16]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_after_an_interim_response_is_still_a_502() {
    let raw = Raw::start().await;
    let early = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    for rest in ["HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nsecret", "secret\r\n\r\n", ""] {
        let (go_on, gone_on) = mpsc::sync_channel::<()>(1);
        let gone_on = Mutex::new(gone_on);
        let take_over = move |mut stream: TcpStream| {
            gone_on.lock().unwrap().recv().unwrap();
            stream.write_all(rest.as_bytes()).unwrap();
        };
        *raw.next.lock().unwrap() = Some(Reply::raw(early, Then::HandOver(Arc::new(take_over))));
        let mut stream = TcpStream::connect(raw.fixture.address).unwrap();
        stream.write_all(GET.replace("KEY", &raw.fixture.key).as_bytes()).unwrap();
        assert_eq!(status_of(&read_answer(&mut stream)), 103);
        go_on.send(()).unwrap();
        let problem = read_answer(&mut stream);
        assert_eq!((status_of(&problem), problem.contains(BODY)), (502, false), "{problem}");
        assert!(problem.contains("\"code\":\"upstream-invalid\""), "{problem}");
        assert_eq!(read_answer(&mut stream), "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_not_made_whole() {
    let raw = Raw::start().await;
    for (answer, body) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "5\r\nhello\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n", "5\r\nhello\r\n"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nsecretsecret\r\n0\r\n\r\n",
            "5\r\nhello\r\n",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", "hello"),
    ] {
        let got = raw.ask(GET, answer, Then::Close);
        let got_body = parts(&got).1;
        // As much as came before may be there, and nothing that ends it.
        assert!(got_body.len() <= answer.len() && !got_body.ends_with("0\r\n\r\n"), "{answer:?}: {got}");
        assert!(got_body.is_empty() || got_body.starts_with(body), "{answer:?}: {got}");
    }
}
