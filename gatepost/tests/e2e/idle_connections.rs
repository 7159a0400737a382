//! Memory of idle connections.

use std::net::SocketAddr;

use gatepost_test_support::MockServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::admin::Admin;
use crate::fair_share::{raise_open_files_limit, report};
use crate::process::Gatepost;
use crate::single_process::read_first_access_key;

const CONNECTIONS: usize = 2000;
/// Maximum memory of all connections to one port. If fewer are open, the others were closed.
const MAX_GROWTH_KIB: u64 = 96 * 1024;

/// Opens connections, each with one completed request.
async fn open_idle_connections(address: SocketAddr, request: &str) -> Vec<TcpStream> {
    let mut idle = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = [0; 4096];
        let read = stream.read(&mut response).await.unwrap();
        assert!(response[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&response[..read]));
        idle.push(stream);
    }
    idle
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_idle_connections_on_each_port_take_little_memory() {
    raise_open_files_limit();
    let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
    let process = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let access_key = read_first_access_key(directory.path());
    let admin = Admin::new(process.admin.unwrap(), &access_key);
    let (key, _) = admin.create_api_key(&admin.create_project().await).await;
    let request_text =
        |path: &str, key: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n\r\n");
    let mut open_connections = Vec::new();
    for (port, address, request, metric) in [
        ("gateway", process.gateway.unwrap(), request_text("/", &key), "gatepost_connections"),
        (
            "admin API",
            admin.address,
            request_text("/projects", &access_key),
            "gatepost_http_connections{listener=\"admin\"}",
        ),
        ("operations", process.ops, request_text("/livez", ""), "gatepost_http_connections{listener=\"ops\"}"),
    ] {
        let before = process.resident_kib();
        open_connections.push(open_idle_connections(address, &request).await);
        let (open, grown) = (process.metric(metric).await, process.resident_kib().saturating_sub(before));
        report(&format!("{CONNECTIONS} connections to the {port}: {open} are open, {grown} KiB more"));
        assert!(grown < MAX_GROWTH_KIB, "{grown} KiB");
    }
}
