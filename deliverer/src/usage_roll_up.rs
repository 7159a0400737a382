//! Rolls up usage: ended hours of each key are packed, old hours become days, and old days months.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::ProjectId;
use gatepost_runtime::error_chain;
use gatepost_store::{MAX_PAGE, Result, StoreError, StoreErrorKind};

use crate::context::{DelivererContext, sleep_unless_stopped};

/// Time from the end of a roll-up to the next. Nothing is lost while none runs: uses only take more memory.
const INTERVAL: Duration = Duration::from_secs(6 * 3600);
/// Pause after 200 keys: Redis serves others meanwhile.
const PAUSE: Duration = Duration::from_millis(10);
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Rolls up usage until the deliverer is stopped.
pub(crate) async fn run(context: Arc<DelivererContext>) {
    let mut stopped = context.stopped.clone();
    while !*stopped.borrow() {
        let interval = match roll_up_all(&context).await {
            Ok(()) => INTERVAL,
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "rolling up usage failed, retrying in 60 s");
                RETRY_INTERVAL
            }
        };
        sleep_unless_stopped(&mut stopped, interval).await;
    }
}

async fn roll_up_all(context: &DelivererContext) -> Result<()> {
    let mut after = String::new();
    loop {
        let accounts = context.store.accounts(&after, MAX_PAGE).await?;
        for account in &accounts.items {
            let mut after = String::new();
            loop {
                let projects = context.store.projects(&account.record.id, &after, MAX_PAGE).await?;
                for project in &projects.items {
                    if let Err(error) = roll_up(context, &project.record.id).await {
                        leave_if_corrupt(&project.record.id, error)?;
                    }
                    if *context.stopped.borrow() {
                        return Ok(());
                    }
                }
                let Some(next) = projects.next else { break };
                after = next;
            }
        }
        let Some(next) = accounts.next else { return Ok(()) };
        after = next;
    }
}

/// Leaves a project that cannot be read until the next roll-up, so that the others are not kept from theirs. Returns other
/// errors, which concern all.
fn leave_if_corrupt(project: &ProjectId, error: StoreError) -> Result<()> {
    if error.kind() != StoreErrorKind::Corrupt {
        return Err(error);
    }
    tracing::warn!(%project, error = %error_chain(&error), "rolling up the usage of a project failed, retrying in 6 h");
    Ok(())
}

async fn roll_up(context: &DelivererContext, project: &ProjectId) -> Result<()> {
    let mut stopped = context.stopped.clone();
    let mut position = None;
    while !*stopped.borrow() {
        position = context.store.roll_up_usage(project, position).await?;
        if position.is_none() {
            break;
        }
        sleep_unless_stopped(&mut stopped, PAUSE).await;
    }
    Ok(())
}
