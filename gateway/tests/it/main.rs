//! The gateway as its clients and its upstream see it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod answers;
mod clients;
mod fixture;
mod limits;
mod names;
mod old_clients;
mod pipelining;
mod raw;
mod request_line;
mod server_options;
mod websocket;
