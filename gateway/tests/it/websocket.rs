//! WebSockets: as long as one side speaks they live, whatever their length and whatever the time-outs of requests.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use gatepost_gateway::{GatewayOptions, Limits, UpstreamOptions};
use gatepost_test_support::{Origin, Reply, Then};

use crate::fixture::{Fixture, read_answer};
use crate::raw::status_of;

/// How long a client waits for bytes.
const DEADLINE: Duration = Duration::from_secs(20);
/// The time-outs of requests and responses.
const TIMEOUT: Duration = Duration::from_millis(300);
/// Much longer than that, also on a loaded machine.
const IDLE: Duration = Duration::from_secs(2);

const HANDSHAKE: &str = "GET /open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A gateway whose upstream does so with the first connection, and never answers on others.
async fn fixture(limits: Limits, first: Reply) -> Fixture {
    let mut first = Some(first);
    let never = || Reply::raw("", Then::HandOver(Arc::new(|mut stream| drop(stream.read_to_end(&mut Vec::new())))));
    let origin = Origin::replying(move |_| first.take().unwrap_or_else(never));
    Fixture::in_front_of(origin, |options| GatewayOptions { limits, ..options }).await
}

fn limits(websocket_idle: Duration) -> Limits {
    let (upstream_timeout, body_timeout, max_body_bytes) = (TIMEOUT, TIMEOUT, 10);
    Limits { upstream_timeout, body_timeout, max_body_bytes, websocket_idle, ..Limits::default() }
}

