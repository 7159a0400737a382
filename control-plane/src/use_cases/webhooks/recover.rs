//! Recoveries of a webhook: starting one, reading its progress, cancelling it. Deliverers run them.

use gatepost_domain::id::{RecoveryId, WebhookId};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Webhook;
use gatepost_domain::time::Timestamp;
use gatepost_store::{
    CellStore, DeliveryPosition, NewRecovery, RecoveredKinds, RecoveryCreation, RecoveryFilter, RecoveryJob, os_rng,
};

use super::resend::check_sends;
use super::validate;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result, both};
use crate::request_context::RequestContext;
use crate::use_cases::pagination::PAGE_SIZE;

/// The deliveries to recover, as a request names them.
#[derive(Debug, Clone, Default)]
pub struct RecoveryRequest {
    pub since: Option<String>,
    pub until: Option<String>,
    pub topics: Option<Vec<String>>,
    pub status: Option<String>,
}

impl ControlPlane {
    /// Starts to send dead and dropped deliveries of a webhook again, or those that wait at once. Its size is counted
    /// now; what dies, is dropped or fails for the first time later does not belong to it.
    ///
    /// # Errors
    /// `validation` names the member that is wrong; `conflict` names another recovery of the webhook that runs, or says
    /// that the webhook sends nothing (see [`reason_not_to_send`](super::resend::reason_not_to_send)).
    pub async fn start_recovery(
        &self,
        context: &RequestContext,
        webhook: &str,
        request: &RecoveryRequest,
    ) -> Result<RecoveryJob> {
        context.caller.require_write()?;
        let (webhook, cell) = self.recovering_webhook(context, webhook).await?;
        let filter = parse_filter(request, self.now())?;
        check_sends(&webhook)?;
        let running = cell.recoveries(&webhook.id).await?.into_iter().find(RecoveryJob::is_running);
        if let Some(running) = running {
            return Err(already_running(&running.id));
        }
        let (total, through) = self.count_recoverable(context, cell, &webhook.id, &filter).await?;
        let id = RecoveryId::generate_in(webhook.id.partition(), &mut os_rng());
        match cell.create_recovery(&webhook.id, &NewRecovery { id, filter, total, through }).await? {
            RecoveryCreation::Created(job) => {
                tracing::info!(
                    webhook = webhook.id.as_str(),
                    recovery = job.id.as_str(),
                    total,
                    "a recovery has been started"
                );
                Ok(job)
            }
            RecoveryCreation::Running(other) => Err(already_running(&other)),
        }
    }

    /// Returns the recoveries of a webhook that are kept, newest first.
    pub async fn recoveries(&self, context: &RequestContext, webhook: &str) -> Result<Vec<RecoveryJob>> {
        let (webhook, cell) = self.recovering_webhook(context, webhook).await?;
        Ok(cell.recoveries(&webhook.id).await?)
    }

    /// Returns a recovery of a webhook with its progress.
    ///
    /// # Errors
    /// `not-found` if there is none, or it is no longer kept.
    pub async fn recovery_job(&self, context: &RequestContext, webhook: &str, id: &str) -> Result<RecoveryJob> {
        let all = self.recoveries(context, webhook).await?;
        all.into_iter().find(|job| job.id.as_str() == id).ok_or_else(no_recovery)
    }

    /// Cancels a recovery. What it has enqueued is sent nevertheless. One that has ended stays as it is.
    ///
    /// # Errors
    /// `not-found` if there is none, or it is no longer kept.
    pub async fn cancel_recovery(&self, context: &RequestContext, webhook: &str, id: &str) -> Result<RecoveryJob> {
        context.caller.require_write()?;
        let (webhook, cell) = self.recovering_webhook(context, webhook).await?;
        let id = RecoveryId::parse(id).map_err(|_| no_recovery())?;
        let job = cell.cancel_recovery(&webhook.id, &id).await?.ok_or_else(no_recovery)?;
        tracing::info!(
            webhook = webhook.id.as_str(),
            recovery = id.as_str(),
            status = job.status.as_str(),
            recovered = job.recovered,
            "cancelling a recovery was requested"
        );
        Ok(job)
    }

    async fn recovering_webhook(&self, context: &RequestContext, webhook: &str) -> Result<(Webhook, &CellStore)> {
        let webhook = self.webhook(context, webhook).await?.record;
        let cell = self.store.home(webhook.id.partition());
        Ok((webhook, cell))
    }

    /// Counts the deliveries that a filter selects, and returns the position of the newest delivery. The lists are
    /// bounded, so this ends.
    async fn count_recoverable(
        &self,
        context: &RequestContext,
        cell: &CellStore,
        webhook: &WebhookId,
        filter: &RecoveryFilter,
    ) -> Result<(u64, Option<DeliveryPosition>)> {
        let (mut total, mut through) = (0, None);
        loop {
            let _turn = self.acquire_list_permit(context).await?;
            let page = cell.recoverable_page(webhook, filter, through, PAGE_SIZE).await?;
            let Some(last) = page.last else { return Ok((total, through)) };
            (total, through) = (total + page.selected, Some(last));
        }
    }
}

fn parse_filter(request: &RecoveryRequest, now: Timestamp) -> Result<RecoveryFilter> {
    let topics = request.topics.as_deref().map(validate::parse_topics).transpose();
    let selection = both(parse_kinds(request.status.as_deref()), topics);
    let ((since, until), (kinds, topics)) = both(parse_period(request, now), selection)?;
    Ok(RecoveryFilter { kinds, since, until, topics })
}

fn parse_period(request: &RecoveryRequest, now: Timestamp) -> Result<(Timestamp, Option<Timestamp>)> {
    let since = parse_time("since", request.since.as_deref());
    let since = since.and_then(|since| match since {
        None => Err(Failure::invalid("since: is missing")),
        Some(since) if since > now => Err(Failure::invalid("since: is in the future")),
        Some(since) => Ok(since),
    });
    let (since, until) = both(since, parse_time("until", request.until.as_deref()))?;
    if until.is_some_and(|until| until <= since) {
        return Err(Failure::invalid("until: must be after since"));
    }
    Ok((since, until))
}

fn parse_time(member: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let time = text.map(Timestamp::parse).transpose();
    time.map_err(|error| Failure::invalid(format!("{member}: {error}")))
}

fn parse_kinds(status: Option<&str>) -> Result<RecoveredKinds> {
    let status = status.ok_or_else(|| Failure::invalid("status: is missing"))?;
    RecoveredKinds::parse(status).ok_or_else(|| {
        let known = RecoveredKinds::ALL.map(RecoveredKinds::as_str).join(", ");
        Failure::invalid(format!("status: {status:?} is not one of {known}"))
    })
}

fn already_running(id: &RecoveryId) -> Failure {
    let detail = format!("the recovery {id} of this webhook is running: wait for its end, or cancel it");
    Failure::refused(ErrorCode::Conflict, detail)
}

fn no_recovery() -> Failure {
    Failure::refused(ErrorCode::NotFound, "there is no such recovery, or it is no longer kept")
}
