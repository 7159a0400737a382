//! HTTP/1.1 server that records the exact bytes of requests, for use as an upstream or webhook receiver.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// Request line and header fields, with all line endings.
    pub head: String,
    /// Body without its framing.
    pub body: Vec<u8>,
    /// Trailer section of a chunked body, with all line endings but the last.
    pub trailers: String,
    /// Number of the connection, starting at 0.
    pub connection: usize,
}

impl RecordedRequest {
    /// Returns the values of a header field, in order.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    pub fn request_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

/// A webhook request as its receiver saw it come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its `webhook-id`; empty without one.
    pub webhook_id: String,
    pub arrived_at: Instant,
    /// Status of the reply, also of one that is not written yet. 0 for raw bytes that name none.
    pub status: u16,
    /// Time at which the reply was written. `None` before that, or if the connection was gone.
    pub answered_at: Option<Instant>,
}

#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub delay: Duration,
    /// Gate that must be open before the reply.
    pub gate: Option<Gate>,
    /// Raw bytes to send instead of a reply from the other fields.
    pub raw: Option<Vec<u8>>,
    /// What happens to the connection after the reply.
    pub after: AfterReply,
}

impl Reply {
    /// Returns a reply of raw bytes.
    pub fn raw(bytes: impl Into<Vec<u8>>, after: AfterReply) -> Self {
        Self { raw: Some(bytes.into()), after, ..Self::default() }
    }
}

/// What happens to a connection after a reply.
#[derive(Clone, Default)]
pub enum AfterReply {
    /// The next request is read.
    #[default]
    KeepAlive,
    /// The connection is closed.
    Close,
    /// The connection is handed over to a function.
    HandOver(Arc<dyn Fn(TcpStream) + Send + Sync>),
}

impl fmt::Debug for AfterReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AfterReply::KeepAlive => "KeepAlive",
            AfterReply::Close => "Close",
            AfterReply::HandOver(_) => "HandOver",
        })
    }
}

/// Gate that holds replies back until it is opened.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Releases all replies, waiting and future ones.
    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let is_open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.1.wait_while(is_open, |is_open| !*is_open));
    }
}

/// Function from the number of a request, starting at 0, to the reply.
type Script = Box<dyn FnMut(usize) -> Reply + Send>;

struct State {
    recorded: VecDeque<RecordedRequest>,
    request_count: usize,
    /// The journal: one receipt for each request, in order of arrival.
    receipts: Vec<Receipt>,
    /// Requests that have no reply yet, and the maximum of that.
    open: usize,
    max_open: usize,
    script: Script,
}

/// Running server, whose threads end with the process.
#[derive(Clone)]
pub struct MockServer {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl MockServer {
    /// Starts a server that replies 200 to everything.
    pub fn start() -> Self {
        Self::with_statuses(|_| (200, Duration::ZERO))
    }

    /// Starts a server whose replies have the status and delay that the script returns for the number of the request.
    pub fn with_statuses(mut script: impl FnMut(usize) -> (u16, Duration) + Send + 'static) -> Self {
        Self::with_script(move |number| {
            let (status, delay) = script(number);
            Reply { status, delay, ..Reply::default() }
        })
    }

    /// Starts a server that holds all replies back until a gate is opened.
    pub fn with_gate(gate: &Gate) -> Self {
        let gate = gate.clone();
        Self::with_script(move |_| Reply { status: 200, gate: Some(gate.clone()), ..Reply::default() })
    }

    /// Starts a server whose replies a script determines.
    ///
    /// # Panics
    /// If the machine has no free port.
    pub fn with_script(script: impl FnMut(usize) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the machine has a free port");
        Self::accept(listener, script)
    }

    /// Starts a server at a port that replies 200 to everything.
    ///
    /// # Panics
    /// If the port is not free.
    pub fn start_at(port: u16) -> Self {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Starts a server at an address of this machine that replies 200 to everything.
    ///
    /// # Panics
    /// If the address is not free.
    pub fn start_on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        Self::accept(listener, |_| Reply { status: 200, ..Reply::default() })
    }

