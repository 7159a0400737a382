//! Operations of the deliverer.

use std::time::Duration;

use gatepost_domain::id::{EventId, LeaseToken, WebhookId};
use gatepost_domain::partition::Partition;
use gatepost_domain::record::Webhook;
use gatepost_domain::retry_schedule::Attempt;
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::{
    AttemptRecord, DeliveryLeaseRequest, Disposition, FanOutEvent, FanOutOutcome, FanOutStep, LeaseStatus,
    LeasedDelivery, RecordedOutcome, Settlement, os_rng,
};

use crate::fixture::{Fixture, TestBackend};
use crate::trim::rule;

const LEASE: Duration = Duration::from_secs(30);
const NO_WAIT: Duration = Duration::ZERO;

fn attempt_of(event: &EventId) -> AttemptRecord {
    AttemptRecord {
        event_id: event.clone(),
        number: Attempt::FIRST,
        at: Timestamp::from_ms(1_700_000_000_000),
        outcome: RecordedOutcome::Delivered,
        status: Some(200),
        error: None,
        duration: Duration::from_millis(7),
    }
}

impl Fixture {
    /// Returns a step of the fan-out over all new entries, for one webhook.
    async fn fan_out_step(&self, webhook: &WebhookId, max_pending: u64) -> FanOutStep {
        let expected = self.store.fan_out_cursor().await.unwrap();
        let entries = self.store.audit_feed().read(expected, 1000, NO_WAIT).await.unwrap().entries;
        let events = entries.iter().filter_map(|entry| {
            let content = entry.content.clone().unwrap();
            content.action.topic()?;
            let webhooks = vec![webhook.clone()];
            Some(FanOutEvent { event: entry.event.clone().unwrap(), version: entry.version, content, webhooks })
        });
        FanOutStep {
            expected_cursor: expected,
            new_cursor: entries.last().unwrap().version,
            entry_count: entries.len() as u64,
            events: events.collect(),
            quarantined: vec![],
            max_pending,
            max_dead_letters: 1000,
        }
    }

    pub(crate) async fn fan_out(&self, webhook: &Webhook) {
        let step = self.fan_out_step(&webhook.id, 1000).await;
        assert_eq!(self.store.fan_out(step).await.unwrap(), FanOutOutcome::Applied { overflowed: 0 });
    }

    async fn lease(&self, webhook: &Webhook, max: u32) -> (LeaseToken, Vec<LeasedDelivery>) {
        let token = LeaseToken::generate(&mut os_rng());
        let request = DeliveryLeaseRequest {
            webhook: webhook.id.clone(),
            token: token.clone(),
            max_deliveries: max,
            in_flight_cap: 4,
            lease_duration: LEASE,
        };
        (token, self.store.lease_deliveries(request).await.unwrap())
    }

    async fn settle(&self, webhook: &Webhook, event: &EventId, token: &LeaseToken, step: Disposition) -> LeaseStatus {
        let settle = Settlement {
            webhook: webhook.id.clone(),
            event: event.clone(),
            token: token.clone(),
            disposition: step,
            attempt: Some(attempt_of(event)),
        };
        self.store.settle(vec![settle]).await.unwrap()[0]
    }

    /// Returns the attempts that are stored of a webhook.
    async fn attempts(&self, webhook: &Webhook) -> Vec<AttemptRecord> {
        let page = self.store.attempts(&webhook.id, None, 10).await.unwrap();
        assert_eq!((page.undecodable, page.next), (0, None));
        page.attempts
    }

    /// Creates one webhook with one pending delivery, which carries a secret.
    async fn one_delivery(&self) -> Webhook {
        let webhook = self.webhook().await;
        self.key().await;
        self.fan_out(&webhook).await;
        webhook
    }
}

pub(crate) async fn racing_fan_outs_are_applied_once(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    for _ in 0..3 {
        test.key().await;
    }
    let step = test.fan_out_step(&webhook.id, 1000).await;
    let (first, second) = tokio::join!(test.store.fan_out(step.clone()), test.store.fan_out(step.clone()));
    let mut outcomes = [first.unwrap(), second.unwrap()];
    outcomes.sort_by_key(|outcome| *outcome == FanOutOutcome::Conflict);
    assert_eq!(outcomes, [FanOutOutcome::Applied { overflowed: 0 }, FanOutOutcome::Conflict]);
    assert_eq!(test.store.fan_out_cursor().await.unwrap(), step.new_cursor);
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((numbers.pending, numbers.leased, numbers.fan_out_backlog), (3, 0, 0));
}

