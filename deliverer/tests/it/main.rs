//! The deliverer on an in-memory store, with receivers that record the exact bytes of their requests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod fairness;
mod fixture;
mod health;
mod responses;
mod settings;
mod unreadable;
mod usage;
mod wire;
