//! The admin API as its clients see it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod access;
mod access_keys;
mod accounts;
mod analytics;
mod bounds;
mod changes;
mod changes_told;
mod copies;
mod docs;
mod events;
mod fixture;
mod habits;
mod idempotency;
mod kept_as_sent;
mod keys;
mod limits;
mod lists;
mod locks;
mod members;
mod openapi;
mod rotation;
mod search;
mod traps;
mod webhooks;