pub(crate) async fn a_leased_delivery_has_one_holder_until_its_lease_expires(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    assert_eq!(test.store.due_webhooks(0, 10).await.unwrap().webhooks, vec![webhook.id.clone()]);
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (store, webhook) = (test.store.clone(), webhook.id.clone());
        let token = LeaseToken::generate(&mut os_rng());
        let request =
            DeliveryLeaseRequest { webhook, token, max_deliveries: 4, in_flight_cap: 4, lease_duration: LEASE };
        workers.spawn(async move { store.lease_deliveries(request).await.unwrap().len() });
    }
    assert_eq!(workers.join_all().await.into_iter().sum::<usize>(), 1);
    assert_eq!(test.store.due_webhooks(0, 10).await.unwrap().webhooks, vec![]);
    test.skew.add(29_000);
    assert_eq!(test.lease(&webhook, 4).await.1.len(), 0);
    test.skew.add(2_000);
    assert_eq!(test.store.due_webhooks(0, 10).await.unwrap().webhooks, vec![webhook.id.clone()]);
    let (_, leased) = test.lease(&webhook, 4).await;
    assert_eq!(leased.len(), 1);
    let event = leased[0].event.clone().unwrap();
    assert_eq!(event.action.as_str(), "api-key.created");
    assert!(test.store.open_secret(&leased[0]).unwrap().unwrap().expose().starts_with("live_"));
}

pub(crate) async fn only_the_lease_holder_settles(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    let (old, leased) = test.lease(&webhook, 1).await;
    let event = &leased[0].event_id;
    let unknown_token = LeaseToken::generate(&mut os_rng());
    assert_eq!(test.settle(&webhook, event, &unknown_token, Disposition::Delivered).await, LeaseStatus::Lost);
    test.skew.add(31_000);
    let (new, again) = test.lease(&webhook, 1).await;
    assert_eq!(again[0].event_id, *event);
    assert_eq!(
        test.settle(&webhook, event, &old, Disposition::Delivered).await,
        LeaseStatus::Lost,
        "another worker holds the lease now"
    );
    assert_eq!(test.settle(&webhook, event, &new, Disposition::Delivered).await, LeaseStatus::Held);
    assert_eq!(test.settle(&webhook, event, &new, Disposition::Delivered).await, LeaseStatus::Lost, "it is finished");
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((numbers.pending, numbers.leased, numbers.dead_letters), (0, 0, 0));
    assert_eq!(test.attempts(&webhook).await, [attempt_of(event)]);
}

/// Attempts and dead letters are read page by page and by event.
pub(crate) async fn attempts_and_dead_letters_have_cursors_and_a_lookup(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    for _ in 0..4 {
        test.key().await;
    }
    test.fan_out(&webhook).await;
    let (token, leased) = test.lease(&webhook, 4).await;
    let mut events: Vec<EventId> = leased.into_iter().map(|leased| leased.event_id).collect();
    // All die in the same millisecond, so that their ids order them.
    let died = events.iter().map(|event| Settlement {
        webhook: webhook.id.clone(),
        event: event.clone(),
        token: token.clone(),
        disposition: Disposition::DeadLetter("status 500".to_owned()),
        attempt: Some(attempt_of(event)),
    });
    test.store.settle(died.collect()).await.unwrap();

    let newest = test.store.attempts(&webhook.id, None, 3).await.unwrap();
    let expected: Vec<_> = events.iter().rev().map(attempt_of).collect();
    assert_eq!(newest.attempts, expected[..3]);
    let rest = test.store.attempts(&webhook.id, newest.next.as_ref(), 3).await.unwrap();
    assert_eq!((rest.attempts, rest.next), (expected[3..].to_vec(), None));
    assert_eq!(test.store.attempts_of(&webhook.id, &events[1]).await.unwrap(), [attempt_of(&events[1])]);

    events.sort();
    let first = test.store.dead_letters(&webhook.id, None, 2).await.unwrap();
    assert_eq!(first.iter().map(|letter| letter.event_id.clone()).collect::<Vec<_>>(), events[..2]);
    let found = test.store.dead_letter(&webhook.id, &events[1]).await.unwrap().unwrap();
    let position = found.position();
    assert_eq!(position, first[1].position());
    test.store.resend(&webhook.id, &events[1]).await.unwrap();
    assert!(test.store.dead_letter(&webhook.id, &events[1]).await.unwrap().is_none());
    let rest = test.store.dead_letters(&webhook.id, Some(position), 10).await.unwrap();
    assert_eq!(rest.iter().map(|letter| letter.event_id.clone()).collect::<Vec<_>>(), events[2..]);
    let end = rest.last().unwrap().position();
    assert!(test.store.dead_letters(&webhook.id, Some(end), 10).await.unwrap().is_empty());
}

