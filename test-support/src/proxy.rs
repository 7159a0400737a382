//! A TCP proxy that breaks the network between two processes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that are passed on at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long connecting to the target may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);

/// What the proxy does to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Each piece comes later by so much.
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
    fault: Arc<Shared>,
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
        Self { port, fault }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what it does, also to connections that stand.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock() = fault;
        self.fault.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that now is, once it is none that holds everything up.
    fn await_passage(&self) -> Fault {
        let fault = self.changed.wait_while(self.lock(), |fault| *fault == Fault::BlackHole);
        *fault.unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(client: TcpStream, target: u16, shared: &Arc<Shared>) {
    if shared.await_passage() == Fault::Reset {
        return;
    }
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
    let Ok(server) = TcpStream::connect_timeout(&target, CONNECT_DEADLINE) else { return };
    let (Ok(client_again), Ok(server_again)) = (client.try_clone(), server.try_clone()) else { return };
    let back = Arc::clone(shared);
    thread::spawn(move || pump(server_again, client_again, &back, None));
    pump(client, server, shared, Some(0));
}

/// Passes on until an end or a fault; `sent` counts the bytes of the client.
fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared, mut sent: Option<usize>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    // A short time-out, so that a fault reaches connections on which nothing is said.
    drop(from.set_read_timeout(Some(Duration::from_millis(20))));
    let mut is_half_open = false;
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => 0,
            Err(_) => break,
        };
        let fault = if read > 0 { shared.await_passage() } else { *shared.lock() };
        match fault {
            Fault::Reset => break,
            Fault::Latency(latency) if read > 0 => thread::sleep(latency),
            Fault::HalfOpen => is_half_open = true,
            Fault::CutAfter(bytes) => {
                sent = sent.map(|sent| sent + read);
                if sent.is_some_and(|sent| sent > bytes) {
                    break;
                }
            }
            Fault::None | Fault::Latency(_) | Fault::BlackHole => {}
        }
        if !is_half_open && read > 0 && to.write_all(&chunk[..read]).is_err() {
            break;
        }
    }
    if !is_half_open {
        drop(from.shutdown(Shutdown::Both));
        drop(to.shutdown(Shutdown::Both));
    } else {
        // The other side is never told.
        std::mem::forget((from, to));
    }
}
