//! Revoking all keys of a customer, one after the other. A call that ends early says so, and can be continued.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::partition::{Cell, Position};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{ApiKey, Status};
use gatepost_store::{Recovery, SortOrder, Versioned};
use tokio::time::Instant;

use super::change::with_status;
use super::key_list::{KeyFilter, KeyList, KeyScope, NullableFilter};
use super::key_ref::KeyRef;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;
use crate::update::Edit;
use crate::use_cases::long_response::LongResponse;
use crate::use_cases::pagination::{Rest, Selection};
use crate::use_cases::run_mode::RunMode;
use crate::use_cases::scan_time::ScanTime;

/// Keys that one call revokes, at most and by default.
const MAX_REVOKED: usize = 1000;
/// Time after which a call starts nothing more, so that its response comes before its client gives up.
const MAX_DURATION: Duration = Duration::from_secs(20);
/// Keys that are selected at a time.
const BATCH_KEYS: usize = 100;

/// The keys to revoke: those of a customer in a project.
#[derive(Debug)]
pub struct RevokeManyRequest {
    pub project: Option<String>,
    pub custom_account_id: Option<String>,
    /// `next` of a call that has left some.
    pub after: Option<String>,
    /// Keys to revoke at most. A dry run counts all.
    pub limit: Option<usize>,
    pub mode: RunMode,
}

/// Keys that a call has revoked, or that a dry run has counted.
#[derive(Debug)]
pub struct RevokedKeys {
    pub count: usize,
    /// A gateway that has applied the change at this position refuses these keys, and those of earlier calls. None in a
    /// dry run.
    pub position: Option<Position>,
    /// Cursor from which the next call continues.
    pub next: String,
    /// Whether keys of the customer may be left.
    pub rest: Rest,
}

impl ControlPlane {
    /// Revokes the active keys of a customer, oldest first. Each is a change of its own, as if it were revoked alone. The
    /// call ends with the last key, after `limit` keys, or after 20 s.
    ///
    /// # Errors
    /// `validation` names the member that is wrong, and `not-found` a project that the caller does not see. Keys that were
    /// revoked before a failure stay revoked; it is safe to call again.
    pub async fn revoke_api_keys(self, context: RequestContext, request: RevokeManyRequest) -> Result<RevokedKeys> {
        context.caller.require_write()?;
        let project = context.caller.project_or_own(request.project.as_deref())?;
        let customer = parse_customer(request.custom_account_id)?;
        let limit = parse_limit(request.limit)?;
        let scope = KeyScope::Project(project.to_string());
        let list = self.key_list(&context, &scope, SortOrder::OldestFirst).await?;
        let name = self.cursor_name(&list, request.mode, &customer);
        let start = self.decode_cursor(&name, request.after.as_deref())?;
        let status = Some(Status::Active);
        let custom_account_id = Some(NullableFilter::Text(customer));
        let filter = KeyFilter { custom_account_id, status, ..KeyFilter::default() };
        let ends_at = Instant::now() + MAX_DURATION;
        let response = LongResponse::new(self, context.for_one_of_many(), list.requested_project.clone());
        let mut run = Run { response, list, filter, mode: request.mode, limit, ends_at, count: 0, last: None };
        let (end, rest) = run.perform(start).await?;
        let position = run.position().await?;
        let store = &run.response.control_plane.store;
        if rest == Rest::Nothing && store.single_cell().recovery() == Recovery::InProgress {
            return Err(Failure::store_recovering());
        }
        Ok(RevokedKeys { count: run.count, position, next: store.envelope().seal_cursor(&name, &end)?, rest })
    }

    /// Returns the name that cursors are bound to: one of a dry run would make a call skip what was only counted.
    fn cursor_name(&self, list: &KeyList, mode: RunMode, customer: &str) -> String {
        let kind = match mode {
            RunMode::Apply => "revoke",
            RunMode::DryRun => "revoke-dry-run",
        };
        format!("{kind}/{}/{}", list.name, self.store.envelope().digest(customer).to_hex())
    }
}

