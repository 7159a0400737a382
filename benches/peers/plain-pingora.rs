//! Minimal Pingora proxy, which forwards everything to one upstream. Built with the same profile and allocator as
//! Gatepost.

use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use clap::Parser;
use mimalloc::MiMalloc;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::HttpPeer;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Size of the pool of idle upstream connections, the same as Gatepost's.
const UPSTREAM_POOL: usize = 1024;

#[derive(Debug, Parser)]
#[command(name = "plain-pingora")]
struct Options {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Address of the upstream
    #[arg(long, value_name = "ADDRESS")]
    upstream: SocketAddr,
    /// PEM file of the certificate to listen with TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Number of worker threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

struct PassThrough {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _context: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

fn main() -> pingora::Result<()> {
    let options = Options::parse();
    let conf = ServerConf {
        threads: options.threads,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        // Signals end the process without a drain.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, PassThrough { upstream: options.upstream });
    let listen = options.listen.to_string();
    match (options.tls_cert, options.tls_key) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
            service.add_tls_with_settings(&listen, None, TlsSettings::intermediate(&certificate, &key)?);
        }
        _ => service.add_tcp(&listen),
    }
    server.add_service(service);
    server.run_forever();
}
