//! Receivers that do what no receiver should: each of them on a socket of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use gatepost_test_support::{AfterReply, Gate, MockServer, Reply};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

/// Size of the response of [`huge`].
const HUGE_BYTES: u64 = 1 << 30;
/// Interval between two bytes.
const DRIP_INTERVAL: Duration = Duration::from_secs(1);

/// Starts a receiver that reads requests and never answers.
pub(super) fn hanging() -> MockServer {
    MockServer::with_script(|_| Reply { gate: Some(Gate::default()), ..Reply::default() })
}

/// Starts a receiver that sends a response one byte a second, after the given start.
pub(super) fn dripping(start: &'static str, status: u16) -> MockServer {
    let drip = |mut stream: TcpStream| {
        // The deliverer closes the connection sooner or later.
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(DRIP_INTERVAL);
        }
    };
    replying(status, start.into(), AfterReply::HandOver(Arc::new(drip)))
}

/// Starts a receiver whose responses have a body of 1 GiB, and counts the bytes that it could send.
pub(super) fn huge(status: u16, sent: &Arc<AtomicU64>) -> MockServer {
    let (head, sent) =
        (head(status, &format!("content-type: text/plain\r\ncontent-length: {HUGE_BYTES}")), sent.clone());
    let send = move |mut stream: TcpStream| {
        let chunk = [b'x'; 64 * 1024];
        let mut left = HUGE_BYTES;
        while left > 0 && stream.write_all(&chunk).is_ok() {
            left -= chunk.len() as u64;
            sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
    };
    replying(status, head, AfterReply::HandOver(Arc::new(send)))
}

/// Starts a receiver whose responses are a gzip bomb.
pub(super) fn bombing(status: u16, bomb: &[u8]) -> MockServer {
    let fields = format!("content-type: text/plain\r\ncontent-encoding: gzip\r\ncontent-length: {}", bomb.len());
    replying(status, [&head(status, &fields), bomb].concat(), AfterReply::KeepAlive)
}

/// Returns a small body that decompresses to 1 GiB of zeros.
pub(super) fn gzip_bomb() -> Vec<u8> {
    let output = Command::new("sh").args(["-c", "head -c 1G /dev/zero | gzip -1"]).output().unwrap();
    assert!(output.status.success() && output.stdout.len() < 16 << 20, "{} bytes", output.stdout.len());
    output.stdout
}

/// Starts a receiver that resets each connection inside the request, and returns its URL.
pub(super) fn resetting() -> String {
    // Closing a socket with bytes that were not read resets the connection.
    let address = serve(|mut stream| stream.read_exact(&mut [0]).unwrap_or_default());
    format!("http://{address}/")
}

/// Starts a receiver whose certificate nobody has signed, and returns its URL.
pub(super) fn untrusted() -> String {
    let certificate =
        CertificateDer::from(include_bytes!("../../../../webhook-client/tests/it/self-signed.der").as_slice());
    let key = include_bytes!("../../../../webhook-client/tests/it/self-signed.key.der").as_slice();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let config = Arc::new(config);
    let address = serve(move |mut stream| {
        let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        // The client ends the handshake.
        let _ = tls.complete_io(&mut stream);
    });
    format!("https://{address}/")
}

/// Starts a server that does something with each connection.
fn serve(serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    address
}

/// Starts a receiver that redirects to another URL, with each of the statuses in turn.
pub(super) fn redirecting(to: &str) -> MockServer {
    let to = to.to_owned();
    let statuses = [301, 302, 303, 307, 308];
    MockServer::with_script(move |number| Reply {
        status: statuses[number % statuses.len()],
        headers: vec![("location", to.clone())],
        ..Reply::default()
    })
}

/// Starts a receiver that is too busy for the first requests, and says in which way to come back after that.
pub(super) fn busy(requests: usize, retry_after: impl Fn() -> String + Send + 'static) -> MockServer {
    MockServer::with_script(move |number| {
        let headers = if number < requests { vec![("retry-after", retry_after())] } else { Vec::new() };
        Reply { status: if number < requests { 429 } else { 200 }, headers, ..Reply::default() }
    })
}

/// Returns the HTTP date of a later time.
pub(super) fn http_date_in(seconds: u64) -> String {
    let (time, format) = (format!("+{seconds} seconds"), "+%a, %d %b %Y %H:%M:%S GMT");
    let output = Command::new("date").args(["-u", "-d", &time, format]).env("LC_ALL", "C").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn replying(status: u16, raw: Vec<u8>, after: AfterReply) -> MockServer {
    MockServer::with_script(move |_| Reply { status, ..Reply::raw(raw.clone(), after.clone()) })
}

fn head(status: u16, fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Status\r\n{fields}\r\n\r\n").into_bytes()
}

/// Listener that nobody may connect to.
#[derive(Clone)]
pub(super) struct Forbidden {
    pub(super) address: String,
    connections: Arc<AtomicUsize>,
}

impl Forbidden {
    /// Listens on an address, and counts connections.
    pub(super) fn listen(ip: Ipv4Addr, port: u16) -> Self {
        let listener = TcpListener::bind((ip, port)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, connections }
    }

    /// Returns the address with the number of its connections.
    pub(super) fn count(&self) -> (String, usize) {
        (self.address.clone(), self.connections.load(Ordering::SeqCst))
    }
}
