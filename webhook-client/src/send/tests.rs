//! Responses of receivers that echo the request. The addresses of the tests are private, so the senders here capture
//! although their guard allows private networks.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gatepost_domain::id::EventId;
use gatepost_domain::key::Secret;
use gatepost_domain::time::Uptime;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;
use zeroize::Zeroizing;

use super::*;
use crate::send_error::ErrorClass;
use crate::sign::SigningSecret;

const KEY: &str = "my/own \"key\" of 2026+é";
const TOKEN: &str = "wht_0123456789abcdefghijklmnopqrstuvwxyz";
const CUSTOM_HEADER: &str = "Bearer h/e\"a\\der%41-value";
const SIGNING_SECRET: &[u8] = b"\x00\xff0123456789abcdefghijklmnopqr\x80\xfe";
const PATH: &str = "/hooks/0123456789abcdefGHIJ";
const QUERY: &str = "token=qu%2Fery+value&key=12";

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(1_764_000_000_000)
    }

    fn uptime(&self) -> Uptime {
        Uptime::default()
    }
}

struct Request {
    head: String,
    body: Vec<u8>,
}

/// Starts a receiver that closes each connection after one response.
fn start_receiver(respond: impl Fn(&Request) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Some(request) = read_request(&stream) else { continue };
            let _ = stream.write_all(&respond(&request));
        }
    });
    address
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head, body })
}

fn response(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Status\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    [format!("{head}{headers}\r\n").as_bytes(), body].concat()
}

fn sender(capture: Capture) -> Sender {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let guard = SsrfGuard::new(PrivateNetworks::Allowed);
    Sender { capture, ..Sender::new(guard, Arc::new(FixedClock)).unwrap() }
}

/// Sends a message with a secret in each place.
async fn send(sender: &Sender, address: SocketAddr) -> SendResult {
    let url = Url::parse(&format!("http://{address}{PATH}?{QUERY}")).unwrap();
    let headers = [("x-auth".to_owned(), Secret::new(CUSTOM_HEADER.to_owned()))];
    let secrets: [SigningSecret; 1] = [SigningSecret::Hmac(Zeroizing::new(SIGNING_SECRET.to_vec()))];
    let (key, token) = (Secret::new(KEY.to_owned()), Secret::new(TOKEN.to_owned()));
    let message = Message {
        url: &url,
        method: "POST",
        headers: &headers,
        id: &EventId::parse("evt_test").unwrap(),
        body: format!("{{\"a\":1,\"v\":\"{}\"}}", KEY.replace('"', "\\\"")).into_bytes(),
        secrets: &secrets,
        static_token: Some(&token),
        confidential: &[&key],
    };
    sender.send(message).await
}

fn json_escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, character| {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' => escaped.push(character),
            '/' | '"' | '\\' => escaped.extend(['\\', character]),
            other => write!(escaped, "\\u{:04x}", u32::from(other)).unwrap(),
        }
        escaped
    })
}

fn encodings(text: &str) -> [String; 5] {
    [
        text.to_owned(),
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
        json_escaped(text),
        STANDARD.encode(text),
        URL_SAFE_NO_PAD.encode(text),
    ]
}

/// Pieces of 8 bytes of every secret in every encoding, at the three alignments of base 64.
fn forbidden_pieces() -> Vec<String> {
    let signing_text = crate::sign::secret_text(SIGNING_SECRET);
    let mut forms = Vec::new();
    for secret in [KEY, TOKEN, CUSTOM_HEADER, &signing_text, PATH, QUERY, "qu/ery value"] {
        for shift in 0..3 {
            let shifted = format!("{}{secret}", "x".repeat(shift));
            let [raw, percent, json, base64, base64_url] = encodings(&shifted);
            // The first characters have bits of the shift too; the last ones are padding.
            let inner = |form: String, skipped: usize| form[skipped..].trim_end_matches('=').to_owned();
            forms.extend([inner(raw, shift), inner(percent, shift), inner(json, shift)]);
            forms.extend([inner(base64, 2 * shift), inner(base64_url, 2 * shift)]);
        }
    }
    let pieces = forms.iter().flat_map(|form| {
        let characters: Vec<char> = form.chars().collect();
        characters.windows(8).map(|piece| piece.iter().collect::<String>()).collect::<Vec<_>>()
    });
    pieces.collect()
}

