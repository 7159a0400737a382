//! Fan-out: entries of the stream become deliveries, exactly once, also with several deliverers.

use std::collections::HashMap;
use std::time::Duration;

use gatepost_domain::change::Topic;
use gatepost_domain::id::{AccountId, WebhookId};
use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_domain::time::Version;
use gatepost_store::act::FanOutAnswer;
use gatepost_store::{Entry, FanOut, FanOutEvent, MAX_PAGE, Result, Store, Told, Versioned};

use crate::options::MAX_PENDING;
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
    let webhooks = webhooks(&shared.store, &entries).await?;
    let step = plan(expected, new, entries, &webhooks);
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

/// Reads the webhooks after the entries, so that none that an entry precedes is missed.
async fn webhooks(store: &Store, entries: &[Entry]) -> Result<Webhooks> {
    let mut webhooks = Webhooks::new();
    for told in entries.iter().filter_map(|entry| entry.told.as_ref().ok()) {
        if told.action.topic().is_none() || webhooks.contains_key(&told.head.account) {
            continue;
        }
        let listed = webhooks_of(store, &told.head.account).await?;
        webhooks.insert(told.head.account.clone(), listed);
    }
    Ok(webhooks)
}

async fn webhooks_of(store: &Store, account: &AccountId) -> Result<Vec<Versioned<Webhook>>> {
    let mut listed = Vec::new();
    let mut after = String::new();
    loop {
        let page = store.webhooks(account, &after, MAX_PAGE).await?;
        listed.extend(page.items);
        match page.next {
            Some(next) => after = next,
            None => return Ok(listed),
        }
    }
}

fn plan(expected: Version, new: Version, entries: Vec<Entry>, webhooks: &Webhooks) -> FanOut {
    let mut step = FanOut {
        expected,
        new,
        entries: entries.len() as u64,
        events: Vec::new(),
        quarantined: Vec::new(),
        max_pending: MAX_PENDING,
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

/// The live webhooks that asked for an event. An event that is older than a webhook is not for it.
fn asking(webhooks: &Webhooks, told: &Told, topic: Topic, version: Version) -> Vec<WebhookId> {
    let of_account = webhooks.get(&told.head.account).map(Vec::as_slice).unwrap_or_default();
    let asks = |webhook: &&Versioned<Webhook>| {
        let record = &webhook.record;
        // A webhook that was changed after the event stands at a later position than it was made at.
        let is_older = webhook.version < version || record.stamps.created_at <= version.moment();
        record.status == WebhookStatus::Live
            && record.topics.contains(&topic)
            && (record.project.is_none() || record.project == told.head.project)
            && is_older
    };
    of_account.iter().filter(asks).map(|webhook| webhook.record.id.clone()).collect()
}
