//! For tests: real servers, each on a free port, in a directory of its own, gone when dropped; and
//! records to put into stores.

mod browser;
mod cluster;
mod fault_proxy;
mod mock_server;
pub mod records;
mod redis;
mod reverse_proxy;
mod sentinel;

pub use browser::{Page, browse};
pub use cluster::RedisCluster;
pub use fault_proxy::{Fault, FaultProxy};
pub use mock_server::{AfterReply, Gate, MockServer, RecordedRequest, Reply};
pub use redis::RedisServer;
pub use reverse_proxy::ReverseProxy;
pub use sentinel::{MasterPorts, SentinelSet};

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports below those that the kernel gives to outgoing connections, so that none of them takes the port
/// of a server that a test has stopped for a while.
const PORTS: std::ops::Range<u32> = 10_000..32_000;

/// A port of the loopback interface that nobody listens on. No other call in this process answers it.
///
/// # Panics
/// If the machine has no free port.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    // Test processes that run at the same time begin at different places.
    let start = std::process::id().wrapping_mul(613);
    let candidates = (0..count).map(|_| start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count + PORTS.start);
    let mut ports = candidates.filter_map(|port| u16::try_from(port).ok());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("the machine has a free port")
}
