//! The endpoints.

pub(crate) mod access_keys;
pub(crate) mod accounts;
pub(crate) mod analytics;
pub(crate) mod api_keys;
pub(crate) mod docs;
pub(crate) mod events;
pub(crate) mod gateways;
pub(crate) mod legacy;
pub(crate) mod projects;
pub(crate) mod root;
pub(crate) mod system;
pub(crate) mod webhooks;