    fn accept(listener: TcpListener, script: impl FnMut(usize) -> Reply + Send + 'static) -> Self {
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = State {
            recorded: VecDeque::new(),
            request_count: 0,
            receipts: Vec::new(),
            open: 0,
            max_open: 0,
            script: Box::new(script),
        };
        let server = Self { address, shared: Arc::new((Mutex::new(state), Condvar::new())) };
        let server_handle = server.clone();
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().flatten().enumerate() {
                let server = server_handle.clone();
                thread::spawn(move || server.serve_connection(stream, connection));
            }
        });
        server
    }

    /// Returns the address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Removes and returns the requests recorded so far.
    pub fn take_requests(&self) -> Vec<RecordedRequest> {
        self.lock().recorded.drain(..).collect()
    }

    /// Returns the journal so far.
    pub fn receipts(&self) -> Vec<Receipt> {
        self.lock().receipts.clone()
    }

    /// Returns the number of requests so far.
    pub fn request_count(&self) -> usize {
        self.lock().request_count
    }

    /// Returns the maximum number of requests so far that had no reply at the same time.
    pub fn max_concurrent_requests(&self) -> usize {
        self.lock().max_open
    }

    /// Waits until the server has received a number of requests, or for `deadline`. Returns the number received.
    pub fn await_count(&self, count: usize, deadline: Duration) -> usize {
        let state = self.shared.1.wait_timeout_while(self.lock(), deadline, |state| state.request_count < count);
        state.unwrap_or_else(PoisonError::into_inner).0.request_count
    }

    fn serve_connection(&self, stream: TcpStream, connection: usize) {
        let Ok(mut writer) = stream.try_clone() else { return };
        let mut reader = BufReader::new(stream);
        while let Some(recorded) = read_request(&mut reader, connection) {
            let is_head = recorded.head.starts_with("HEAD ");
            let (number, reply) = self.record_and_reply(recorded);
            thread::sleep(reply.delay);
            if let Some(gate) = &reply.gate {
                gate.wait();
            }
            // Before the client can send the next one.
            self.lock().open -= 1;
            let response = reply.raw.unwrap_or_else(|| build_response(reply.status, &reply.headers, is_head));
            if writer.write_all(&response).is_err() {
                return;
            }
            self.lock().receipts[number].answered_at = Some(Instant::now());
            match reply.after {
                AfterReply::KeepAlive => {}
                AfterReply::Close => return,
                AfterReply::HandOver(take_over) => return take_over(writer),
            }
        }
    }

    /// Returns the number of the request and its reply.
    fn record_and_reply(&self, recorded: RecordedRequest) -> (usize, Reply) {
        let webhook_id = recorded.header("webhook-id").first().copied().unwrap_or_default().to_owned();
        let mut state = self.lock();
        state.recorded.push_back(recorded);
        let number = state.request_count;
        state.request_count += 1;
        state.open += 1;
        state.max_open = state.max_open.max(state.open);
        let reply = (state.script)(number);
        let (arrived_at, status) = (Instant::now(), reply.status);
        state.receipts.push(Receipt { webhook_id, arrived_at, status, answered_at: None });
        drop(state);
        self.shared.1.notify_all();
        (number, reply)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn build_response(status: u16, headers: &[(&'static str, String)], is_head: bool) -> Vec<u8> {
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let body = if is_head { "" } else { "origin" };
    format!("HTTP/1.1 {status} Status\r\ncontent-length: 6\r\nx-origin: yes\r\n{fields}\r\n{body}").into_bytes()
}

fn read_request(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<RecordedRequest> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let recorded = RecordedRequest { head, body: Vec::new(), trailers: String::new(), connection };
    if !recorded.header("transfer-encoding").is_empty() {
        let (body, trailers) = read_chunks(reader)?;
        return Some(RecordedRequest { body, trailers, ..recorded });
    }
    let length = recorded.header("content-length").first().and_then(|text| text.parse().ok()).unwrap_or(0);
    Some(RecordedRequest { body: read_exact(reader, length)?, ..recorded })
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> Option<(Vec<u8>, String)> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        if length == 0 {
            return Some((body, read_trailers(reader)?));
        }
        body.extend(read_exact(reader, length)?);
        reader.read_line(&mut String::new()).ok()?;
    }
}

fn read_trailers(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut trailers = String::new();
    loop {
        let start = trailers.len();
        reader.read_line(&mut trailers).ok()?;
        if trailers[start..].trim().is_empty() {
            trailers.truncate(start);
            return Some(trailers);
        }
    }
}

fn read_exact(reader: &mut BufReader<TcpStream>, length: usize) -> Option<Vec<u8>> {
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}
