//! Fan-out: turns entries of the stream into deliveries, exactly once, even with several deliverers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::{Action, Topic};
use gatepost_domain::id::{AccountId, WebhookId};
use gatepost_domain::partition::{Cell, Position};
use gatepost_domain::record::{Record, Webhook, WebhookState, WebhookStatus, WhenPaused};
use gatepost_domain::time::Version;
use gatepost_runtime::error_chain;
use gatepost_store::{
    AuditEntry, CellStore, DroppedDelivery, EntryContent, FanOutEvent, FanOutStep, MAX_PAGE, Result, Versioned,
};
use gatepost_store::{FanOutOutcome, MAX_DEAD_LETTERS};

use crate::context::{DelivererContext, sleep_unless_stopped};
use crate::options::DISABLED;

/// Maximum number of entries per step.
const BATCH: u32 = 100;
/// Maximum time that a read of the stream waits for an entry.
const FEED_WAIT: Duration = Duration::from_millis(500);
/// Delay before the next step after a failure of the store.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Webhooks of the accounts that occur in a batch.
type Webhooks = HashMap<AccountId, Vec<Versioned<Webhook>>>;

/// Fans out events until the deliverer is stopped.
pub(crate) async fn run(context: Arc<DelivererContext>) {
    let mut stopped = context.stopped.clone();
    while !*stopped.borrow() {
        if let Err(error) = fan_out_batch(&context).await {
            tracing::warn!(error = %error_chain(&error), "fan-out failed, retrying in 500 ms");
            sleep_unless_stopped(&mut stopped, PAUSE_AFTER_FAILURE).await;
        }
    }
}

async fn fan_out_batch(context: &DelivererContext) -> Result<()> {
    let expected = context.store.fan_out_cursor().await?;
    let entries = context.store.audit_feed().read(expected, BATCH, FEED_WAIT).await?.entries;
    let Some(last) = entries.last() else { return Ok(()) };
    let new = last.version;
    let webhooks = load_webhooks(context, &entries).await?;
    drop_queues_of_removed(&context.store, &entries).await?;
    dead_letter_queues_of_disabled(&context.store, &entries).await?;
    let fan_out = plan(context.store.cell(), expected, new, entries, &webhooks, context.options.max_pending);
    let quarantined = fan_out.quarantined.len() as u64;
    match context.store.fan_out(fan_out).await? {
        FanOutOutcome::Applied { overflowed } => {
            context.metrics.overflowed.inc_by(overflowed);
            context.metrics.quarantined.inc_by(quarantined);
            context.wake.notify_one();
        }
        // Another deliverer has fanned out the same entries.
        FanOutOutcome::Conflict => {}
    }
    Ok(())
}

/// Drops the queues of deleted webhooks before the cursor moves: the process that deleted one may have died
/// before it did.
async fn drop_queues_of_removed(store: &CellStore, entries: &[AuditEntry]) -> Result<()> {
    for content in entries.iter().filter_map(|entry| entry.content.as_ref().ok()) {
        if content.action != Action::WebhookDeleted {
            continue;
        }
        let Ok(webhook) = WebhookId::parse(&content.metadata.subject) else { continue };
        // If the deletion was lost, the webhook still exists and keeps its queue.
        if store.webhook(&webhook).await?.is_none() {
            while store.drop_queue(&webhook).await? > 0 {}
        }
    }
    Ok(())
}

/// Moves the deliveries of disabled webhooks to their dead letters before the cursor moves: a deliverer that stops
/// meanwhile does not forget them.
async fn dead_letter_queues_of_disabled(store: &CellStore, entries: &[AuditEntry]) -> Result<()> {
    for content in entries.iter().filter_map(|entry| entry.content.as_ref().ok()) {
        if content.action != Action::WebhookDisabled {
            continue;
        }
        let Ok(id) = WebhookId::parse(&content.metadata.subject) else { continue };
        let is_disabled = |found: &Versioned<Webhook>| found.record.state() == WebhookState::Disabled;
        if store.webhook(&id).await?.as_ref().is_some_and(is_disabled) {
            while store.move_queue_to_dead_letters(&id, DISABLED).await? > 0 {}
        }
    }
    Ok(())
}

