//! Fan-out: entries of the stream become deliveries, exactly once, also with several deliverers.

use std::collections::HashMap;
use std::time::Duration;

use gatepost_domain::change::{Action, Topic};
use gatepost_domain::id::{AccountId, WebhookId};
use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_domain::time::Version;
use gatepost_store::act::{FanOutAnswer, MAX_DEAD_LETTERS};
use gatepost_store::{Entry, FanOut, FanOutEvent, MAX_PAGE, Result, Store, Told, Versioned};

use crate::shared::{Shared, pause};

/// Entries of one step.
const BATCH: u32 = 100;
/// How long the feed waits for an entry before it is asked again.
const FEED_WAIT: Duration = Duration::from_millis(500);
/// How long to wait after a failure of the store.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// The webhooks of the accounts that a batch speaks of.
type Webhooks = HashMap<AccountId, Vec<Versioned<Webhook>>>;

/// Fans out until the deliverer is stopped.
pub(crate) async fn run(shared: Shared) {
    let mut stopped = shared.stopped.clone();
    while !*stopped.borrow() {
        if let Err(error) = step(&shared).await {
            tracing::warn!(%error, "fan-out waits");
            pause(&mut stopped, PAUSE_AFTER_FAILURE).await;
        }
    }
}

async fn step(shared: &Shared) -> Result<()> {
    let expected = shared.store.fan_out_cursor().await?;
    let entries = shared.store.feed(expected, BATCH, FEED_WAIT).await?;
    let Some(last) = entries.last() else { return Ok(()) };
    let new = last.version;
    let webhooks = webhooks(shared, &entries).await?;
    drop_queues_of_removed(&shared.store, &entries).await?;
    let step = FanOut { max_pending: shared.options.max_pending, ..plan(expected, new, entries, &webhooks) };
    let quarantined = step.quarantined.len() as u64;
    match shared.store.fan_out(step).await? {
        FanOutAnswer::Moved { overflowed } => {
            shared.metrics.overflowed.inc_by(overflowed);
            shared.metrics.quarantined.inc_by(quarantined);
            shared.wake.notify_one();
        }
        // Another deliverer was faster, and has done the same.
        FanOutAnswer::Lost => {}
    }
    Ok(())
}

/// Drops what removed webhooks have left, before the cursor moves: the process that has removed one may have died.
async fn drop_queues_of_removed(store: &Store, entries: &[Entry]) -> Result<()> {
    for told in entries.iter().filter_map(|entry| entry.told.as_ref().ok()) {
        if told.action != Action::WebhookDeleted {
            continue;
        }
        let Ok(webhook) = WebhookId::parse(&told.head.subject) else { continue };
        // One whose removal was lost stands again, with its queue.
        if store.webhook(&webhook).await?.is_none() {
            while store.drop_queue(&webhook).await? > 0 {}
        }
    }
    Ok(())
}

/// Reads the webhooks after the entries, so that none that an entry precedes is missed.
async fn webhooks(shared: &Shared, entries: &[Entry]) -> Result<Webhooks> {
    let mut webhooks = Webhooks::new();
    for told in entries.iter().filter_map(|entry| entry.told.as_ref().ok()) {
        if told.action.topic().is_none() || webhooks.contains_key(&told.head.account) {
            continue;
        }
        let listed = webhooks_of(shared, &told.head.account).await?;
        webhooks.insert(told.head.account.clone(), listed);
    }
    Ok(webhooks)
}

/// One that cannot be decoded must not hold up the others: it is left out and counted.
async fn webhooks_of(shared: &Shared, account: &AccountId) -> Result<Vec<Versioned<Webhook>>> {
    let mut listed = Vec::new();
    let mut after = String::new();
    loop {
        let page = shared.store.each_webhook(account, &after, MAX_PAGE).await?;
        for (name, webhook) in page.items {
            match webhook {
                Ok(webhook) => listed.push(webhook),
                Err(error) => {
                    tracing::error!(%error, webhook = name, "a webhook cannot be read and is told of nothing");
                    shared.metrics.unreadable.inc();
                }
            }
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(listed),
        }
    }
}

/// The bound of the queues is not its concern.
fn plan(expected: Version, new: Version, entries: Vec<Entry>, webhooks: &Webhooks) -> FanOut {
    let mut step = FanOut {
        expected,
        new,
        entries: entries.len() as u64,
        events: Vec::new(),
        quarantined: Vec::new(),
        max_pending: u64::MAX,
        max_dead: MAX_DEAD_LETTERS,
    };
    for entry in entries {
        match (entry.told, entry.event) {
            (Ok(told), Some(event)) => {
                let Some(topic) = told.action.topic() else { continue };
                let asked = asking(webhooks, &told, topic, entry.version);
                step.events.push(FanOutEvent { event, version: entry.version, told, webhooks: asked });
            }
            (Ok(_), None) => {
                step.quarantined.push((entry.version, Vec::new(), "it has no event id".to_owned()));
            }
            (Err(undecodable), _) => {
                step.quarantined.push((entry.version, undecodable.bytes, undecodable.reason));
            }
        }
    }
    step
}

/// The webhooks that asked for an event and were live when it happened.
fn asking(webhooks: &Webhooks, told: &Told, topic: Topic, version: Version) -> Vec<WebhookId> {
    let of_account = webhooks.get(&told.head.account).map(Vec::as_slice).unwrap_or_default();
    let asks = |webhook: &&Versioned<Webhook>| {
        let record = &webhook.record;
        record.topics.contains(&topic)
            && (record.project.is_none() || record.project == told.head.project)
            && status_at(webhook, version) == Some(WebhookStatus::Live)
    };
    of_account.iter().filter(asks).map(|webhook| webhook.record.id.clone()).collect()
}

/// What status a webhook had at an event; none if it was made later. One that was changed after the event stands at a
/// later position than what the event met, so the moments of its making and of its last pause or end of it decide.
fn status_at(webhook: &Versioned<Webhook>, version: Version) -> Option<WebhookStatus> {
    let record = &webhook.record;
    if webhook.version < version {
        return Some(record.status);
    }
    if version.moment() < record.stamps.created_at {
        return None;
    }
    match (record.status_changed_at, record.status) {
        (Some(at), WebhookStatus::Live) if version.moment() <= at => Some(WebhookStatus::Paused),
        (Some(at), WebhookStatus::Paused) if version.moment() <= at => Some(WebhookStatus::Live),
        (Some(_) | None, status) => Some(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_domain::id::EventId;
    use gatepost_domain::record::{Actor, Role, Sealed, Stamps, WebhookUrl};
    use gatepost_domain::time::Timestamp;

    /// A webhook that was made at 100 ms and stands at a version of so many ms.
    fn webhook(stands_at_ms: u64, status: WebhookStatus, status_changed_at_ms: Option<u64>) -> Versioned<Webhook> {
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
            made_by: Role::Admin,
            secret: Sealed(vec![]),
            old_secrets: vec![],
            static_token: None,
            stamps: Stamps::new(Timestamp::from_ms(100), Actor::Operator),
        };
        let event = EventId::parse("evt_00e").unwrap();
        let version = Version::from_parts(stands_at_ms, 1);
        Versioned { record, version, event, first_used_at: None, unknown: Default::default() }
    }

    #[test]
    fn an_event_meets_the_status_of_its_moment() {
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
            let found = status_at(&webhook, Version::from_parts(event_ms, 0));
            assert_eq!(found, expected, "{event_ms}: {:?}", webhook.record);
        }
    }
}
