//! Reading requests.

pub(crate) mod body;
mod context;
pub(crate) mod credentials;
pub(crate) mod prefer_wait;
pub(crate) mod query;
