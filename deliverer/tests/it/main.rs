//! The deliverer on a store in memory, with receivers that record the very bytes that they get.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod fairness;
mod fixture;
mod responses;
mod unreadable;
mod wire;
