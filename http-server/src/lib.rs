//! The HTTP/1.1 server of the admin API and the operations endpoints: every read and write has a deadline, and
//! clients that let it wait cannot lock out others.

#![warn(clippy::missing_errors_doc)]

mod accept;
mod activity;
mod body;
mod connections;
mod host;
mod metrics;
mod serve;
mod server;
mod stream;

pub use body::{BodyDeadline, BodyTimeout};
pub use connections::{Caps, OverloadPolicy};
pub use host::{HostError, HostRule, UnlistedNames};
pub use serve::ServerTasks;
pub use server::{HttpServer, ServerOptions, StartError};
