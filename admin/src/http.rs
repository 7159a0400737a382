//! JSON bodies, for all that operators reach over HTTP.

pub(crate) mod json;
pub(crate) mod members;
