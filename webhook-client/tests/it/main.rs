//! Tests of the sender against real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod error_classes;
