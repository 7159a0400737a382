//! A TCP proxy that breaks the network between two processes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

/// Bytes that are passed on at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// Pieces that are on their way at a time.
const MAX_DELAYED_CHUNKS: usize = 1024;
/// How long connecting to the target may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What the proxy does to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Each piece of what the server sends comes later by so much.
    Latency(Duration),
    /// Nothing passes, and nobody is told: it waits for the end of the fault.
    BlackHole,
    /// What is sent vanishes, while the connections stay, also after the fault.
    HalfOpen,
    /// Connections are closed, and new ones are refused.
    Reset,
    /// Each connection is closed after so many bytes from the client.
    CutAfter(usize),
}

/// A running proxy. It ends with the test process.
#[derive(Debug, Clone)]
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    fault: Mutex<Fault>,
    changed: Condvar,
}

impl FaultProxy {
    /// A proxy in front of a port of the loopback interface.
    ///
    /// # Panics
    /// If it cannot listen.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, crate::free_port())).expect("a free port can be bound");
        let port = listener.local_addr().expect("a listener has an address").port();
        let fault = Arc::new(Shared { fault: Mutex::new(Fault::None), changed: Condvar::new() });
        let shared = Arc::clone(&fault);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(client, target, &shared));
            }
        });
        Self { port, shared: fault }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what it does, also to connections that stand.
    pub fn set_fault(&self, fault: Fault) {
        *self.shared.lock() = fault;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that now is, once it is none that holds everything up.
    fn await_unblocked(&self) -> Fault {
        let fault = self.changed.wait_while(self.lock(), |fault| *fault == Fault::BlackHole);
        *fault.unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(client: TcpStream, target: u16, shared: &Arc<Shared>) {
    if shared.await_unblocked() == Fault::Reset {
        return;
    }
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
    let Ok(server) = TcpStream::connect_timeout(&target, CONNECT_TIMEOUT) else { return };
    let (Ok(client_clone), Ok(server_clone)) = (client.try_clone(), server.try_clone()) else { return };
    let back = Arc::clone(shared);
    thread::spawn(move || pump(server_clone, client_clone, &back, Direction::ToClient));
    pump(client, server, shared, Direction::ToServer);
}

/// Which way a pump passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// Passes on until an end or a fault.
fn pump(mut from: TcpStream, to: TcpStream, shared: &Shared, direction: Direction) {
    let mut chunk = vec![0; CHUNK_BYTES];
    // A short time-out, so that a fault reaches connections on which nothing is said.
    drop(from.set_read_timeout(Some(Duration::from_millis(20))));
    let delayed = spawn_delayed_writer(&to);
    let (mut sent, mut is_half_open) = (0, false);
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
            Err(_) => break,
        };
        let fault = if read > 0 { shared.await_unblocked() } else { *shared.lock() };
        let mut latency = Duration::ZERO;
        match fault {
            Fault::Reset => break,
            Fault::HalfOpen => is_half_open = true,
            Fault::Latency(delay) if direction == Direction::ToClient => latency = delay,
            Fault::CutAfter(bytes) if direction == Direction::ToServer => {
                sent += read;
                if sent > bytes {
                    break;
                }
            }
            Fault::None | Fault::Latency(_) | Fault::BlackHole | Fault::CutAfter(_) => {}
        }
        if !is_half_open && read > 0 && delayed.send((Instant::now() + latency, chunk[..read].to_vec())).is_err() {
            break;
        }
    }
    if is_half_open {
        // The other side is never told that this one has gone.
        std::mem::forget((from, to));
    } else {
        drop(from.shutdown(Shutdown::Both));
        drop(to.shutdown(Shutdown::Both));
    }
}

/// Writes each piece at its moment, in order.
fn spawn_delayed_writer(to: &TcpStream) -> SyncSender<(Instant, Vec<u8>)> {
    let (sender, chunks) = sync_channel::<(Instant, Vec<u8>)>(MAX_DELAYED_CHUNKS);
    if let Ok(mut to) = to.try_clone() {
        thread::spawn(move || {
            for (due, chunk) in chunks {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if to.write_all(&chunk).is_err() {
                    return;
                }
            }
        });
    }
    sender
}
