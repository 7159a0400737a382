//! The pages, each with its handlers.

pub(crate) mod access_key_form;
pub(crate) mod access_keys;
pub(crate) mod account;
pub(crate) mod change;
pub(crate) mod changes;
pub(crate) mod changes_csv;
pub(crate) mod customer_revoke;
pub(crate) mod dead_letters;
pub(crate) mod deliveries;
pub(crate) mod delivery;
mod delivery_filter;
mod delivery_timeline;
pub(crate) mod explain;
mod found_changes;
pub(crate) mod gateways;
pub(crate) mod import;
pub(crate) mod key;
pub(crate) mod key_form;
pub(crate) mod key_revoke;
mod key_state;
mod key_values;
pub(crate) mod keys;
mod notified_webhooks;
mod overtaken_form;
pub(crate) mod project;
mod project_states;
pub(crate) mod projects;
pub(crate) mod recoveries;
pub(crate) mod search;
pub(crate) mod shortcuts;
pub(crate) mod sign_in;
pub(crate) mod system;
mod value_once;
pub(crate) mod webhook;
pub(crate) mod webhook_delete;
pub(crate) mod webhook_edit;
mod webhook_form;
mod webhook_frame;
pub(crate) mod webhook_new;
mod webhook_pause;
mod webhook_ping;
pub(crate) mod webhook_secret;
pub(crate) mod webhook_test;
mod webhook_topics;
pub(crate) mod webhooks;

use axum::response::Response;

use super::answer;
use super::visitor::Visitor;

/// Leads to the only project that the visitor sees, or to all.
pub(crate) async fn home(visitor: Visitor) -> Response {
    match &visitor.caller().project {
        Some(project) => answer::see_other(&format!("/projects/{project}")),
        None => answer::see_other("/projects"),
    }
}

pub(crate) async fn not_found() -> Response {
    answer::not_found()
}