fn connect(fixture: &Fixture) -> TcpStream {
    let stream = TcpStream::connect(fixture.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Opens the WebSocket.
fn open(fixture: &Fixture) -> TcpStream {
    let mut stream = connect(fixture);
    stream.write_all(HANDSHAKE.as_bytes()).unwrap();
    let answer = read_answer(&mut stream).to_ascii_lowercase();
    assert_eq!(status_of(&answer), 101, "{answer}");
    assert!(
        answer.contains("\r\nconnection: upgrade\r\n") && answer.contains("\r\nupgrade: websocket\r\n"),
        "{answer}"
    );
    stream
}

/// Lets the time-out of a request pass, by one that is never answered.
fn let_a_timeout_pass(fixture: &Fixture) {
    let answer = fixture.exchange(b"GET /open HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(status_of(&answer), 504, "{answer}");
}

fn echo() -> Reply {
    Reply::raw(
        SWITCH,
        Then::HandOver(Arc::new(|stream: TcpStream| {
            let mut writer = stream.try_clone().unwrap();
            drop(std::io::copy(&mut &stream, &mut writer));
        })),
    )
}

fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_lives_through_silence_and_may_carry_more_than_a_body() {
    let fixture = fixture(limits(DEADLINE), echo()).await;
    let mut stream = open(&fixture);
    for round in 0..3_u8 {
        for _ in 0..3 {
            let_a_timeout_pass(&fixture);
        }
        let bytes = vec![round; 1000];
        stream.write_all(&bytes).unwrap();
        assert_eq!(read(&mut stream, bytes.len()), bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_side_that_speaks_keeps_it_alive() {
    let rounds = 2 * IDLE.as_millis() / TIMEOUT.as_millis();
    let (push, pushed) = mpsc::sync_channel::<()>(1);
    let pushed = Mutex::new(pushed);
    let server = move |mut stream: TcpStream| {
        while pushed.lock().unwrap().recv().is_ok() {
            stream.write_all(b"x").unwrap();
        }
    };
    let from_server = fixture(limits(IDLE), Reply::raw(SWITCH, Then::HandOver(Arc::new(server)))).await;
    let mut stream = open(&from_server);
    for _ in 0..rounds {
        let_a_timeout_pass(&from_server);
        push.send(()).unwrap();
        assert_eq!(read(&mut stream, 1), b"x");
    }

    let (tell, told) = mpsc::sync_channel(1);
    let tell = Mutex::new(tell);
    let server = move |stream: TcpStream| {
        BufReader::new(stream).bytes().map_while(Result::ok).for_each(|byte| tell.lock().unwrap().send(byte).unwrap());
    };
    let from_client = fixture(limits(IDLE), Reply::raw(SWITCH, Then::HandOver(Arc::new(server)))).await;
    let mut stream = open(&from_client);
    for _ in 0..rounds {
        let_a_timeout_pass(&from_client);
        stream.write_all(b"y").unwrap();
        assert_eq!(told.recv_timeout(DEADLINE), Ok(b'y'));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_of_both_sides_ends_it() {
    let fixture = fixture(limits(TIMEOUT * 3), echo()).await;
    let mut stream = open(&fixture);
    stream.write_all(b"x").unwrap();
    assert_eq!(read(&mut stream, 1), b"x");
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_either_side_sends_with_its_header_arrives() {
    let late = Reply { raw: Some(format!("{SWITCH}early").into_bytes()), ..echo() };
    let fixture = fixture(Limits::default(), late).await;
    let mut stream = connect(&fixture);
    stream.write_all(format!("{HANDSHAKE}hello").as_bytes()).unwrap();
    assert_eq!(status_of(&read_answer(&mut stream)), 101);
    assert_eq!(read(&mut stream, 10), b"earlyhello");
}

/// A server that switches before it has read the request, and sends back what follows it.
fn hasty_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |mut stream: TcpStream| {
        stream.write_all(SWITCH.as_bytes()).unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let mut writer = stream.try_clone().unwrap();
        drop(std::io::copy(&mut stream, &mut writer));
    };
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| drop(std::thread::spawn(move || serve(stream))))
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_is_quicker_than_the_request_opens_it_too() {
    let servers = vec![hasty_server().to_string()];
    let upstreams = vec![UpstreamOptions { name: "app".to_owned(), servers }];
    let fixture = Fixture::configured(|options| GatewayOptions { upstreams, ..options }).await;
    for _ in 0..30 {
        let mut stream = open(&fixture);
        stream.write_all(b"hello").unwrap();
        assert_eq!(read(&mut stream, 5), b"hello");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_has_the_time_outs_of_a_request() {
    let never = Reply::raw("", Then::HandOver(Arc::new(|mut stream| drop(stream.read_to_end(&mut Vec::new())))));
    let unanswered = fixture(limits(DEADLINE * 100), never).await;
    let mut stream = connect(&unanswered);
    stream.write_all(HANDSHAKE.as_bytes()).unwrap();
    assert_eq!(status_of(&read_answer(&mut stream)), 504);

    let stall = |mut stream: TcpStream| drop(stream.read_to_end(&mut Vec::new()));
    let refusal = Reply::raw("HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhel", Then::HandOver(Arc::new(stall)));
    let refused = fixture(limits(DEADLINE * 100), refusal).await;
    let mut stream = connect(&refused);
    stream.write_all(HANDSHAKE.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // What was there of the body, and then the end.
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8(answer).unwrap();
    assert!(status_of(&answer) == 403 && answer.ends_with("\r\n\r\nhel"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_a_body_is_none_for_a_websocket() {
    let fixture = fixture(limits(DEADLINE), Reply { status: 200, ..Reply::default() }).await;
    let request = HANDSHAKE.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc");
    let mut stream = connect(&fixture);
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(status_of(&read_answer(&mut stream)), 200);
    let seen = fixture.origin.take();
    assert_eq!((seen[0].header("upgrade").len(), seen[0].header("connection").len()), (0, 0), "{}", seen[0].head);
    assert_eq!(seen[0].body, b"abc");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_is_refused_is_a_plain_request() {
    let fixture = fixture(limits(DEADLINE), Reply { status: 200, ..Reply::default() }).await;
    let mut stream = connect(&fixture);
    stream.write_all(HANDSHAKE.as_bytes()).unwrap();
    let answer = read_answer(&mut stream).to_ascii_lowercase();
    assert!(status_of(&answer) == 200 && answer.ends_with("\r\n\r\norigin"), "{answer}");
    assert!(answer.contains("\r\nconnection: keep-alive\r\n"), "{answer}");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(status_of(&read_answer(&mut stream)), 401);
}
