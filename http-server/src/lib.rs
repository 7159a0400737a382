//! The HTTP/1.1 server under the admin API and the operations pages: every read and write has a deadline, and whoever
//! lets it wait cannot keep others out.

mod activity;
mod body;
mod connections;
mod host;
mod metrics;
mod server;
mod stream;

pub use body::BodyTimeout;
pub use connections::{Caps, OverloadPolicy};
pub use host::{HostError, HostRule, UnlistedNames};
pub use server::{HttpServer, ServerOptions, ServerTasks, StartError};
