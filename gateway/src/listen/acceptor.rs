//! The tasks that accept connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gatepost_runtime::{Task, error_chain, spawn, supervise};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connection_handler::{ConnectionHandler, ConnectionSetup};
use super::listener::Listener;
use crate::tls::TlsAcceptor;

/// Tasks that accept connections of one listener. More than one spreads a burst over cores.
const ACCEPTORS: usize = 2;
/// Delay after a failed accept, for example because too many files are open.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// The running acceptors of a listener.
#[derive(Debug)]
pub(super) struct Acceptors {
    tasks: Vec<JoinHandle<()>>,
}

impl Acceptors {
    /// Accepts connections until `stopped` is true. A task that panics is started again on the same socket, so that no
    /// connection is refused in between.
    pub(super) fn start(
        listener: &Listener,
        tls: Option<&Arc<TlsAcceptor>>,
        handler: &Arc<ConnectionHandler>,
        stopped: &watch::Receiver<bool>,
    ) -> Self {
        let setup = ConnectionSetup {
            proxy_protocol: listener.options.proxy_protocol,
            tls: tls.map(Arc::clone),
            redirect: listener.options.redirect.clone().map(Arc::new),
        };
        let start_one = |_| {
            let (listener, handler, stopped) = (listener.clone(), Arc::clone(handler), stopped.clone());
            let entrance = Entrance { handler, setup: setup.clone(), stopped };
            supervise(Task::GatewayListener, move || accept(listener.clone(), entrance.clone()))
        };
        Self { tasks: (0..ACCEPTORS).map(start_one).collect() }
    }

    /// Waits until all have stopped. A panic was counted and logged.
    pub(super) async fn join(&mut self) {
        join_all(self.tasks.drain(..)).await;
    }
}

impl Drop for Acceptors {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What a connection needs. Clones share it.
#[derive(Debug, Clone)]
struct Entrance {
    handler: Arc<ConnectionHandler>,
    setup: ConnectionSetup,
    stopped: watch::Receiver<bool>,
}

async fn accept(listener: Listener, entrance: Entrance) {
    let mut stopped = entrance.stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            // A dropped sender stops as well.
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok((stream, peer)) => serve(entrance.clone(), stream, peer),
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "accepting a connection failed, retrying in 100 ms");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Serves a connection in a task of its own. A panic closes it, and is counted and logged.
fn serve(entrance: Entrance, stream: TcpStream, peer: SocketAddr) {
    let before_request = entrance.handler.expect_request();
    spawn(Task::GatewayConnection, async move {
        let Entrance { handler, setup, stopped } = entrance;
        handler.serve(stream, peer, setup, &stopped, before_request).await;
    });
}
