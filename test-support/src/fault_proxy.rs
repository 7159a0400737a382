//! TCP proxy that injects network faults between two processes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

/// Size of a chunk in bytes.
const CHUNK_BYTES: usize = 16 * 1024;
/// Maximum number of delayed chunks per connection and direction.
const MAX_DELAYED_CHUNKS: usize = 1024;
/// Timeout for connecting to the target.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Fault that the proxy injects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Delays each chunk from the server.
    Latency(Duration),
    /// Forwards nothing until the fault is over, and keeps the connections open.
    BlackHole,
    /// Drops everything and keeps the connections open. Affected connections stay broken after the fault.
    HalfOpen,
    /// Closes connections, and rejects new ones.
    Reset,
    /// Closes each connection after the given number of bytes from the client.
    CutAfter(usize),
}

/// Running proxy, which ends with the test process.
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
    /// Starts a proxy to a port on the loopback interface.
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

    /// Returns the port on which the proxy listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the fault, also of existing connections.
    pub fn set_fault(&self, fault: Fault) {
        *self.shared.lock() = fault;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current fault, after waiting for the end of a black hole.
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

/// Direction in which a pump forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// Forwards until the connection ends or a fault closes it.
fn pump(mut from: TcpStream, to: TcpStream, shared: &Shared, direction: Direction) {
    let mut chunk = vec![0; CHUNK_BYTES];
    // A short timeout, so that a fault also affects idle connections.
    let _ = from.set_read_timeout(Some(Duration::from_millis(20)));
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
        // Keeps the sockets open, so that the other side does not see the end of the connection.
        std::mem::forget((from, to));
    } else {
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// Starts a thread that writes each chunk when it is due, in order.
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
