//! Reading requests.

pub(crate) mod body;
pub(crate) mod context;
pub(crate) mod credentials;
pub(crate) mod prefer_wait;
pub(crate) mod query;
pub(crate) mod read_only;
