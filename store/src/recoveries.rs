//! Operations on recoveries: creating, reading and cancelling them, and their steps.

use gatepost_domain::id::{EventId, RecoveryId, WebhookId};
use gatepost_domain::time::Version;

use crate::cell_store::CellStore;
use crate::deliveries::{Delivery, DeliveryPosition};
use crate::error::{Result, StoreErrorKind};
use crate::ops::{
    DeliveryKind, RawDelivery, RawDeliveryContent, RawRecoveryCreation, RawRecoveryItem, RawRecoveryStep,
    RawRunningRecovery, RecoverySource, RecoveryStepOutcome, SortOrder, StepEnd,
};
use crate::records::MAX_PAGE;
use crate::recovery_job::{
    NewRecovery, RecoverablePage, RecoveryCreation, RecoveryFilter, RecoveryJob, RecoveryPace, RunningRecovery,
};

/// Maximum number of deliveries that one step of a recovery reads.
const STEP_SIZE: u32 = 100;

/// A delivery that a recovery selects, before its body is read.
struct Candidate {
    event: EventId,
    sequence: i64,
    kind: DeliveryKind,
    version: Option<Version>,
}

impl CellStore {
    /// Counts the deliveries that a filter selects in the next part of the lists of a webhook, after a position or from
    /// the oldest one.
    ///
    /// # Errors
    ///
    /// Those of [`CellStore::deliveries`].
    pub async fn recoverable_page(
        &self,
        webhook: &WebhookId,
        filter: &RecoveryFilter,
        after: Option<DeliveryPosition>,
        limit: u32,
    ) -> Result<RecoverablePage> {
        let (kinds, after) = (filter.kinds.lists(), after.map(DeliveryPosition::sequence));
        let limit = limit.clamp(1, MAX_PAGE);
        let raw = self.backend.deliveries(webhook.clone(), kinds, SortOrder::OldestFirst, after, limit).await?;
        let last = raw.last().map(|delivery| DeliveryPosition::of_sequence(delivery.sequence));
        // One that cannot be decoded is skipped by the recovery: it has to be counted.
        let is_selected = |raw| Delivery::decode(raw).map_or(true, |delivery| filter.matches(&delivery));
        Ok(RecoverablePage {
            selected: raw.into_iter().map(is_selected).filter(|is_selected| *is_selected).count() as u64,
            last,
        })
    }

    /// Creates a recovery unless another one of the webhook runs. Beyond [`MAX_RECOVERIES`](crate::MAX_RECOVERIES) of a
    /// webhook, the one that ended first is removed.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`]. It is safe to retry.
    pub async fn create_recovery(&self, webhook: &WebhookId, new: &NewRecovery) -> Result<RecoveryCreation> {
        match self.backend.create_recovery(webhook.clone(), new.id.clone(), new.encode()).await? {
            RawRecoveryCreation::Created(raw) => RecoveryJob::decode(raw).map(RecoveryCreation::Created),
            RawRecoveryCreation::Running(id) => Ok(RecoveryCreation::Running(id)),
        }
    }

