//! What operators reach over HTTP: the admin REST API and the dashboard, over the use cases of the control plane.

#![allow(missing_docs, reason = "called only within this workspace, where a comment that repeats a name adds nothing")]

mod api;
mod dashboard;
mod http;
mod import_file;
mod import_rows;
mod metrics;
mod server;

pub use api::openapi_json;
pub use dashboard::DashboardOptions;
pub use import_file::{FileFormat, FileItem, ReadImportError, read_import_file};
pub use import_rows::{UnknownRowMembers, parse_import_row};
pub use server::{ControlPlaneServer, ListenOptions};
