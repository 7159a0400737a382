//! What the REST API and the dashboard share: JSON bodies, changes as resources, and what is known of a request at its
//! start.

pub(crate) mod changes;
pub(crate) mod json;
pub(crate) mod members;
pub(crate) mod request_head;
