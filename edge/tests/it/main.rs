//! Decisions as their callers see them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod allocations;
mod decisions;
mod fixture;
mod https_redirects;
