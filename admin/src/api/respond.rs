//! Writing responses.

pub(crate) mod page;
pub(crate) mod problem;
pub(crate) mod resource;
pub(crate) mod usage_headers;
pub(crate) mod webhook_resource;
