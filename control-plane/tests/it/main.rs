//! The use cases as their callers see them, without HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod first_project;
mod fixture;
mod operator_access_keys;
mod partitions;
mod request_context;