/// Reads the webhooks after the entries, so that no webhook that was created before an entry is missed.
async fn load_webhooks(context: &DelivererContext, entries: &[AuditEntry]) -> Result<Webhooks> {
    let mut webhooks = Webhooks::new();
    for content in entries.iter().filter_map(|entry| entry.content.as_ref().ok()) {
        if content.action.topic().is_none() || webhooks.contains_key(&content.metadata.account) {
            continue;
        }
        let account_webhooks = load_account_webhooks(context, &content.metadata.account).await?;
        webhooks.insert(content.metadata.account.clone(), account_webhooks);
    }
    Ok(webhooks)
}

/// Reads the webhooks of an account. One that cannot be decoded is skipped and counted, so that it does not
/// block the others.
async fn load_account_webhooks(context: &DelivererContext, account: &AccountId) -> Result<Vec<Versioned<Webhook>>> {
    let mut webhooks = Vec::new();
    let mut after = String::new();
    loop {
        let page = context.store.webhooks_lenient(account, &after, MAX_PAGE).await?;
        for (name, webhook) in page.items {
            match webhook {
                Ok(webhook) => webhooks.push(webhook),
                Err(error) => {
                    tracing::error!(
                        error = %error_chain(&error),
                        webhook = name,
                        "a webhook cannot be decoded and receives no events"
                    );
                    context.metrics.unreadable.inc();
                }
            }
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(webhooks),
        }
    }
}

fn plan(
    cell: Cell,
    expected: Version,
    new: Version,
    entries: Vec<AuditEntry>,
    webhooks: &Webhooks,
    max_pending: u64,
) -> FanOutStep {
    let mut fan_out = FanOutStep {
        expected_cursor: expected,
        new_cursor: new,
        entry_count: entries.len() as u64,
        events: Vec::new(),
        dropped: Vec::new(),
        quarantined: Vec::new(),
        max_pending,
        max_dead_letters: MAX_DEAD_LETTERS,
    };
    for entry in entries {
        match (entry.content, entry.event) {
            (Ok(content), Some(event)) => {
                let Some(topic) = content.action.topic().filter(|_| is_notified(&content)) else { continue };
                let position = Position { cell, version: entry.version };
                let (subscribers, dropped) = subscribers(webhooks, &content, topic, position);
                fan_out.dropped.extend(dropped.into_iter().map(|webhook| DroppedDelivery {
                    webhook,
                    event: event.clone(),
                    action: content.action,
                    version: entry.version,
                }));
                fan_out.events.push(FanOutEvent { event, version: entry.version, content, webhooks: subscribers });
            }
            (Ok(_), None) => {
                fan_out.quarantined.push((entry.version, Vec::new(), "the entry has no event id".to_owned()));
            }
            (Err(undecodable), _) => {
                fan_out.quarantined.push((entry.version, undecodable.bytes, undecodable.reason));
            }
        }
    }
    fan_out
}

/// Returns whether webhooks are notified of a change. They hear of the condition of another webhook at most once an hour.
fn is_notified(content: &EntryContent) -> bool {
    match (content.action, &content.new) {
        (Action::WebhookFailing | Action::WebhookDisabled, Some(Record::Webhook(webhook))) => {
            webhook.health.is_notified()
        }
        _ => true,
    }
}

/// Returns the webhooks that subscribe to an event: those that get it, and those that do not because they were paused
/// when it happened. No webhook gets events about itself.
fn subscribers(
    webhooks: &Webhooks,
    content: &EntryContent,
    topic: Topic,
    event: Position,
) -> (Vec<WebhookId>, Vec<WebhookId>) {
    let of_account = webhooks.get(&content.metadata.account).map(Vec::as_slice).unwrap_or_default();
    let is_subscribed = |webhook: &&Versioned<Webhook>| {
        let record = &webhook.record;
        record.topics.contains(&topic)
            && (record.project.is_none() || record.project == content.metadata.project)
            && record.id.as_str() != content.metadata.subject
    };
    let (mut delivered, mut dropped) = (Vec::new(), Vec::new());
    for webhook in of_account.iter().filter(is_subscribed) {
        let id = webhook.record.id.clone();
        match (status_at(webhook, event), webhook.record.delivery.when_paused) {
            (Some(WebhookStatus::Live), _) | (Some(WebhookStatus::Paused), WhenPaused::Keep) => delivered.push(id),
            (Some(WebhookStatus::Paused), WhenPaused::Drop) => dropped.push(id),
            (None, _) => {}
        }
    }
    (delivered, dropped)
}

