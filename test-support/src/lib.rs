//! For tests: real servers, each on a free port, in a directory of its own, gone when dropped; and
//! records to put into stores.

mod origin;
pub mod records;
mod redis;

pub use origin::{Origin, Recorded};
pub use redis::RedisServer;

use std::net::TcpListener;

/// A port of the loopback interface that was free a moment ago.
///
/// # Panics
/// If the machine has no free port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("the machine has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}
