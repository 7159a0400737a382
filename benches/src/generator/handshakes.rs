//! Load of TLS handshakes: some clients, each of which connects, shakes hands and closes the connection again and
//! again.

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind};
use tokio::time::Instant;

use super::transport::{connect, shake_hands};
use crate::machine::Core;

/// Number of clients, enough to keep the server busy.
const CLIENTS: usize = 16;
/// Maximum number of servers whose tickets a client remembers.
const REMEMBERED_SERVERS: usize = 1;
/// Maximum time until a server responds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Clients of one server.
#[derive(Debug)]
pub(crate) struct HandshakeClients {
    address: SocketAddr,
    kind: HandshakeKind,
    /// TLS of each client. Those that resume sessions have tickets of their own.
    configs: Vec<Arc<ClientConfig>>,
}

impl HandshakeClients {
    /// Returns clients that resume no session.
    pub(crate) fn full(address: SocketAddr, tls: &ClientConfig) -> Self {
        Self::new(address, HandshakeKind::Full, tls, Resumption::disabled)
    }

    /// Returns clients that resume a session in each handshake, except in their first one.
    pub(crate) fn resuming(address: SocketAddr, tls: &ClientConfig) -> Self {
        Self::new(address, HandshakeKind::Resumed, tls, || Resumption::in_memory_sessions(REMEMBERED_SERVERS))
    }

    fn new(address: SocketAddr, kind: HandshakeKind, tls: &ClientConfig, resumption: fn() -> Resumption) -> Self {
        let config = || {
            let mut config = tls.clone();
            config.resumption = resumption();
            Arc::new(config)
        };
        Self { address, kind, configs: (0..CLIENTS).map(|_| config()).collect() }
    }

    /// Shakes hands for some time. Returns the number of handshakes.
    pub(crate) fn warm_up(&self, duration: Duration) -> anyhow::Result<u64> {
        self.run_all(duration, |_| Ok(()))
    }

    /// Shakes hands for some time. Returns the number of handshakes. Fails if one is not of the expected kind.
    pub(crate) fn run(&self, duration: Duration) -> anyhow::Result<u64> {
        self.run_all(duration, |kind| {
            ensure!(kind == self.kind, "a handshake was {kind:?}, but had to be {:?}", self.kind);
            Ok(())
        })
    }

    fn run_all(
        &self,
        duration: Duration,
        check: impl Fn(HandshakeKind) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<u64> {
        let (address, check, end) = (self.address, &check, Instant::now() + duration);
        std::thread::scope(|scope| {
            let clients = self.configs.iter().map(|config| {
                scope.spawn(move || {
                    Core::Load.pin_thread()?;
                    let mut count = 0;
                    while Instant::now() < end {
                        check(connect_and_close(address, config)?)?;
                        count += 1;
                    }
                    anyhow::Ok(count)
                })
            });
            let clients: Vec<_> = clients.collect();
            clients
                .into_iter()
                .map(|client| client.join().unwrap_or_else(|_| bail!("a client of handshakes panicked")))
                .sum()
        })
    }
}

/// Shakes hands, and closes the connection as soon as the server does. It has sent its tickets by then, which come after
/// the handshake.
fn connect_and_close(address: SocketAddr, tls: &Arc<ClientConfig>) -> anyhow::Result<HandshakeKind> {
    let socket = connect(address)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let mut stream = shake_hands(socket, tls)?;
    stream.conn.send_close_notify();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut stream.sock)?;
    }
    stream.sock.shutdown(Shutdown::Write)?;
    loop {
        match stream.conn.read_tls(&mut stream.sock) {
            Ok(0) => break,
            Ok(_) => stream.conn.process_new_packets().map(drop).context("a server refused a handshake")?,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error).context("a server did not close a connection"),
        }
    }
    stream.conn.handshake_kind().context("a handshake did not end")
}
