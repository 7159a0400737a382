//! WebSockets: they live as long as one side sends, whatever their length and the timeouts of requests.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use gatepost_gateway::{GatewayLimits, GatewayOptions, UpstreamOptions};
use gatepost_test_support::{AfterReply, MockServer, Reply};

use crate::fixture::{Fixture, read_response};
use crate::raw_requests::status_of;

/// Limit of a client for bytes.
const DEADLINE: Duration = Duration::from_secs(20);
/// Timeouts of requests and responses.
const TIMEOUT: Duration = Duration::from_millis(300);
/// Much longer than that, also on a loaded machine.
const IDLE: Duration = Duration::from_secs(2);

const HANDSHAKE: &str = "GET /open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Starts a gateway whose upstream does this with the first connection, and never responds on others.
async fn fixture(limits: GatewayLimits, first: Reply) -> Fixture {
    let mut first = Some(first);
    let never =
        || Reply::raw("", AfterReply::HandOver(Arc::new(|mut stream| drop(stream.read_to_end(&mut Vec::new())))));
    let origin = MockServer::with_script(move |_| first.take().unwrap_or_else(never));
    Fixture::start_with_origin(origin, |options| GatewayOptions { limits, ..options }).await
}

fn limits(websocket_idle: Duration) -> GatewayLimits {
    let (upstream_timeout, body_timeout, max_body_bytes) = (TIMEOUT, TIMEOUT, 10);
    GatewayLimits { upstream_timeout, body_timeout, max_body_bytes, websocket_idle, ..GatewayLimits::default() }
}