pub(crate) async fn settlements_in_one_operation_are_independent(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    for _ in 0..3 {
        test.key().await;
    }
    test.fan_out(&webhook).await;
    let (token, leased) = test.lease(&webhook, 3).await;
    let settle = |leased: &LeasedDelivery, token: &LeaseToken, step: Disposition| Settlement {
        webhook: webhook.id.clone(),
        event: leased.event_id.clone(),
        token: token.clone(),
        disposition: step,
        attempt: Some(attempt_of(&leased.event_id)),
    };
    let unknown_token = LeaseToken::generate(&mut os_rng());
    let settlements = vec![
        settle(&leased[0], &token, Disposition::Delivered),
        settle(&leased[1], &unknown_token, Disposition::Delivered),
        settle(&leased[2], &token, Disposition::Retry(Duration::ZERO)),
        settle(&leased[0], &token, Disposition::Delivered),
    ];
    let held = test.store.settle(settlements).await.unwrap();
    assert_eq!(held, [LeaseStatus::Held, LeaseStatus::Lost, LeaseStatus::Held, LeaseStatus::Lost]);
    assert_eq!(test.attempts(&webhook).await, [&leased[2], &leased[0]].map(|leased| attempt_of(&leased.event_id)));
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((numbers.pending, numbers.leased), (1, 1));
    assert_eq!(test.store.settle(vec![]).await.unwrap(), []);
}

pub(crate) async fn an_extended_lease_is_held(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    let (token, leased) = test.lease(&webhook, 1).await;
    let event = &leased[0].event_id;
    test.skew.add(20_000);
    assert_eq!(test.store.extend_lease(&webhook.id, event, &token, LEASE).await.unwrap(), LeaseStatus::Held);
    test.skew.add(20_000);
    assert_eq!(test.lease(&webhook, 1).await.1.len(), 0);
    test.skew.add(11_000);
    let (other, again) = test.lease(&webhook, 1).await;
    assert_eq!(again.len(), 1);
    assert_eq!(test.store.extend_lease(&webhook.id, event, &token, LEASE).await.unwrap(), LeaseStatus::Lost);
    assert_eq!(test.store.extend_lease(&webhook.id, event, &other, LEASE).await.unwrap(), LeaseStatus::Held);
}

pub(crate) async fn a_retry_is_leased_again_when_due(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    let (token, leased) = test.lease(&webhook, 1).await;
    assert_eq!(leased[0].attempts_made, 0);
    let event = &leased[0].event_id;
    let retry = Disposition::Retry(Duration::from_secs(300));
    assert_eq!(test.settle(&webhook, event, &token, retry).await, LeaseStatus::Held);
    let due = test.store.due_webhooks(0, 10).await.unwrap();
    assert_eq!(due.webhooks, vec![]);
    assert!(due.next_in.unwrap() > Duration::from_secs(290) && due.next_in.unwrap() <= Duration::from_secs(300));
    test.skew.add(301_000);
    let (token, leased) = test.lease(&webhook, 1).await;
    assert_eq!(leased[0].attempts_made, 1);
    let wait = Disposition::Defer(Duration::ZERO);
    assert_eq!(test.settle(&webhook, event, &token, wait).await, LeaseStatus::Held);
    let (_, leased) = test.lease(&webhook, 1).await;
    assert_eq!(leased[0].attempts_made, 1, "a deferral counts no attempt");
}

pub(crate) async fn the_in_flight_cap_is_enforced(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    for _ in 0..10 {
        test.key().await;
    }
    test.fan_out(&webhook).await;
    let (token, first) = test.lease(&webhook, 3).await;
    let (_, second) = test.lease(&webhook, 3).await;
    let (_, third) = test.lease(&webhook, 3).await;
    assert_eq!((first.len(), second.len(), third.len()), (3, 1, 0));
    assert_eq!(test.store.due_webhooks(0, 10).await.unwrap().webhooks, vec![], "a webhook at its cap is not due");
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((numbers.pending, numbers.leased), (6, 4));
    test.settle(&webhook, &first[0].event_id, &token, Disposition::Delivered).await;
    assert_eq!(test.store.due_webhooks(0, 10).await.unwrap().webhooks, vec![webhook.id.clone()]);
    assert_eq!(test.lease(&webhook, 3).await.1.len(), 1);
}

