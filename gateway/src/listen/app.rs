//! Pingora's proxy, without Pingora's listeners.
//!
//! Pingora builds a proxy whose connector to upstreams is ours only inside a service, and a service hands the proxy
//! only to the handler of a connection. So its service runs for one connection, which this process opens to itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::IntoRawFd as _;
use std::sync::Arc;

use parking_lot::Mutex;
use pingora::apps::HttpServerOptions;
use pingora::connectors::ConnectorOptions;
use pingora::proxy::{HttpProxy, ProcessCustomSession, ProxyServiceBuilder};
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ShutdownWatch};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};

use crate::connector::UpstreamConnector;
use crate::proxy::Proxy;
use crate::upstream::MAX_RETRIES;

/// Cap on idle connections to upstreams.
const UPSTREAM_POOL_SIZE: usize = 1024;

/// The application that serves the requests of connections.
pub(crate) type App = HttpProxy<Proxy, UpstreamConnector>;

/// Builds the application.
///
/// # Errors
/// If this machine's loopback address takes no connection.
pub(crate) async fn build_app(proxy: Proxy) -> io::Result<Arc<App>> {
    let (sender, receiver) = oneshot::channel();
    let mut service = build_service(proxy, sender);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let (stop, shutdown) = watch::channel(false);
    let serving = run_service(&mut service, listener, address, shutdown);
    let connection = TcpStream::connect(address).await?;
    let app = tokio::select! {
        app = receiver => app.map_err(io::Error::other),
        () = serving => Err(io::Error::other("the service has ended")),
    };
    // Ends the task that accepts. The service itself was dropped before, or it would shut the application down.
    stop.send_replace(true);
    drop(connection);
    app
}

/// Builds Pingora's service. A custom protocol is its hook for connections that somebody else serves.
fn build_service(proxy: Proxy, sender: oneshot::Sender<Arc<App>>) -> Service<App> {
    let conf = Arc::new(ServerConf {
        max_retries: MAX_RETRIES,
        upstream_keepalive_pool_size: UPSTREAM_POOL_SIZE,
        ..ServerConf::default()
    });
    let connector = UpstreamConnector::new(ConnectorOptions::from_server_conf(&conf), proxy.current.clone());
    let sender = Mutex::new(Some(sender));
    let on_connection: ProcessCustomSession<Proxy, UpstreamConnector> =
        Arc::new(move |app: Arc<App>, _stream, _shutdown: &ShutdownWatch| {
            if let Some(sender) = sender.lock().take() {
                // It fails only if nobody waits any more.
                let _ = sender.send(app);
            }
            Box::pin(async { None })
        });
    let mut options = HttpServerOptions::default();
    options.force_custom = true;
    let builder = ProxyServiceBuilder::new(&conf, proxy).name("gateway").server_options(options);
    builder.custom(connector, on_connection).build()
}

async fn run_service(
    service: &mut Service<App>,
    listener: TcpListener,
    address: SocketAddr,
    shutdown: watch::Receiver<bool>,
) {
    let mut fds = Fds::new();
    fds.add(address.to_string(), listener.into_raw_fd());
    service.add_tcp(&address.to_string());
    const ACCEPTORS: usize = 1;
    service.start_service(Some(Arc::new(Mutex::new(fds))), shutdown, ACCEPTORS).await;
}
