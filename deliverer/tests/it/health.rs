//! States of webhooks: failing, disabled, live again, and what other webhooks get of it.

use std::time::Duration;

use gatepost_domain::change::{Action, Topic};
use gatepost_domain::record::{
    Actor, DeliverySettings, FailureLimits, Webhook, WebhookState, WebhookStatus, WhenPaused,
};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::{DeliveryKind, Versioned};
use gatepost_test_support::{MockServer, Reply};
use serde_json::Value;

use crate::fixture::{DEADLINE, Fixture, only_body};

/// Limits that are reached within a test.
const QUICK: FailureLimits = FailureLimits {
    failing_failures: 3,
    failing_after: Duration::ZERO,
    disabled_failures: 5,
    disabled_after: Some(Duration::from_secs(3600)),
};

impl Fixture {
    async fn wait_for_state(&self, webhook: &Webhook, state: WebhookState) -> Webhook {
        let waiting = async {
            loop {
                let found = self.store.webhook(&webhook.id).await.unwrap().unwrap().record;
                if found.state() == state {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("the webhook is never {state:?}"))
    }

    /// Returns actions, authors and subjects of the changes of webhooks, except those of people.
    async fn state_changes(&self) -> Vec<(Action, String)> {
        let entries = self.store.audit_feed().read(Version::ZERO, 1000, Duration::ZERO).await.unwrap().entries;
        let contents = entries.into_iter().map(|entry| entry.content.unwrap());
        let by_deliverer = contents.filter(|content| content.metadata.actor == Actor::Deliverer);
        by_deliverer.map(|content| (content.action, content.metadata.subject)).collect()
    }

    async fn dead_reasons(&self, webhook: &Webhook) -> Vec<String> {
        let letters = self.store.dead_letters(&webhook.id, None, 100).await.unwrap();
        letters.into_iter().map(|letter| letter.reason).collect()
    }
}

fn observing(webhook: Webhook) -> Webhook {
    Webhook { topics: vec![Topic::WebhookFailing, Topic::WebhookDisabled], ..webhook }
}

fn body(receiver: &MockServer) -> Value {
    serde_json::from_slice(&receiver.take_requests()[0].body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_fails_and_recovers() {
    let test = Fixture::with_failure_limits(QUICK).await;
    let observer = MockServer::start();
    let receiver = MockServer::with_statuses(|request| (if request < 4 { 500 } else { 200 }, Duration::ZERO));
    test.create_webhook(&observer, observing).await;
    let webhook = test.create_webhook(&receiver, observing_too).await;
    test.create_key(&test.project).await;
    test.create_key(&test.project).await;
    assert_eq!(receiver.await_count(2, DEADLINE), 2);
    test.wait_for_next_due_in(1, 7).await;
    assert_eq!(test.store.webhook(&webhook.id).await.unwrap().unwrap().record.state(), WebhookState::Live);
    test.advance_clock(Duration::from_secs(7));
    let failing = test.wait_for_state(&webhook, WebhookState::Failing).await;
    let reason = failing.state_reason().unwrap();
    assert!(reason.starts_with("3 attempts in a row failed in "), "{reason}");
    assert!(reason.ends_with("; the last one: the receiver responded with 500"), "{reason}");
    assert_eq!(failing.status, WebhookStatus::Live);

    let event = only_body(&observer);
    assert_eq!((&event["type"], &event["data"]["id"]), (&"webhook.failing".into(), &webhook.id.as_str().into()));
    assert_eq!((&event["data"]["state"], &event["data"]["stateReason"]), (&"failing".into(), &reason.into()));

    test.wait_for_next_due_in(200, 400).await;
    test.advance_clock(Duration::from_secs(400));
    test.wait_for_state(&webhook, WebhookState::Live).await;
    test.wait_until_idle().await;
    let subject = webhook.id.to_string();
    let changes = [(Action::WebhookFailing, subject.clone()), (Action::WebhookRecovered, subject)];
    assert_eq!(test.state_changes().await, changes);
    assert_eq!(receiver.request_count(), 6, "no webhook gets events about itself");
}

fn observing_too(webhook: Webhook) -> Webhook {
    Webhook { topics: vec![Topic::ApiKeyCreated, Topic::WebhookFailing, Topic::WebhookDisabled], ..webhook }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_for_too_long_is_disabled() {
    let test = Fixture::with_failure_limits(QUICK).await;
    let receiver = MockServer::with_statuses(|_| (500, Duration::ZERO));
    let webhook = test.create_webhook(&receiver, |webhook| webhook).await;
    for _ in 0..3 {
        test.create_key(&test.project).await;
    }
    test.wait_for_state(&webhook, WebhookState::Failing).await;
    test.wait_for_next_due_in(1, 7).await;
    test.advance_clock(Duration::from_secs(4000));
    let disabled = test.wait_for_state(&webhook, WebhookState::Disabled).await;
    assert_eq!(disabled.status, WebhookStatus::Paused);
    assert!(disabled.state_reason().unwrap().contains(" attempts in a row failed in 66 minutes; "), "{disabled:?}");
    // Those that were being sent when it was disabled end when they are due again.
    test.wait_for_dead(&webhook, 3).await;
    assert_eq!(test.dead_reasons(&webhook).await, ["disabled"; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gone_receiver_disables_its_webhook_and_events_are_dropped() {
    let test = Fixture::start().await;
    let observer = MockServer::start();
    let receiver = MockServer::with_statuses(|_| (410, Duration::ZERO));
    test.create_webhook(&observer, observing).await;
    let webhook = test.create_webhook(&receiver, |webhook| webhook).await;
    test.create_key(&test.project).await;
    let disabled = test.wait_for_state(&webhook, WebhookState::Disabled).await;
    assert_eq!(disabled.state_reason(), Some("the receiver responded with 410"));
    assert_eq!(observer.await_count(1, DEADLINE), 1);
    assert_eq!(body(&observer)["type"], "webhook.disabled");
    // The first key's event is surely not older than the pause in the same millisecond.
    tokio::time::sleep(Duration::from_millis(5)).await;
    test.create_key(&test.project).await;
    test.wait_for_dropped(&webhook, 1).await;
    assert_eq!(receiver.request_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_get_one_event_an_hour_of_a_webhook() {
    let test = Fixture::with_failure_limits(QUICK).await;
    let observer = MockServer::start();
    let receiver = MockServer::with_statuses(|_| (410, Duration::ZERO));
    test.create_webhook(&observer, observing).await;
    let webhook = test.create_webhook(&receiver, |webhook| webhook).await;
    for times in 1..=2 {
        test.create_key(&test.project).await;
        test.wait_for_state(&webhook, WebhookState::Disabled).await;
        assert_eq!(receiver.await_count(times, DEADLINE), times);
        test.replace_webhook(&webhook, |found| {
            let live = found.record.with_status(WebhookStatus::Live, Timestamp::from_ms(0));
            (found, live)
        })
        .await;
    }
    test.wait_until_idle().await;
    assert_eq!(observer.request_count(), 1);
    assert_eq!(test.state_changes().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_with_retry_after_pauses_the_whole_webhook() {
    let test = Fixture::start().await;
    let other = MockServer::start();
    let receiver = MockServer::with_script(|request| match request {
        0 => Reply { status: 429, headers: vec![("retry-after", "600".to_owned())], ..Reply::default() },
        _ => Reply { status: 200, ..Reply::default() },
    });
    test.create_webhook(&receiver, |webhook| webhook).await;
    test.create_webhook(&other, |webhook| webhook).await;
    test.create_key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    test.wait_for_next_due_in(500, 720).await;
    for _ in 0..5 {
        test.create_key(&test.project).await;
    }
    assert_eq!(other.await_count(6, DEADLINE), 6);
    test.wait_for_next_due_in(400, 600).await;
    assert_eq!(receiver.request_count(), 1, "a paused webhook got a request");
    test.advance_clock(Duration::from_secs(720));
    assert_eq!(receiver.await_count(7, DEADLINE), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_webhook_keeps_or_drops_its_events() {
    let test = Fixture::start().await;
    let (keeping, dropping) = (MockServer::start(), MockServer::start());
    let paused = |when_paused| {
        move |webhook: Webhook| Webhook {
            status: WebhookStatus::Paused,
            delivery: DeliverySettings { when_paused, ..DeliverySettings::default() },
            ..webhook
        }
    };
    let keeps = test.create_webhook(&keeping, paused(WhenPaused::Keep)).await;
    let drops = test.create_webhook(&dropping, paused(WhenPaused::Drop)).await;
    test.create_key(&test.project).await;
    test.wait_for_dropped(&drops, 1).await;
    test.wait_for_next_due_in(30, 60).await;
    for webhook in [&keeps, &drops] {
        let resumed = |found: Versioned<Webhook>| {
            let live = found.record.with_status(WebhookStatus::Live, Timestamp::from_ms(1));
            (found, live)
        };
        test.replace_webhook(webhook, resumed).await;
        test.store.reset_failures(&webhook.id).await.unwrap();
    }
    assert_eq!(keeping.await_count(1, DEADLINE), 1);
    test.wait_until_idle().await;
    assert_eq!(dropping.request_count(), 0);
    let waiting = test.store.deliveries(&keeps.id, &[DeliveryKind::Delivered], None, 10).await.unwrap();
    assert_eq!(waiting.len(), 1);
}
