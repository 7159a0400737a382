//! What callers can do, apart from how they ask for it.

pub(crate) mod access_keys;
pub(crate) mod accounts;
pub(crate) mod analytics;
pub(crate) mod api_keys;
pub(crate) mod authenticate_api_key;
mod authenticate_caller;
pub(crate) mod created_with_secret;
pub(crate) mod event_cursor;
pub(crate) mod event_filter;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod gateways;
pub(crate) mod import;
pub(crate) mod import_run;
pub(crate) mod long_response;
pub(crate) mod operator;
pub(crate) mod pagination;
pub(crate) mod patch;
pub(crate) mod projects;
pub(crate) mod purge;
pub(crate) mod run_mode;
pub(crate) mod sessions;
mod stored_responses;
pub(crate) mod system;
mod text;
pub(crate) mod update_rules;
pub(crate) mod webhooks;