pub(crate) async fn the_last_delivery_to_finish_erases_the_secret(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhooks = [test.webhook().await, test.webhook().await];
    test.key().await;
    let mut step = test.fan_out_step(&webhooks[0].id, 1000).await;
    step.events[0].webhooks = webhooks.iter().map(|webhook| webhook.id.clone()).collect();
    test.store.fan_out(step).await.unwrap();
    let (first_token, first) = test.lease(&webhooks[0], 1).await;
    test.settle(&webhooks[0], &first[0].event_id, &first_token, Disposition::Delivered).await;
    let (token, leased) = test.lease(&webhooks[1], 1).await;
    assert!(test.store.open_secret(&leased[0]).unwrap().is_some(), "one delivery is unfinished");
    test.settle(&webhooks[1], &leased[0].event_id, &token, Disposition::Dropped).await;
    assert_eq!(test.store.queue_stats().await.unwrap().pending, 0);
    test.skew.add(8 * 86_400_000);
    assert_eq!(test.store.trim(rule(1000)).await.unwrap().sealed_secrets, 0, "it is already erased");
}

pub(crate) async fn a_dead_letter_can_be_resent(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    let (token, leased) = test.lease(&webhook, 1).await;
    let event = leased[0].event_id.clone();
    test.settle(&webhook, &event, &token, Disposition::DeadLetter("status 500".to_owned())).await;
    let dead = test.store.dead_letters(&webhook.id, None, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].event_id.clone(), dead[0].reason.as_str(), dead[0].attempts_made),
        (event.clone(), "status 500", 1)
    );
    assert_eq!(dead[0].event.as_ref().unwrap(), leased[0].event.as_ref().unwrap());
    assert_eq!(test.store.queue_stats().await.unwrap().dead_letters, 1);

    assert_eq!(test.store.resend(&webhook.id, &event).await.unwrap(), LeaseStatus::Held);
    assert_eq!(
        test.store.resend(&webhook.id, &event).await.unwrap(),
        LeaseStatus::Lost,
        "it is no longer a dead letter"
    );
    let (token, again) = test.lease(&webhook, 1).await;
    assert_eq!((again[0].event_id.clone(), again[0].attempts_made), (event.clone(), 0));
    assert!(test.store.open_secret(&again[0]).unwrap().is_some());
    assert_eq!(test.settle(&webhook, &event, &token, Disposition::Delivered).await, LeaseStatus::Held);
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((numbers.pending, numbers.leased, numbers.dead_letters), (0, 0, 0));
}

pub(crate) async fn a_full_queue_dead_letters_its_oldest(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    let mut events = Vec::new();
    for _ in 0..5 {
        test.skew.add(10);
        test.key().await;
        let step = test.fan_out_step(&webhook.id, 3).await;
        events.push(step.events[0].event.clone());
        test.store.fan_out(step).await.unwrap();
    }
    assert_eq!(test.store.queue_stats().await.unwrap().pending, 3);
    let dead = test.store.dead_letters(&webhook.id, None, 10).await.unwrap();
    let dead: Vec<EventId> = dead.into_iter().map(|letter| letter.event_id).collect();
    assert_eq!(dead, events[..2]);
}

pub(crate) async fn an_undecodable_entry_goes_into_quarantine(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    test.key().await;
    let mut step = test.fan_out_step(&webhook.id, 10).await;
    step.events.clear();
    step.quarantined = vec![(step.new_cursor, b"bytes".to_vec(), "no such action".to_owned())];
    let position = step.new_cursor;
    assert_eq!(test.store.fan_out(step).await.unwrap(), FanOutOutcome::Applied { overflowed: 0 });
    let quarantined = test.store.quarantine(10).await.unwrap();
    assert_eq!(quarantined, vec![(position, b"bytes".to_vec(), "no such action".to_owned())]);
    assert_eq!(test.store.queue_stats().await.unwrap().quarantined, 1);
    assert!(position > Version::ZERO);
}

