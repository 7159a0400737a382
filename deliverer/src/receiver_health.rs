//! Health of receivers: what an attempt changes in the record of its webhook.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::EventId;
use gatepost_domain::record::{Actor, Condition, FailureLimits, FailureStreak, Webhook};
use gatepost_runtime::error_chain;
use gatepost_store::{
    AttemptRecord, CellStore, Change, CommitOutcome, Format, RecordWrite, RecordedOutcome, Result, Versioned, os_rng,
};

use crate::context::DelivererContext;

/// Maximum number of times that a change is tried while concurrent changes of the webhook are committed first.
const MAX_TRIES: u32 = 5;

/// Changes the condition of a receiver if its last attempt asks for that. `webhook` is the record that the attempt was
/// made with. If the store does not respond, the next attempt asks again.
pub(crate) async fn note_attempt(
    context: &DelivererContext,
    webhook: &Webhook,
    attempt: &AttemptRecord,
    streak: Option<FailureStreak>,
) {
    // Programs of the first format do not know these changes.
    if context.store.format() < Format::SEALED_WEBHOOKS {
        return;
    }
    if let Some(condition) = next_condition(webhook, attempt.outcome, streak, &context.options.failure_limits)
        // Boxed to keep the future of a delivery small: few change a condition.
        && let Err(error) = Box::pin(change_condition(context, webhook, condition, reason(condition, attempt, streak))).await
    {
        tracing::warn!(
            error = %error_chain(&error),
            webhook = webhook.id.as_str(),
            "changing the state of a webhook failed, retrying after its next attempt"
        );
    }
}

/// Returns the new condition of a receiver, if it changes.
fn next_condition(
    webhook: &Webhook,
    outcome: RecordedOutcome,
    streak: Option<FailureStreak>,
    limits: &FailureLimits,
) -> Option<Condition> {
    let current = webhook.health.condition;
    let next = match outcome {
        RecordedOutcome::Delivered if current == Condition::Failing => Condition::Working,
        RecordedOutcome::Delivered => return None,
        RecordedOutcome::Gone => Condition::Disabled,
        RecordedOutcome::Failed => limits.condition_after(streak?).max(current),
    };
    (next != current).then_some(next)
}

fn reason(condition: Condition, attempt: &AttemptRecord, streak: Option<FailureStreak>) -> Option<String> {
    let error = attempt.error.as_deref().unwrap_or("unknown error");
    match (condition, streak) {
        (Condition::Working, _) => None,
        (Condition::Failing | Condition::Disabled, Some(streak)) if attempt.outcome != RecordedOutcome::Gone => {
            let (failures, lasted) = (streak.failures, in_words(streak.lasted));
            Some(format!("{failures} attempts in a row failed in {lasted}; the last one: {error}"))
        }
        (Condition::Failing | Condition::Disabled, _) => Some(error.to_owned()),
    }
}

/// Returns a duration in its largest unit of which there are at least two.
fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Commits a new condition, unless the webhook was changed since the attempt began so that it says nothing about it.
async fn change_condition(
    context: &DelivererContext,
    seen: &Webhook,
    condition: Condition,
    reason: Option<String>,
) -> Result<()> {
    for _ in 0..MAX_TRIES {
        let Some(found) = context.store.webhook(&seen.id).await? else { return Ok(()) };
        let is_same = found.record.url == seen.url
            && found.record.status_changed_at == seen.status_changed_at
            && found.record.health == seen.health;
        if !is_same {
            return Ok(());
        }
        let record = found.record.with_condition(condition, reason.clone(), context.sender.now());
        match commit(&context.store, found, record, condition).await? {
            CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_) => {
                context.metrics.count_condition(condition);
                tracing::info!(
                    webhook = seen.id.as_str(),
                    condition = condition.as_str(),
                    reason,
                    "the state of a webhook has changed"
                );
                return Ok(());
            }
            CommitOutcome::VersionConflict => {}
            CommitOutcome::DigestTaken | CommitOutcome::StreamFull | CommitOutcome::AccountLimitExceeded(..) => {
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn commit(
    store: &CellStore,
    found: Versioned<Webhook>,
    record: Webhook,
    condition: Condition,
) -> Result<CommitOutcome> {
    let action = match condition {
        Condition::Working => Action::WebhookRecovered,
        Condition::Failing => Action::WebhookFailing,
        Condition::Disabled => Action::WebhookDisabled,
    };
    let change = Change {
        event: EventId::generate_in(record.id.partition(), &mut os_rng()),
        action,
        actor: Actor::Deliverer,
        writes: vec![RecordWrite::replace(found, record)],
        secret: None,
        stored_response: None,
    };
    store.commit(&change).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_in_their_largest_unit() {
        let said = [0, 119, 120, 7199, 7200, 172_799, 172_800, 432_000].map(|s| in_words(Duration::from_secs(s)));
        let expected = ["0 s", "119 s", "2 minutes", "119 minutes", "2 hours", "47 hours", "2 days", "5 days"];
        assert_eq!(said, expected);
    }
}
