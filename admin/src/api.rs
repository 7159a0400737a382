//! The admin REST API: routes, and the OpenAPI document that is generated from them.

mod extract;
mod middleware;
mod openapi;
mod patch;
mod prefer;
mod respond;
pub(crate) mod routes;
pub(crate) mod state;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, options};
use gatepost_domain::problem::ErrorCode;
use gatepost_http_server::HostRule;
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::members::SchemaMembers;
use middleware::{access_log, authorization, host_check, idempotency, ignored_members, no_store, recovery};
use respond::problem;
use routes::{
    access_keys, accounts, analytics, api_keys, docs, events, gateways, legacy, projects, root, system, webhooks,
};
use state::ApiState;

/// What stands at the head of the document.
#[derive(OpenApi)]
#[openapi(info(
    title = "Gatepost admin API",
    description = "Projects, API keys and webhooks. Send an access key as `x-api-key`.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct ApiDoc;

/// The OpenAPI document. Bodies of requests are validated against it.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| complete_openapi(routes().into_openapi()));
/// The members of its schemas.
static SCHEMA_MEMBERS: LazyLock<Arc<SchemaMembers>> = LazyLock::new(|| Arc::new(SchemaMembers::of_document(&DOCUMENT)));

/// Returns the members that bodies may have.
pub(crate) fn schema_members() -> Arc<SchemaMembers> {
    Arc::clone(&SCHEMA_MEMBERS)
}

/// Returns the API, and the dashboard at its path if there is one, for requests to these hosts.
pub(crate) fn router(state: ApiState, hosts: HostRule, dashboard: Option<Router>) -> Router {
    let api = api_router(&state);
    let all = match dashboard {
        Some(dashboard) => api.merge(dashboard),
        None => api,
    };
    all.layer(from_fn_with_state(hosts, host_check::layer)).layer(from_fn_with_state(state, access_log::layer))
}

fn api_router(state: &ApiState) -> Router {
    let (router, _) = routes().split_for_parts();
    let json = Bytes::from(openapi_json());
    router
        .route_layer(from_fn_with_state(state.clone(), recovery::layer))
        .route("/", options(root::options))
        .route("/openapi.json", get(move || async move { ([("content-type", "application/json")], json) }))
        .merge(docs::routes())
        .fallback(|| async { problem::to_response(ErrorCode::NotFound.into()) })
        .method_not_allowed_fallback(|| async { problem::to_response(ErrorCode::MethodNotAllowed.into()) })
        .layer(from_fn_with_state(state.clone(), ignored_members::layer))
        .layer(from_fn_with_state(state.clone(), idempotency::layer))
        .layer(from_fn_with_state(state.clone(), authorization::layer))
        .layer(from_fn(no_store::layer))
        .with_state(state.clone())
}

/// Returns the OpenAPI document, as served at `/openapi.json`.
pub fn openapi_json() -> String {
    serde_json::to_string_pretty(&*DOCUMENT).expect("a value can be written")
}

/// Removes slashes at the end of a path: some clients list at `/api-keys/`.
pub(crate) fn trim_trailing_slash<B>(mut request: http::Request<B>) -> http::Request<B> {
    let uri = request.uri();
    let path = uri.path();
    if path.len() > 1 && path.ends_with('/') {
        let trimmed = path.trim_end_matches('/');
        let path = if trimmed.is_empty() { "/" } else { trimmed };
        let target = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        if let Ok(uri) = target.parse() {
            *request.uri_mut() = uri;
        }
    }
    request
}

fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(root::welcome))
        .routes(routes!(accounts::create, accounts::list))
        .routes(routes!(accounts::get, accounts::update, accounts::deactivate))
        .routes(routes!(accounts::limits))
        .routes(routes!(access_keys::create, access_keys::list))
        .routes(routes!(access_keys::update, access_keys::deactivate))
        .routes(routes!(access_keys::reactivate))
        .routes(routes!(projects::create, projects::list))
        .routes(routes!(projects::get, projects::update, projects::deactivate))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::search::search))
        .routes(routes!(api_keys::revoke::revoke))
        .routes(routes!(api_keys::explain::explain))
        .routes(routes!(api_keys::get, api_keys::update, api_keys::deactivate))
        .routes(routes!(api_keys::reactivate))
        .routes(routes!(api_keys::rotate))
        .routes(routes!(api_keys::authenticate, api_keys::authenticate_by_get))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::topics))
        .routes(routes!(webhooks::ping))
        .routes(routes!(webhooks::get, webhooks::update, webhooks::delete))
        .routes(routes!(webhooks::rotate_secret))
        .routes(routes!(webhooks::deliveries::list))
        .routes(routes!(webhooks::deliveries::get))
        .routes(routes!(webhooks::deliveries::resend))
        .routes(routes!(webhooks::deliveries::stats))
        .routes(routes!(webhooks::recoveries::start))
        .routes(routes!(webhooks::recoveries::list))
        .routes(routes!(webhooks::recoveries::get, webhooks::recoveries::cancel))
        .routes(routes!(webhooks::test))
        .routes(routes!(legacy::authenticate))
        .routes(routes!(analytics::project_totals))
        .routes(routes!(analytics::api_key_totals))
        .routes(routes!(api_keys::usage::of_key))
        .routes(routes!(api_keys::usage::top))
        .routes(routes!(gateways::list))
        .routes(routes!(events::list))
        .routes(routes!(events::stream))
        .routes(routes!(events::get))
        .routes(routes!(webhooks::deliveries::of_event))
        .routes(routes!(gateways::propagation))
        .routes(routes!(system::get))
        .routes(routes!(system::quarantine))
        .routes(routes!(system::quarantined_entry))
}

fn complete_openapi(mut document: utoipa::openapi::OpenApi) -> Value {
    let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key")));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("accessKey", scheme);
    document.security = Some(vec![utoipa::openapi::SecurityRequirement::new("accessKey", Vec::<String>::new())]);
    let mut document = serde_json::to_value(document).expect("the document is made of serializable parts");
    openapi::complete(&mut document);
    document
}
