//! What the REST API and the dashboard share: JSON bodies, changes as resources, what is known of a request at its start,
//! and requests of webhooks.

pub(crate) mod changes;
pub(crate) mod json;
pub(crate) mod member_types;
pub(crate) mod members;
pub(crate) mod request_head;
pub(crate) mod webhook_requests;