/// Returns the status of a webhook at the time of an event, or `None` if the webhook was created later. A
/// webhook that was changed after the event has a later version than the event saw, so the times of its
/// creation and of its last status change decide.
fn status_at(webhook: &Versioned<Webhook>, event: Position) -> Option<WebhookStatus> {
    let record = &webhook.record;
    let (webhook_cell, webhook_version) = (webhook.position.cell, webhook.position.version);
    if event.is_reached_by(webhook_cell, webhook_version) == Some(false) {
        return Some(record.status);
    }
    let happened_at = event.version.timestamp();
    if happened_at < record.stamps.created_at {
        return None;
    }
    match (record.status_changed_at, record.status) {
        (Some(at), WebhookStatus::Live) if happened_at <= at => Some(WebhookStatus::Paused),
        (Some(at), WebhookStatus::Paused) if happened_at <= at => Some(WebhookStatus::Live),
        (Some(_) | None, status) => Some(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_domain::id::EventId;
    use gatepost_domain::record::{Actor, DeliverySettings, Role, Sealed, Stamps, WebhookHealth, WebhookUrl};
    use gatepost_domain::time::Timestamp;

    /// A webhook created at 100 ms, with a version of `version_ms`.
    fn webhook(version_ms: u64, status: WebhookStatus, status_changed_at_ms: Option<u64>) -> Versioned<Webhook> {
        let record = Webhook {
            id: WebhookId::parse("wh_00w").unwrap(),
            account: AccountId::parse("acc_00a").unwrap(),
            project: None,
            name: "w".to_owned(),
            url: WebhookUrl::new("https://example.com/"),
            topics: vec![],
            method: "POST".to_owned(),
            custom_headers: vec![],
            status,
            status_changed_at: status_changed_at_ms.map(Timestamp::from_ms),
            url_set_by: Role::Admin,
            secret: Sealed(vec![]),
            old_secrets: vec![],
            static_token: None,
            delivery: DeliverySettings::default(),
            health: WebhookHealth::default(),
            stamps: Stamps::new(Timestamp::from_ms(100), Actor::Operator),
        };
        let event = EventId::parse("evt_00e").unwrap();
        let position = Position { cell: Cell::FIRST, version: Version::from_parts(version_ms, 1) };
        Versioned { record, position, event, first_used_at: None, unknown: Default::default() }
    }

    #[test]
    fn event_sees_the_webhook_status_at_its_time() {
        use WebhookStatus::{Live, Paused};
        for (webhook, event_ms, expected) in [
            (webhook(100, Live, None), 50, None),
            (webhook(100, Live, None), 200, Some(Live)),
            (webhook(300, Live, None), 50, None),
            (webhook(300, Live, None), 200, Some(Live)),
            (webhook(300, Live, Some(300)), 200, Some(Paused)),
            (webhook(300, Live, Some(300)), 300, Some(Paused)),
            (webhook(300, Live, Some(300)), 301, Some(Live)),
            (webhook(300, Paused, Some(300)), 200, Some(Live)),
            (webhook(300, Paused, Some(300)), 400, Some(Paused)),
            (webhook(500, Paused, Some(300)), 400, Some(Paused)),
            (webhook(500, Paused, Some(300)), 200, Some(Live)),
        ] {
            let event = Position { cell: Cell::FIRST, version: Version::from_parts(event_ms, 0) };
            let found = status_at(&webhook, event);
            assert_eq!(found, expected, "{event_ms}: {:?}", webhook.record);
        }
    }
}