#[tokio::test]
async fn nothing_of_a_secret_is_left_of_an_echoed_request() {
    // Which part is echoed, in which encoding, and the length of what stands before it.
    let script = Arc::new(Mutex::new((0, 0, 0)));
    let script_of_receiver = script.clone();
    let address = start_receiver(move |request| {
        let (part, encoding, padding) = *script_of_receiver.lock().unwrap();
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let (line, fields) = request.head.split_once("\r\n").unwrap();
        let echo = [line, fields, &body, &format!("{}{body}", request.head)][part].to_owned();
        let text = format!("{}{}", "-".repeat(padding), encodings(&echo)[encoding]);
        let headers = format!(
            "x-request-id: {TOKEN}\r\nserver: {CUSTOM_HEADER}\r\nlocation: https://a.example{PATH}?{QUERY}\r\n"
        );
        response(500, &headers, text.as_bytes())
    });
    let (sender, forbidden) = (sender(Capture::Failed), forbidden_pieces());
    for part in 0..4 {
        for encoding in 0..5 {
            for padding in (0..1024).step_by(89) {
                *script.lock().unwrap() = (part, encoding, padding);
                let result = send(&sender, address).await;
                let captured = result.response.as_ref().unwrap();
                assert!(captured.excerpt.is_some(), "{result:?}");
                let shown = format!("{result:?} {}", captured.excerpt.as_deref().unwrap_or_default());
                let found = forbidden.iter().find(|piece| shown.contains(piece.as_str()));
                assert_eq!(found, None, "part {part} in encoding {encoding} after {padding}: {shown}");
            }
        }
    }
}

#[tokio::test]
async fn the_response_to_a_failed_attempt_is_captured() {
    let address = start_receiver(|request| {
        let line = request.head.lines().next().unwrap();
        let headers = "content-type: text/html; charset=utf-8\r\nset-cookie: a=b\r\nserver: test/1\r\nretry-after: 7\r\n\
             location: https://a.example/moved?b=c#d\r\n";
        response(503, headers, format!("<p>no {line}, id live_{}</p>", "a".repeat(40)).as_bytes())
    });
    let captured = send(&sender(Capture::Failed), address).await.response.unwrap();
    let body_bytes = format!("<p>no POST {PATH}?{QUERY} HTTP/1.1, id live_</p>").len() + 40;
    let headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", &body_bytes.to_string()),
        ("server", "test/1"),
        ("retry-after", "7"),
        ("location", "https://a.example/moved"),
    ];
    assert_eq!(captured.headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(captured.excerpt.as_deref(), Some("<p>no POST … HTTP/1.1, id live_***</p>"));
}

#[tokio::test]
async fn an_excerpt_is_the_start_of_a_text() {
    let script = Arc::new(Mutex::new(Vec::new()));
    let script_of_receiver = script.clone();
    let address = start_receiver(move |_| script_of_receiver.lock().unwrap().clone());
    let sender = sender(Capture::Failed);
    let long = "!".repeat(MAX_EXCERPT_BYTES - 1);
    for (headers, body, expected) in [
        ("", "no".as_bytes(), Some("no")),
        ("content-type: application/problem+json\r\n", b"{}", Some("{}")),
        ("content-type: Application/JSON;charset=utf-8\r\n", b"{}", Some("{}")),
        ("content-type: application/x-www-form-urlencoded\r\n", b"a=b", Some("a=b")),
        ("content-type: image/png\r\n", b"text", None),
        ("", b"a\0b", None),
        ("", b"\xff\xfe", None),
        ("", b"", None),
        ("", format!("{long}é more").as_bytes(), Some(&long)),
        ("", "caf\u{e9}".as_bytes(), Some("caf\u{e9}")),
    ] {
        *script.lock().unwrap() = response(500, headers, body);
        let captured = send(&sender, address).await.response.unwrap();
        assert_eq!(captured.excerpt.as_deref(), expected, "{headers} {body:?}");
    }
}

#[tokio::test]
async fn a_delivered_message_has_no_response() {
    let address = start_receiver(|_| response(200, "content-type: text/plain\r\n", b"thanks"));
    let result = send(&sender(Capture::Failed), address).await;
    assert_eq!((result.status, result.response), (Some(200), None));
}

#[tokio::test]
async fn no_response_is_captured_while_private_networks_are_allowed() {
    let address = start_receiver(|_| response(500, "content-type: text/plain\r\n", b"internal"));
    let sender = Sender::new(SsrfGuard::new(PrivateNetworks::Allowed), Arc::new(FixedClock)).unwrap();
    let result = send(&sender, address).await;
    assert_eq!((result.status, result.response), (Some(500), None));
}

#[tokio::test]
async fn an_address_that_is_blocked_when_its_name_is_resolved_is_an_error_of_its_own() {
    let address = start_receiver(|_| response(200, "", b""));
    let client = build_client(SsrfGuard::new(PrivateNetworks::Refused)).unwrap();
    let sender = Sender { client, ..sender(Capture::Nothing) };
    let url = Url::parse(&format!("http://localhost:{}/", address.port())).unwrap();
    let id = EventId::parse("evt_test").unwrap();
    let message = Message {
        url: &url,
        method: "POST",
        headers: &[],
        id: &id,
        body: Vec::new(),
        secrets: &[],
        static_token: None,
        confidential: &[],
    };
    let error = sender.send(message).await.error.unwrap();
    assert_eq!(error.class(), ErrorClass::Blocked);
    assert!(matches!(error, SendError::Blocked(_)), "{error:?}");
}
