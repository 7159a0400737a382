//! What operators reach over HTTP: the admin REST API over the use cases of the control plane.

#![allow(missing_docs, reason = "only crates of this workspace call it: what only repeats a name is not written")]

mod api;
mod http;
mod import_rows;
mod metrics;
mod server;

pub use api::openapi_json;
pub use http::json::parse as parse_json;
pub use import_rows::{UnknownRowMembers, parse_import_row};
pub use server::{ControlPlaneServer, ListenOptions};
