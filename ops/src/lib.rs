//! The operations endpoints of every process: `/metrics`, `/livez` and `/readyz`.

mod readiness;
mod server;

pub use readiness::{DependencyState, Readiness, Warnings};
pub use server::{OpsOptions, OpsServer};