/// A call in progress.
struct Run {
    response: LongResponse,
    list: KeyList,
    filter: KeyFilter,
    mode: RunMode,
    limit: usize,
    ends_at: Instant,
    count: usize,
    /// Position of the last revocation.
    last: Option<Position>,
}

impl Run {
    /// Revokes keys from a position on, and returns where the next call continues and whether there is something left.
    async fn perform(&mut self, mut position: String) -> Result<(String, Rest)> {
        loop {
            let (keys, end, rest) = self.select(&position).await?;
            for (index, key) in keys.iter().enumerate() {
                // At least one of each batch, so that every call gets on.
                if index > 0 && self.is_over() {
                    return Ok((position, Rest::More));
                }
                self.revoke(&key.record).await?;
            }
            position = end;
            if rest == Rest::Nothing || self.is_full() || self.is_over() {
                return Ok((position, rest));
            }
        }
    }

    async fn select(&mut self, position: &str) -> Result<(Vec<Versioned<ApiKey>>, String, Rest)> {
        let left = match self.mode {
            RunMode::Apply => self.limit - self.count,
            RunMode::DryRun => BATCH_KEYS,
        };
        let mut selection = Selection::bounded(left.min(BATCH_KEYS), position.to_owned());
        let filter = &self.filter;
        self.response.select_keys(&self.list, &mut selection, ScanTime::Unlimited, |key| filter.matches(key)).await?;
        Ok(selection.finish())
    }

    /// Returns the position that gateways must reach: that of the newest change if none was needed, so that a call that is
    /// repeated waits for what an earlier one has changed.
    async fn position(&self) -> Result<Option<Position>> {
        let cell = self.response.control_plane.store.single_cell();
        match (self.mode, self.last) {
            (RunMode::DryRun, _) => Ok(None),
            (RunMode::Apply, Some(last)) => Ok(Some(last)),
            (RunMode::Apply, None) => Ok(Some(Position { cell: Cell::FIRST, version: cell.last_position().await? })),
        }
    }

    fn is_full(&self) -> bool {
        self.mode == RunMode::Apply && self.count >= self.limit
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.ends_at
    }

    /// Revokes a key, unless it was changed meanwhile so that it is not meant any more.
    async fn revoke(&mut self, key: &ApiKey) -> Result<()> {
        if self.mode == RunMode::DryRun {
            self.count += 1;
            return Ok(());
        }
        self.response.reauthorize().await?;
        let LongResponse { control_plane, context, .. } = &self.response;
        let edit = |found: &ApiKey| {
            Ok(match self.filter.matches(found) {
                true => with_status(found, Status::Inactive, Action::ApiKeyDeleted),
                false => Edit::Unchanged,
            })
        };
        match control_plane.change_api_key(context, &KeyRef::Id(key.id.clone()), edit).await {
            Ok(revoked) if revoked.key.record.status == Status::Inactive => {
                self.count += 1;
                self.last = Some(revoked.key.position);
                Ok(())
            }
            Ok(_) => Ok(()),
            // It was purged.
            Err(Failure::Refused(problem)) if problem.code == ErrorCode::InvalidClientKey => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

fn parse_customer(requested: Option<String>) -> Result<String> {
    let customer = requested.ok_or_else(|| Failure::invalid("customAccountId: is missing"))?;
    if customer.is_empty() {
        return Err(Failure::invalid("customAccountId: must not be empty"));
    }
    Ok(customer)
}

fn parse_limit(requested: Option<usize>) -> Result<usize> {
    let limit = requested.unwrap_or(MAX_REVOKED);
    if !(1..=MAX_REVOKED).contains(&limit) {
        return Err(Failure::invalid(format!("limit: must be a number from 1 to {MAX_REVOKED}")));
    }
    Ok(limit)
}
