//! Layers around all routes.

pub(crate) mod access_log;
pub(crate) mod authorization;
pub(crate) mod host_check;
pub(crate) mod idempotency;
pub(crate) mod ignored_members;
pub(crate) mod no_store;
pub(crate) mod recovery;
