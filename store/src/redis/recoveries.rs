//! Recoveries on Redis.

use gatepost_domain::id::{RecoveryId, WebhookId};
use gatepost_domain::time::Timestamp;

use crate::error::{Result, StoreErrorKind};
use crate::ops::{
    MAX_RECOVERIES, RawRecovery, RawRecoveryCreation, RawRecoveryItem, RawRecoveryStep, RawRunningRecovery,
    RecoverySource, RecoveryStatus, RecoveryStepOutcome, StepEnd,
};
use crate::options::COMMIT_TIMEOUT;

use super::client::{Arguments, Redis};
use super::reply::Reply;
use super::scripts;

/// The cursor of a recovery at its start.
const NO_CURSOR: &str = "-";

impl Redis {
    pub(crate) async fn create_recovery(
        &self,
        webhook: WebhookId,
        recovery: RecoveryId,
        request: Vec<u8>,
    ) -> Result<RawRecoveryCreation> {
        let arguments =
            Arguments::default().text(webhook.as_str()).text(recovery.as_str()).number(MAX_RECOVERIES).bytes(request);
        let mut reply = self.run_script(&scripts::CREATE_RECOVERY, COMMIT_TIMEOUT, arguments).await?;
        match reply.status.as_str() {
            "created" => Ok(RawRecoveryCreation::Created(read_recovery(&mut reply)?)),
            "running" => Ok(RawRecoveryCreation::Running(read_recovery_id(&mut reply)?)),
            _ => reply.unexpected_status(),
        }
    }

    pub(crate) async fn recoveries(&self, webhook: WebhookId) -> Result<Vec<RawRecovery>> {
        let arguments = Arguments::default().text(webhook.as_str());
        let mut reply = self.run_script(&scripts::RECOVERIES, COMMIT_TIMEOUT, arguments).await?;
        let mut recoveries = Vec::new();
        while !reply.is_empty() {
            recoveries.push(read_recovery(&mut reply)?);
        }
        Ok(recoveries)
    }

    pub(crate) async fn running_recoveries(
        &self,
        after: Option<WebhookId>,
        limit: u32,
    ) -> Result<Vec<RawRunningRecovery>> {
        let after = after.as_ref().map_or("", WebhookId::as_str);
        let arguments = Arguments::default().text(after).number(limit);
        let mut reply = self.run_script(&scripts::RUNNING_RECOVERIES, COMMIT_TIMEOUT, arguments).await?;
        let mut running = Vec::new();
        while !reply.is_empty() {
            let webhook: String = reply.next()?;
            running.push(RawRunningRecovery {
                webhook: WebhookId::parse(&webhook).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
                open: reply.next()?,
                recovery: read_recovery(&mut reply)?,
            });
        }
        Ok(running)
    }

    pub(crate) async fn run_recovery_step(&self, step: RawRecoveryStep) -> Result<RecoveryStepOutcome> {
        let end = match step.end {
            StepEnd::More => "more",
            StepEnd::Last => "last",
        };
        let arguments = Arguments::default()
            .text(step.webhook.as_str())
            .text(step.recovery.as_str())
            .text(&format_cursor(step.expected_cursor))
            .text(&format_cursor(step.next_cursor))
            .text(end)
            .number(step.max_open)
            .number(step.max_pending)
            .number(step.items.len() as u64);
        let arguments = step.items.into_iter().fold(arguments, item_arguments);
        let mut reply = self.run_script(&scripts::RUN_RECOVERY_STEP, COMMIT_TIMEOUT, arguments).await?;
        match reply.status.as_str() {
            "ok" => Ok(RecoveryStepOutcome::Advanced {
                recovered: reply.next()?,
                skipped: reply.next()?,
                status: read_status(&mut reply)?,
            }),
            "lost" => Ok(RecoveryStepOutcome::Conflict),
            _ => reply.unexpected_status(),
        }
    }

    pub(crate) async fn cancel_recovery(
        &self,
        webhook: WebhookId,
        recovery: RecoveryId,
    ) -> Result<Option<RawRecovery>> {
        let arguments = Arguments::default().text(webhook.as_str()).text(recovery.as_str());
        let mut reply = self.run_script(&scripts::CANCEL_RECOVERY, COMMIT_TIMEOUT, arguments).await?;
        match reply.status.as_str() {
            "ok" => read_recovery(&mut reply).map(Some),
            "no" => Ok(None),
            _ => reply.unexpected_status(),
        }
    }
}

fn item_arguments(arguments: Arguments, item: RawRecoveryItem) -> Arguments {
    let (kind, body) = match item.source {
        RecoverySource::DeadLetter => ("dead", Vec::new()),
        RecoverySource::Stream(body) => ("dropped", body),
        RecoverySource::Queue => ("waiting", Vec::new()),
        RecoverySource::Gone => ("gone", Vec::new()),
    };
    arguments.text(kind).text(item.event.as_str()).text(&item.sequence.to_string()).bytes(body)
}

fn format_cursor(cursor: Option<i64>) -> String {
    cursor.map_or_else(|| NO_CURSOR.to_owned(), |sequence| sequence.to_string())
}

fn read_recovery(reply: &mut Reply) -> Result<RawRecovery> {
    let id = read_recovery_id(reply)?;
    let status = read_status(reply)?;
    let created_at = reply.timestamp()?;
    let finished_ms: u64 = reply.next()?;
    let cursor: String = reply.next()?;
    let cursor = (cursor != NO_CURSOR).then(|| cursor.parse()).transpose();
    Ok(RawRecovery {
        id,
        status,
        created_at,
        finished_at: (finished_ms > 0).then(|| Timestamp::from_ms(finished_ms)),
        cursor: cursor.map_err(|error: std::num::ParseIntError| StoreErrorKind::Corrupt.with(error))?,
        recovered: reply.next()?,
        skipped: reply.next()?,
        request: reply.next()?,
    })
}

fn read_recovery_id(reply: &mut Reply) -> Result<RecoveryId> {
    let id: String = reply.next()?;
    RecoveryId::parse(&id).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

fn read_status(reply: &mut Reply) -> Result<RecoveryStatus> {
    let status: String = reply.next()?;
    RecoveryStatus::parse(&status)
        .ok_or_else(|| StoreErrorKind::Corrupt.with(format!("a recovery has the unknown status {status:?}")))
}
