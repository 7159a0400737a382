//! `/metrics`, `/livez` and `/readyz` of every process, and the server under them and the admin API.

mod http_server;
mod readiness;
mod server;

pub use http_server::{HttpServer, ServerTasks};
pub use readiness::{Readiness, Warnings};
pub use server::{NotStarted, OpsServer};
