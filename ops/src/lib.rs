//! `/metrics`, `/livez` and `/readyz` of every process.

mod readiness;
mod server;

pub use readiness::{Readiness, Warnings};
pub use server::{OpsOptions, OpsServer};
