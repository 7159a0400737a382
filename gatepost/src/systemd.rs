//! systemd, or another service manager that speaks its protocols: reports to it, and sockets that it hands over.

mod notify;
mod report;
mod sockets;

pub(crate) use notify::ServiceManager;
pub(crate) use report::start as start_reporting;
pub(crate) use sockets::{InheritedSockets, ListenerSockets, Part, Place};
