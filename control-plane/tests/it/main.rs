//! The admin API as its clients see it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod access;
mod changes;
mod fixture;
mod keys;
mod openapi;
mod rotation;
mod webhooks;