pub(crate) async fn a_dropped_queue_is_gone(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    let (token, leased) = test.lease(&webhook, 1).await;
    test.settle(&webhook, &leased[0].event_id, &token, Disposition::DeadLetter("gone".to_owned())).await;
    test.key().await;
    test.fan_out(&webhook).await;
    while test.store.drop_queue(&webhook.id).await.unwrap() > 0 {}
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((numbers.pending, numbers.leased, numbers.dead_letters), (0, 0, 0));
    assert_eq!(test.store.due_webhooks(0, 10).await.unwrap().webhooks, vec![]);
    assert_eq!(test.attempts(&webhook).await, []);
    assert!(test.store.dead_letters(&webhook.id, None, 10).await.unwrap().is_empty());
}

pub(crate) async fn a_full_queue_dead_letters_the_first_created_even_if_it_awaits_a_retry(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    let mut events = Vec::new();
    for _ in 0..3 {
        test.key().await;
        let step = test.fan_out_step(&webhook.id, 3).await;
        events.push(step.events[0].event.clone());
        test.store.fan_out(step).await.unwrap();
    }
    let (token, leased) = test.lease(&webhook, 3).await;
    for delivery in &leased {
        test.settle(&webhook, &delivery.event_id, &token, Disposition::Retry(Duration::from_secs(300))).await;
    }
    test.key().await;
    let step = test.fan_out_step(&webhook.id, 3).await;
    let newest = step.events[0].event.clone();
    assert_eq!(test.store.fan_out(step).await.unwrap(), FanOutOutcome::Applied { overflowed: 1 });
    let dead = test.store.dead_letters(&webhook.id, None, 10).await.unwrap();
    assert_eq!(dead.iter().map(|letter| letter.event_id.clone()).collect::<Vec<_>>(), events[..1]);
    assert_eq!(test.lease(&webhook, 3).await.1[0].event_id, newest);
}

pub(crate) async fn dead_letters_of_a_webhook_are_bounded(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    test.key().await;
    let mut step = test.fan_out_step(&webhook.id, 0).await;
    let template = step.events.pop().unwrap();
    let event =
        |_| FanOutEvent { event: EventId::generate_in(Partition::default(), &mut os_rng()), ..template.clone() };
    step.events = (0..10).map(event).collect();
    step.max_dead_letters = 7;
    assert_eq!(test.store.fan_out(step).await.unwrap(), FanOutOutcome::Applied { overflowed: 10 });
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((numbers.dead_letters, numbers.dead_letters_dropped, numbers.pending), (7, 3, 0));
    assert_eq!(test.store.dead_letters(&webhook.id, None, 10).await.unwrap().len(), 7);
}

pub(crate) async fn an_event_without_subscribers_keeps_no_secret(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    test.key().await;
    let mut step = test.fan_out_step(&webhook.id, 10).await;
    step.events.iter_mut().for_each(|event| event.webhooks.clear());
    test.store.fan_out(step).await.unwrap();
    test.skew.add(8 * 86_400_000);
    assert_eq!(test.store.trim(rule(1000)).await.unwrap().sealed_secrets, 0, "it is already erased");
}

pub(crate) async fn a_queue_is_dropped_even_while_a_lease_is_held(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    let (token, leased) = test.lease(&webhook, 1).await;
    while test.store.drop_queue(&webhook.id).await.unwrap() > 0 {}
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((numbers.pending, numbers.leased), (0, 0));
    assert_eq!(test.settle(&webhook, &leased[0].event_id, &token, Disposition::Delivered).await, LeaseStatus::Lost);
}

pub(crate) async fn a_dead_letter_is_resent_while_another_webhook_has_the_same_event_pending(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhooks = [test.webhook().await, test.webhook().await];
    test.key().await;
    let mut step = test.fan_out_step(&webhooks[0].id, 1000).await;
    step.events[0].webhooks = webhooks.iter().map(|webhook| webhook.id.clone()).collect();
    test.store.fan_out(step).await.unwrap();
    let (token, leased) = test.lease(&webhooks[0], 1).await;
    let event = leased[0].event_id.clone();
    test.settle(&webhooks[0], &event, &token, Disposition::DeadLetter("status 500".to_owned())).await;
    assert_eq!(test.store.resend(&webhooks[0].id, &event).await.unwrap(), LeaseStatus::Held);
    for webhook in &webhooks {
        let (token, leased) = test.lease(webhook, 1).await;
        assert!(test.store.open_secret(&leased[0]).unwrap().is_some(), "both deliveries still need it");
        assert_eq!(test.settle(webhook, &event, &token, Disposition::Delivered).await, LeaseStatus::Held);
    }
    test.skew.add(8 * 86_400_000);
    assert_eq!(test.store.trim(rule(1000)).await.unwrap().sealed_secrets, 0, "the last delivery has erased it");
}