fn connect(fixture: &Fixture) -> TcpStream {
    let stream = TcpStream::connect(fixture.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn open(fixture: &Fixture) -> TcpStream {
    let mut stream = connect(fixture);
    stream.write_all(HANDSHAKE.as_bytes()).unwrap();
    let response = read_response(&mut stream).to_ascii_lowercase();
    assert_eq!(status_of(&response), 101, "{response}");
    assert!(
        response.contains("\r\nconnection: upgrade\r\n") && response.contains("\r\nupgrade: websocket\r\n"),
        "{response}"
    );
    stream
}

/// Waits for the timeout of a request, by one that gets no response.
fn wait_for_request_timeout(fixture: &Fixture) {
    let response = fixture.send_until_closed(b"GET /open HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(status_of(&response), 504, "{response}");
}

fn echo() -> Reply {
    Reply::raw(
        SWITCH,
        AfterReply::HandOver(Arc::new(|stream: TcpStream| {
            let mut writer = stream.try_clone().unwrap();
            let _ = std::io::copy(&mut &stream, &mut writer);
        })),
    )
}

fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_survives_request_timeouts_and_the_body_limit() {
    let fixture = fixture(limits(DEADLINE), echo()).await;
    let mut stream = open(&fixture);
    for round in 0..3_u8 {
        for _ in 0..3 {
            wait_for_request_timeout(&fixture);
        }
        let bytes = vec![round; 1000];
        stream.write_all(&bytes).unwrap();
        assert_eq!(read(&mut stream, bytes.len()), bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_in_one_direction_keeps_it_alive() {
    let rounds = 2 * IDLE.as_millis() / TIMEOUT.as_millis();
    let (push, pushed) = mpsc::sync_channel::<()>(1);
    let pushed = Mutex::new(pushed);
    let server = move |mut stream: TcpStream| {
        while pushed.lock().unwrap().recv().is_ok() {
            stream.write_all(b"x").unwrap();
        }
    };
    let from_server = fixture(limits(IDLE), Reply::raw(SWITCH, AfterReply::HandOver(Arc::new(server)))).await;
    let mut stream = open(&from_server);
    for _ in 0..rounds {
        wait_for_request_timeout(&from_server);
        push.send(()).unwrap();
        assert_eq!(read(&mut stream, 1), b"x");
    }

    let (sender, received) = mpsc::sync_channel(1);
    let sender = Mutex::new(sender);
    let server = move |stream: TcpStream| {
        BufReader::new(stream)
            .bytes()
            .map_while(Result::ok)
            .for_each(|byte| sender.lock().unwrap().send(byte).unwrap());
    };
    let from_client = fixture(limits(IDLE), Reply::raw(SWITCH, AfterReply::HandOver(Arc::new(server)))).await;
    let mut stream = open(&from_client);
    for _ in 0..rounds {
        wait_for_request_timeout(&from_client);
        stream.write_all(b"y").unwrap();
        assert_eq!(received.recv_timeout(DEADLINE), Ok(b'y'));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_websocket_is_closed() {
    let fixture = fixture(limits(TIMEOUT * 3), echo()).await;
    let mut stream = open(&fixture);
    stream.write_all(b"x").unwrap();
    assert_eq!(read(&mut stream, 1), b"x");
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_sent_with_the_header_arrives() {
    let late = Reply { raw: Some(format!("{SWITCH}early").into_bytes()), ..echo() };
    let fixture = fixture(GatewayLimits::default(), late).await;
    let mut stream = connect(&fixture);
    stream.write_all(format!("{HANDSHAKE}hello").as_bytes()).unwrap();
    assert_eq!(status_of(&read_response(&mut stream)), 101);
    assert_eq!(read(&mut stream, 10), b"earlyhello");
}

/// A server that switches before it has read the request, and echoes what follows.
fn early_switch_server() -> SocketAddr {
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
        let _ = std::io::copy(&mut stream, &mut writer);
    };
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| drop(std::thread::spawn(move || serve(stream))))
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switch_before_the_request_is_read_opens_it() {
    let servers = vec![early_switch_server().to_string()];
    let upstreams = vec![UpstreamOptions::plain("app", servers)];
    let fixture = Fixture::start_with(|options| GatewayOptions { upstreams, ..options }).await;
    for _ in 0..30 {
        let mut stream = open(&fixture);
        stream.write_all(b"hello").unwrap();
        assert_eq!(read(&mut stream, 5), b"hello");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_has_the_time_outs_of_a_request() {
    let never = Reply::raw("", AfterReply::HandOver(Arc::new(|mut stream| drop(stream.read_to_end(&mut Vec::new())))));
    let unanswered = fixture(limits(DEADLINE * 100), never).await;
    let mut stream = connect(&unanswered);
    stream.write_all(HANDSHAKE.as_bytes()).unwrap();
    assert_eq!(status_of(&read_response(&mut stream)), 504);

    let stall = |mut stream: TcpStream| drop(stream.read_to_end(&mut Vec::new()));
    let refusal = Reply::raw("HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhel", AfterReply::HandOver(Arc::new(stall)));
    let refused = fixture(limits(DEADLINE * 100), refusal).await;
    let mut stream = connect(&refused);
    stream.write_all(HANDSHAKE.as_bytes()).unwrap();
    let mut response = Vec::new();
    // The body so far, and then the end.
    let _ = stream.read_to_end(&mut response);
    let response = String::from_utf8(response).unwrap();
    assert!(status_of(&response) == 403 && response.ends_with("\r\n\r\nhel"), "{response}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_with_a_body_is_not_upgraded() {
    let fixture = fixture(limits(DEADLINE), Reply { status: 200, ..Reply::default() }).await;
    let request = HANDSHAKE.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc");
    let mut stream = connect(&fixture);
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(status_of(&read_response(&mut stream)), 200);
    let seen = fixture.origin.take_requests();
    assert_eq!((seen[0].header("upgrade").len(), seen[0].header("connection").len()), (0, 0), "{}", seen[0].head);
    assert_eq!(seen[0].body, b"abc");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_handshake_is_a_plain_request() {
    let fixture = fixture(limits(DEADLINE), Reply { status: 200, ..Reply::default() }).await;
    let mut stream = connect(&fixture);
    stream.write_all(HANDSHAKE.as_bytes()).unwrap();
    let response = read_response(&mut stream).to_ascii_lowercase();
    assert!(status_of(&response) == 200 && response.ends_with("\r\n\r\norigin"), "{response}");
    assert!(response.contains("\r\nconnection: keep-alive\r\n"), "{response}");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(status_of(&read_response(&mut stream)), 401);
}
