//! The admin API as its clients see it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod access;
mod access_keys;
mod accounts;
mod analytics;
mod audit_events;
mod bounds;
mod caller_import;
mod client_compat;
mod conditional_requests;
mod dashboard;
mod deliveries;
mod docs;
mod error_texts;
mod explain;
mod fixture;
mod gateways;
mod idempotency;
mod key_restrictions;
mod key_updates;
mod keys;
mod limits;
mod openapi;
mod pagination;
mod patch_round_trip;
mod query_parameters;
mod recoveries;
mod revoke_many;
mod rotation;
mod search;
mod stored_verbatim;
mod system;
mod unknown_members;
mod webhook_payloads;
mod webhook_settings;
mod webhook_states;
mod webhook_tests;
mod webhooks;