    /// Returns the recoveries of a webhook that are stored, newest first.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn recoveries(&self, webhook: &WebhookId) -> Result<Vec<RecoveryJob>> {
        let raw = self.backend.recoveries(webhook.clone()).await?;
        let mut jobs: Vec<RecoveryJob> = raw.into_iter().map(RecoveryJob::decode).collect::<Result<_>>()?;
        jobs.sort_by(|left, right| (right.created_at, &right.id).cmp(&(left.created_at, &left.id)));
        Ok(jobs)
    }

    /// Cancels a recovery unless it has ended. Returns it, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`]. It is safe to retry.
    pub async fn cancel_recovery(&self, webhook: &WebhookId, id: &RecoveryId) -> Result<Option<RecoveryJob>> {
        let raw = self.backend.cancel_recovery(webhook.clone(), id.clone()).await?;
        raw.map(RecoveryJob::decode).transpose()
    }

    /// Returns recoveries that run, in the order of their webhooks, after one or from the start. One that cannot be
    /// decoded is an error of its own.
    ///
    /// # Errors
    ///
    /// Those of a read, see [`CellStore`].
    pub async fn running_recoveries(
        &self,
        after: Option<&WebhookId>,
        limit: u32,
    ) -> Result<Vec<(WebhookId, Result<RunningRecovery>)>> {
        let raw = self.backend.running_recoveries(after.cloned(), limit).await?;
        let decode = |RawRunningRecovery { webhook, open, recovery }| {
            let job = RecoveryJob::decode(recovery);
            (webhook.clone(), job.map(|job| RunningRecovery { webhook, job, open }))
        };
        Ok(raw.into_iter().map(decode).collect())
    }

    /// Enqueues the next deliveries of a recovery with fresh schedules, oldest first, and moves its cursor, in one
    /// operation. It stops where the queue has as many deliveries as the pace allows. If several deliverers race, one of
    /// them gets [`RecoveryStepOutcome::Conflict`].
    ///
    /// # Errors
    ///
    /// Those of a write, see [`CellStore`]. It is safe to retry.
    pub async fn run_recovery_step(
        &self,
        running: &RunningRecovery,
        pace: RecoveryPace,
    ) -> Result<RecoveryStepOutcome> {
        let (webhook, job) = (&running.webhook, &running.job);
        let kinds = job.filter.kinds.lists();
        let page =
            self.backend.deliveries(webhook.clone(), kinds, SortOrder::OldestFirst, job.cursor, STEP_SIZE).await?;
        let within = page.iter().take_while(|delivery| job.through.is_some_and(|through| delivery.sequence <= through));
        let read = within.clone().count();
        let next_cursor = within.last().map(|delivery| delivery.sequence).or(job.cursor);
        let end = if read < page.len() || page.is_empty() { StepEnd::Last } else { StepEnd::More };
        let candidates = page.into_iter().take(read).filter_map(|raw| candidate(job, raw));
        let room = pace.max_open.saturating_sub(running.open);
        let mut step = RawRecoveryStep {
            webhook: webhook.clone(),
            recovery: job.id.clone(),
            expected_cursor: job.cursor,
            next_cursor,
            end,
            max_open: pace.max_open,
            max_pending: pace.max_pending,
            items: Vec::new(),
        };
        for candidate in candidates {
            if step.items.len() as u64 >= room {
                // The others are read again by the next step.
                step.next_cursor = step.items.last().map(|item| item.sequence).or(job.cursor);
                step.end = StepEnd::More;
                break;
            }
            step.items.push(self.recovery_item(candidate).await?);
        }
        self.backend.run_recovery_step(step).await
    }

    async fn recovery_item(&self, candidate: Candidate) -> Result<RawRecoveryItem> {
        let Candidate { event, sequence, kind, version } = candidate;
        let source = match (kind, version) {
            (DeliveryKind::Dead, _) => RecoverySource::DeadLetter,
            (DeliveryKind::Waiting, _) => RecoverySource::Queue,
            (_, Some(version)) => match self.event_body(&event, version).await {
                Ok(body) => body.map_or(RecoverySource::Gone, RecoverySource::Stream),
                Err(error) if error.kind() == StoreErrorKind::Corrupt => RecoverySource::Gone,
                Err(error) => return Err(error),
            },
            (_, None) => RecoverySource::Gone,
        };
        Ok(RawRecoveryItem { event, sequence, source })
    }
}

/// Returns the delivery if it belongs to a recovery. One that cannot be decoded does, as one that cannot be sent.
fn candidate(job: &RecoveryJob, raw: RawDelivery) -> Option<Candidate> {
    let (event, sequence) = (raw.event.clone(), raw.sequence);
    let died_at = match &raw.content {
        RawDeliveryContent::Dead { letter, .. } => Some(letter.died_at),
        RawDeliveryContent::Waiting { .. } | RawDeliveryContent::Ended { .. } => None,
    };
    match Delivery::decode(raw) {
        Ok(delivery) if job.includes(&delivery, died_at) => {
            Some(Candidate { event, sequence, kind: delivery.kind, version: delivery.event_version })
        }
        Ok(_) => None,
        Err(_) => Some(Candidate { event, sequence, kind: DeliveryKind::Dropped, version: None }),
    }
}
