//! What the REST API and the dashboard share: JSON bodies, and what is known of a request at its start.

pub(crate) mod json;
pub(crate) mod members;
pub(crate) mod request_head;
