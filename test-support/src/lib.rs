//! Support for tests: real servers, each on a free port and in its own directory, killed when dropped; and records for
//! stores.

#![allow(missing_docs, reason = "called only within this workspace, where a comment that repeats a name adds nothing")]

mod browser;
mod cluster;
mod fault_proxy;
mod mock_server;
pub mod records;
mod redis;
mod reverse_proxy;
mod sentinel;
mod signal;

pub use browser::{Page, browse};
pub use cluster::RedisCluster;
pub use fault_proxy::{Fault, FaultProxy};
pub use mock_server::{AfterReply, Gate, MockServer, Receipt, RecordedRequest, Reply};
pub use redis::RedisServer;
pub use reverse_proxy::ReverseProxy;
pub use sentinel::{MasterPorts, SentinelSet};
pub use signal::send_signal;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports below the range of outgoing connections, so that none of these can take the port of a server that a test has
/// stopped.
const PORTS: std::ops::Range<u32> = 10_000..32_000;

/// Returns a port on the loopback interface that is free, and that no other call in this process returns.
///
/// # Panics
/// If the machine has no free port.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    // Concurrent test processes start at different ports.
    let start = std::process::id().wrapping_mul(613);
    let candidates = (0..count).map(|_| start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count + PORTS.start);
    let mut ports = candidates.filter_map(|port| u16::try_from(port).ok());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("the machine has a free port")
}
