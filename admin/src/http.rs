//! What the REST API and the dashboard share: JSON bodies, what is known of a request at its start, and requests of webhooks.

pub(crate) mod json;
pub(crate) mod members;
pub(crate) mod request_head;
pub(crate) mod webhook_requests;
