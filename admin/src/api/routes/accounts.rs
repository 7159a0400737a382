//! `/accounts`.

use axum::Json;
use axum::extract::State;
use gatepost_control_plane::{AccountChange, ControlPlane, Patch, RequestContext, status_of};
use gatepost_store::{AccountResource as AccountResourceKind, ResourceUsage};
use gatepost_wire::{AccessKeyResource, AccountResource};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::extract::body::{JsonBody, PatchBody};
use crate::api::extract::prefer_wait::PreferWait;
use crate::api::extract::query::{PathId, QueryParams};
use crate::api::patch;
use crate::api::respond::page::{self, PageResponse};
use crate::api::respond::problem::Result;
use crate::api::respond::resource::ResourceResponse;

/// Account to create.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateAccount {
    /// Name of the account, 1 to 256 characters.
    #[schema(value_type = String)]
    name: Option<String>,
}

/// Changes to an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateAccount {
    /// Name of the account, 1 to 256 characters.
    #[serde(default, with = "patch")]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    /// False deactivates the account, as DELETE does. True has no effect.
    is_active: Option<bool>,
}

impl From<UpdateAccount> for AccountChange {
    fn from(update: UpdateAccount) -> Self {
        Self { name: update.name, status: update.is_active.map(status_of) }
    }
}

/// An account with its first access key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewAccountBody {
    /// The account.
    #[serde(flatten)]
    account: AccountResource,
    /// Access key with the role `admin` for the account. Only this response contains its value.
    access_key: AccessKeyResource,
}

/// How much of each limited resource an account has.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountLimitsBody {
    /// Each limited resource; empty in a store of 0.1.0 that was not upgraded, as it does not count.
    limits: Vec<AccountLimitBody>,
}

/// A limited resource of an account.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountLimitBody {
    /// `apiKeys` (including revoked ones until they are purged), `projects`, `accessKeys` or `bytes` (of all records).
    #[schema(example = "apiKeys")]
    resource: &'static str,
    /// How much the account has.
    #[schema(example = 40)]
    used: u64,
    /// How much it may have; null without a limit.
    #[schema(example = 10_000_000)]
    limit: Option<u64>,
}

impl From<ResourceUsage> for AccountLimitBody {
    fn from(ResourceUsage { resource, used, limit }: ResourceUsage) -> Self {
        let resource = match resource {
            AccountResourceKind::ApiKeys => "apiKeys",
            AccountResourceKind::Projects => "projects",
            AccountResourceKind::AccessKeys => "accessKeys",
            AccountResourceKind::Bytes => "bytes",
        };
        Self { resource, used, limit }
    }
}

/// Creates an account and an access key for it.
///
/// Requires an admin of the first account in the store. Once there is a second account, every gateway route must name
/// its projects.
#[utoipa::path(
    post, path = "/accounts", operation_id = "createAccount", tag = "accounts", request_body = CreateAccount,
    responses((status = 201, body = NewAccountBody), (status = 400), (status = 401), (status = 403))
)]
pub(crate) async fn create(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    JsonBody(new): JsonBody<CreateAccount>,
) -> Result<ResourceResponse<NewAccountBody>> {
    let created = control_plane.create_account(&context, new.name).await?;
    let access_key = AccessKeyResource::new(&created.access_key, created.secret.expose());
    let body = NewAccountBody { account: AccountResource::from(&created.account.record), access_key };
    Ok(ResourceResponse::new(created.account.position, body).created())
}

/// Lists the accounts that the access key may access: only its own.
#[utoipa::path(
    get, path = "/accounts", operation_id = "listAccounts", tag = "accounts",
    params(
        ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query), ("after" = Option<String>, Query),
    ),
    responses((status = 200, body = [AccountResource]), (status = 400), (status = 401))
)]
pub(crate) async fn list(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    query: QueryParams,
) -> Result<PageResponse<AccountResource>> {
    let accounts = control_plane.accounts(&context, &page::parse_page_request(&query)?).await?;
    Ok(page::page_response(&query, accounts.map(|account| AccountResource::from(&account))))
}

/// Returns an account.
#[utoipa::path(
    get, path = "/accounts/{id}", operation_id = "getAccount", tag = "accounts", params(("id" = String, Path)),
    responses((status = 200, body = AccountResource), (status = 401), (status = 404))
)]
pub(crate) async fn get(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(id): PathId,
) -> Result<ResourceResponse<AccountResource>> {
    let found = control_plane.account(&context, &id).await?;
    Ok(ResourceResponse::new(found.position, AccountResource::from(&found.record)))
}

/// Returns the limits of an account, and how much of them is used.
#[utoipa::path(
    get, path = "/accounts/{id}/limits", operation_id = "getAccountLimits", tag = "accounts",
    params(("id" = String, Path)),
    responses((status = 200, body = AccountLimitsBody), (status = 401), (status = 403), (status = 404))
)]
pub(crate) async fn limits(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    PathId(id): PathId,
) -> Result<Json<AccountLimitsBody>> {
    let usage = control_plane.account_usage(&context, &id).await?;
    Ok(Json(AccountLimitsBody { limits: usage.into_iter().flatten().map(AccountLimitBody::from).collect() }))
}

/// Renames an account.
///
/// `isActive: false` deactivates it, as DELETE does. The body may be an unmodified copy of the account from a response.
#[utoipa::path(
    patch, path = "/accounts/{id}", operation_id = "updateAccount", tag = "accounts", request_body = UpdateAccount,
    params(("id" = String, Path), ("Prefer" = Option<String>, Header, example = "wait=5")),
    responses((status = 200, body = AccountResource), (status = 400), (status = 401), (status = 403), (status = 404))
)]
pub(crate) async fn update(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    wait: PreferWait,
    PathId(id): PathId,
    PatchBody { change, read_only }: PatchBody<UpdateAccount>,
) -> Result<ResourceResponse<AccountResource>> {
    if !read_only.is_empty() {
        read_only.check(&AccountResource::from(&control_plane.account(&context, &id).await?.record))?;
    }
    let updated = control_plane.update_account(&context, &id, &change.into()).await?;
    let headers = wait.wait_for_propagation(&control_plane, &context, updated.propagated_at).await?;
    let body = AccountResource::from(&updated.account.record);
    Ok(ResourceResponse::new(updated.account.position, body).with_headers(headers))
}

/// Deactivates an account permanently.
///
/// This deactivates its projects with all their keys, then its access keys, including the one that sends the request.
/// With `Prefer: wait=N` the response is sent once every gateway refuses the keys.
#[utoipa::path(
    delete, path = "/accounts/{id}", operation_id = "deleteAccount", tag = "accounts",
    params(("id" = String, Path), ("Prefer" = Option<String>, Header, example = "wait=5")),
    responses((status = 200, body = bool, content_type = "application/json"), (status = 401), (status = 403), (status = 404), (status = 503))
)]
pub(crate) async fn deactivate(
    State(control_plane): State<ControlPlane>,
    context: RequestContext,
    wait: PreferWait,
    PathId(id): PathId,
) -> Result<(HeaderMap, Json<bool>)> {
    let version = control_plane.deactivate_account(&context, &id).await?.propagated_at;
    Ok((wait.wait_for_propagation(&control_plane, &context, version).await?, Json(true)))
}
