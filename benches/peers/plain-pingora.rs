//! The least proxy that Pingora makes: everything passes to one upstream. Same profile and allocator as the product.

use std::net::SocketAddr;

use async_trait::async_trait;
use clap::Parser;
use mimalloc::MiMalloc;
use pingora::prelude::HttpPeer;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Idle connections kept to the upstream, as many as the product keeps.
const UPSTREAM_POOL: usize = 1024;

#[derive(Debug, Parser)]
#[command(name = "plain-pingora")]
struct Options {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where everything goes
    #[arg(long, value_name = "ADDRESS")]
    upstream: SocketAddr,
    /// Worker threads
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

fn main() {
    let options = Options::parse();
    let conf = ServerConf {
        threads: options.threads,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        // A signal ends it at once.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, PassThrough { upstream: options.upstream });
    service.add_tcp(&options.listen.to_string());
    server.add_service(service);
    server.run_forever();
}
