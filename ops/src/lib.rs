//! The operations endpoints of every process: `/metrics`, `/livez` and `/readyz`.

#![allow(missing_docs, reason = "called only within this workspace, where a comment that repeats a name adds nothing")]

mod readiness;
mod server;

pub use readiness::{DependencyState, Readiness, Warnings};
pub use server::{OpsOptions, OpsServer};
