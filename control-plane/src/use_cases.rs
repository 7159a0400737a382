//! What can be done, apart from how it is asked for.

pub(crate) mod access_keys;
pub(crate) mod accounts;
pub(crate) mod analytics;
pub(crate) mod api_keys;
pub(crate) mod authenticate;
pub(crate) mod events;
pub(crate) mod gateways;
pub(crate) mod import;
pub(crate) mod lists;
pub(crate) mod long_response;
pub(crate) mod operator;
pub(crate) mod patch;
pub(crate) mod projects;
pub(crate) mod purge;
mod text;
pub(crate) mod update_rules;
pub(crate) mod webhooks;
