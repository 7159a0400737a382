//! The dashboard: pages for people, over the use cases of the control plane, at `/dashboard`.

mod action_words;
mod actors;
mod answer;
mod assets;
mod csv_file;
mod form;
mod frame;
mod imports;
mod layout;
mod live;
mod one_time;
mod origin;
mod pages;
mod parts;
mod policy;
mod possible_value;
pub(crate) mod root;
mod snippets;
mod state;
mod upload;
mod usage;
mod visitor;

pub use state::DashboardOptions;
pub(crate) use state::DashboardState;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use pages::{
    access_key_form, access_keys, account, change, changes, changes_csv, customer_revoke, dead_letters, deliveries,
    delivery, explain, gateways, import, key, key_form, key_revoke, keys, project, projects, recoveries, search,
    shortcuts, sign_in, system, webhook, webhook_delete, webhook_edit, webhook_new, webhook_secret, webhook_test,
    webhooks,
};

/// Returns the pages, at [`root::ROOT`].
pub(crate) fn router(state: DashboardState) -> Router {
    Router::new().nest(root::ROOT, pages_router(state))
}

fn pages_router(state: DashboardState) -> Router {
    Router::new()
        .route("/", get(pages::home))
        .route("/sign-in", get(sign_in::form).post(sign_in::submit))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/sign-out-everywhere", post(sign_in::sign_out_everywhere))
        .route("/projects", get(projects::list).post(projects::filter))
        .route("/projects/new", get(projects::new).post(projects::create))
        .route("/projects/{id}", get(project::show).post(project::rename))
        .route("/projects/{id}/delete", get(project::confirm_delete).post(project::delete))
        .route("/projects/{id}/keys", get(keys::list).post(keys::search))
        .route("/projects/{id}/keys/revoke", get(customer_revoke::confirm).post(customer_revoke::revoke))
        .route("/projects/{id}/keys/new", get(key_form::new).post(key_form::create))
        .route("/keys/{id}", get(key::show))
        .route("/keys/{id}/edit", get(key_form::edit).post(key_form::update))
        .route("/keys/{id}/rotate", get(key::confirm_rotate).post(key::rotate))
        .route("/keys/{id}/revoke", get(key_revoke::confirm).post(key_revoke::revoke))
        .route("/keys/{id}/reactivate", post(key::reactivate))
        .route("/projects/{id}/changes", get(changes::of_project))
        .route("/changes", get(changes::of_account))
        .route("/projects/{id}/changes.csv", get(changes_csv::of_project))
        .route("/changes.csv", get(changes_csv::of_account))
        .route("/changes/{cursor}", get(change::show))
        .route("/access-keys", get(access_keys::list))
        .route("/access-keys/new", get(access_key_form::new).post(access_key_form::create))
        .route("/access-keys/{id}/revoke", get(access_keys::confirm_revoke).post(access_keys::revoke))
        .route("/access-keys/{id}/reactivate", post(access_keys::reactivate))
        .route("/account", get(account::show).post(account::rename))
        .route("/gateways", get(gateways::list))
        .route("/explain", get(explain::form).post(explain::explain))
        .route("/search", get(search::show).post(search::search))
        .route("/shortcuts", get(shortcuts::show))
        .route("/import", get(import::form).post(import::upload).layer(DefaultBodyLimit::max(upload::MAX_UPLOAD_BYTES)))
        .route("/import/{id}", get(import::show).post(import::apply))
        .route("/import/{id}/refused.csv", get(import::refused_rows))
        .route("/system", get(system::show))
        .route("/system/quarantine", get(system::quarantine))
        .route("/system/quarantine/{cursor}", get(system::download))
        .merge(webhook_routes())
        .merge(live_routes())
        .merge(more_routes())
        .route("/assets/{digest}/{name}", get(assets::serve))
        .fallback(pages::not_found)
        .layer(from_fn_with_state(state.clone(), origin::layer))
        .layer(from_fn(policy::layer))
        .with_state(state)
}

/// Returns the streams of the pages that follow what they show, each at the path of its page below `/live`.
fn live_routes() -> Router<DashboardState> {
    Router::new()
        .route("/live/keys/{id}", get(key::live))
        .route("/live/projects/{id}/changes", get(changes::live_of_project))
        .route("/live/changes", get(changes::live_of_account))
        .route("/live/changes/{cursor}", get(change::live))
        .route("/live/gateways", get(gateways::live))
        .route("/live/import/{id}", get(import::live))
        .route("/live/system", get(system::live))
        .route("/live/webhooks/{id}", get(webhook::live))
        .route("/live/webhooks/{id}/deliveries", get(deliveries::live))
        .route("/live/webhooks/{id}/deliveries/{event}", get(delivery::live))
        .route("/live/webhooks/{id}/recoveries/{recovery}", get(recoveries::live))
}

/// Returns the parts that pages add to what they have found, each at the path of its page below `/more`.
fn more_routes() -> Router<DashboardState> {
    Router::new()
        .route("/more/projects/{id}/keys", get(keys::more))
        .route("/more/search", get(search::more))
        .route("/more/projects/{id}/changes", get(changes::more_of_project))
        .route("/more/changes", get(changes::more_of_account))
        .route("/more/webhooks/{id}/deliveries", get(deliveries::more))
        .route("/more/webhooks/{id}/dead-letters", get(dead_letters::more))
}

fn webhook_routes() -> Router<DashboardState> {
    Router::new()
        .route("/projects/{id}/webhooks", get(webhooks::list))
        .route("/projects/{id}/webhooks/new", get(webhook_new::new).post(webhook_new::create))
        .route("/webhooks/{id}", get(webhook::show))
        .route("/webhooks/{id}/pause", post(webhook::pause))
        .route("/webhooks/{id}/resume", post(webhook::resume))
        .route("/webhooks/{id}/edit", get(webhook_edit::edit).post(webhook_edit::update))
        .route("/webhooks/{id}/rotate-secret", get(webhook_secret::confirm_rotate).post(webhook_secret::rotate))
        .route("/webhooks/{id}/test", get(webhook_test::form).post(webhook_test::send))
        .route("/webhooks/{id}/delete", get(webhook_delete::confirm).post(webhook_delete::delete))
        .route("/webhooks/{id}/deliveries", get(deliveries::list))
        .route("/webhooks/{id}/deliveries/{event}", get(delivery::show))
        .route("/webhooks/{id}/deliveries/{event}/resend", post(delivery::resend))
        .route("/webhooks/{id}/dead-letters", get(dead_letters::list))
        .route("/webhooks/{id}/dead-letters/{event}/resend", post(dead_letters::resend))
        .route("/webhooks/{id}/recover", get(recoveries::form).post(recoveries::start))
        .route("/webhooks/{id}/recoveries/{recovery}", get(recoveries::show))
        .route("/webhooks/{id}/recoveries/{recovery}/cancel", post(recoveries::cancel))
}
