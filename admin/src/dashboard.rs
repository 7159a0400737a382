//! The dashboard: pages for people, over the use cases of the control plane, at `/dashboard`.

mod action_words;
mod actors;
mod answer;
mod assets;
mod form;
mod frame;
mod layout;
mod one_time;
mod origin;
mod pages;
mod parts;
mod policy;
pub(crate) mod root;
mod snippets;
mod state;
mod usage;
mod visitor;

pub use state::DashboardOptions;
pub(crate) use state::DashboardState;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use pages::{change, changes, key, key_form, key_revoke, keys, project, projects, sign_in};

/// Returns the pages, to be nested at [`root::ROOT`].
pub(crate) fn router(state: DashboardState) -> Router {
    Router::new()
        .route("/", get(pages::home))
        .route("/sign-in", get(sign_in::form).post(sign_in::submit))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/sign-out-everywhere", post(sign_in::sign_out_everywhere))
        .route("/projects", get(projects::list))
        .route("/projects/new", get(projects::new).post(projects::create))
        .route("/projects/{id}", get(project::show).post(project::rename))
        .route("/projects/{id}/delete", get(project::confirm_delete).post(project::delete))
        .route("/projects/{id}/keys", get(keys::list).post(keys::search))
        .route("/projects/{id}/keys/new", get(key_form::new).post(key_form::create))
        .route("/keys/{id}", get(key::show))
        .route("/keys/{id}/edit", get(key_form::edit).post(key_form::update))
        .route("/keys/{id}/rotate", get(key::confirm_rotate).post(key::rotate))
        .route("/keys/{id}/revoke", get(key_revoke::confirm).post(key_revoke::revoke))
        .route("/keys/{id}/reactivate", post(key::reactivate))
        .route("/projects/{id}/changes", get(changes::of_project))
        .route("/changes", get(changes::of_account))
        .route("/changes/{cursor}", get(change::show))
        .route("/assets/{digest}/{name}", get(assets::serve))
        .fallback(pages::not_found)
        .layer(from_fn_with_state(state.clone(), origin::layer))
        .layer(from_fn(policy::layer))
        .with_state(state)
}
