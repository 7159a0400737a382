//! Operations of the deliverer.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, LeaseToken, WebhookId};
use gatepost_domain::partition::Partition;
use gatepost_domain::record::Webhook;
use gatepost_domain::retry_schedule::Attempt;
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::{
    AttemptRecord, AttemptResponse, DeliveryKind, DeliveryLeaseRequest, Disposition, DroppedDelivery, FanOutEvent,
    FanOutOutcome, FanOutStep, LeaseStatus, LeasedDelivery, MAX_LOGGED_DROPPED, RecordWrite, RecordedOutcome,
    RetentionPolicy, SendNowOutcome, Settlement, os_rng,
};

use crate::fixture::{Fixture, TestBackend, commit};
use crate::trim::rule;

pub(crate) const LEASE: Duration = Duration::from_secs(30);
const NO_WAIT: Duration = Duration::ZERO;

fn delivering_attempt(event: &EventId) -> AttemptRecord {
    AttemptRecord {
        event_id: event.clone(),
        number: Attempt::FIRST,
        at: Timestamp::from_ms(1_700_000_000_000),
        outcome: RecordedOutcome::Delivered,
        status: Some(200),
        error: None,
        error_class: None,
        duration: Duration::from_millis(7),
        response: None,
    }
}

fn failed_attempt(event: &EventId) -> AttemptRecord {
    AttemptRecord {
        outcome: RecordedOutcome::Failed,
        status: Some(500),
        error: Some("the receiver responded with 500".to_owned()),
        error_class: Some("status".to_owned()),
        response: Some(AttemptResponse {
            headers: vec![("server".to_owned(), "test".to_owned())],
            excerpt: Some("try again".to_owned()),
        }),
        ..delivering_attempt(event)
    }
}

/// Returns the attempt that leads to a disposition.
pub(crate) fn attempt_for(event: &EventId, disposition: &Disposition) -> AttemptRecord {
    if *disposition == Disposition::Delivered { delivering_attempt(event) } else { failed_attempt(event) }
}

impl Fixture {
    /// Returns a step of the fan-out over all new entries, for one webhook.
    pub(crate) async fn fan_out_step(&self, webhook: &WebhookId, max_pending: u64) -> FanOutStep {
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
            dropped: vec![],
            quarantined: vec![],
            max_pending,
            max_dead_letters: 1000,
        }
    }

    pub(crate) async fn fan_out(&self, webhook: &Webhook) {
        let step = self.fan_out_step(&webhook.id, 1000).await;
        assert_eq!(self.store.fan_out(step).await.unwrap(), FanOutOutcome::Applied { overflowed: 0 });
    }

    pub(crate) async fn lease(&self, webhook: &Webhook, max: u32) -> (LeaseToken, Vec<LeasedDelivery>) {
        let token = LeaseToken::generate(&mut os_rng());
        let request = DeliveryLeaseRequest {
            webhook: webhook.id.clone(),
            token: token.clone(),
            max_deliveries: max,
            in_flight_cap: 4,
            lease_duration: LEASE,
        };
        (token, self.store.lease_deliveries(request).await.unwrap().deliveries)
    }

    pub(crate) async fn settle(
        &self,
        webhook: &Webhook,
        leased: &LeasedDelivery,
        token: &LeaseToken,
        step: Disposition,
    ) -> LeaseStatus {
        let attempt = attempt_for(&leased.event_id, &step);
        let settle = Settlement {
            webhook: webhook.id.clone(),
            delivery: Arc::new(leased.clone()),
            token: token.clone(),
            disposition: step,
            attempt: Some(attempt),
            hold: None,
        };
        self.store.settle(vec![settle]).await.unwrap()[0].lease
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
        workers.spawn(async move { store.lease_deliveries(request).await.unwrap().deliveries.len() });
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

pub(crate) async fn a_lease_reads_the_webhook_as_it_is(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    let lease = async || {
        let request = DeliveryLeaseRequest {
            webhook: webhook.id.clone(),
            token: LeaseToken::generate(&mut os_rng()),
            max_deliveries: 4,
            in_flight_cap: 4,
            lease_duration: LEASE,
        };
        let leases = test.store.lease_deliveries(request).await.unwrap();
        (leases.webhook.unwrap().map(|webhook| webhook.name), leases.deliveries.len())
    };
    assert_eq!(lease().await, (Some("hook".to_owned()), 1));

    let found = test.store.webhook(&webhook.id).await.unwrap().unwrap();
    let renamed = Webhook { name: "renamed".to_owned(), ..webhook.clone() };
    commit(&test.store, Action::WebhookUpdated, vec![RecordWrite::replace(found, renamed)], None).await;
    test.store.hold_queue(&webhook.id, LEASE).await.unwrap();
    test.skew.add(29_000);
    assert_eq!(lease().await, (Some("renamed".to_owned()), 0), "held");

    let found = test.store.webhook(&webhook.id).await.unwrap().unwrap();
    commit(&test.store, Action::WebhookDeleted, vec![RecordWrite::remove(found)], None).await;
    test.skew.add(2_000);
    assert_eq!(lease().await, (None, 1), "deleted");
}

pub(crate) async fn only_the_lease_holder_settles(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    let (old, leased) = test.lease(&webhook, 1).await;
    let event = &leased[0].event_id;
    let unknown_token = LeaseToken::generate(&mut os_rng());
    assert_eq!(test.settle(&webhook, &leased[0], &unknown_token, Disposition::Delivered).await, LeaseStatus::Lost);
    test.skew.add(31_000);
    let (new, again) = test.lease(&webhook, 1).await;
    assert_eq!(again[0].event_id, *event);
    assert_eq!(
        test.settle(&webhook, &leased[0], &old, Disposition::Delivered).await,
        LeaseStatus::Lost,
        "another worker holds the lease now"
    );
    assert_eq!(test.settle(&webhook, &leased[0], &new, Disposition::Delivered).await, LeaseStatus::Held);
    assert_eq!(
        test.settle(&webhook, &leased[0], &new, Disposition::Delivered).await,
        LeaseStatus::Lost,
        "it is finished"
    );
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((numbers.pending, numbers.leased, numbers.dead_letters), (0, 0, 0));
    assert_eq!(test.attempts(&webhook).await, [], "only failed ones are kept");
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
    let mut events: Vec<EventId> = leased.iter().map(|leased| leased.event_id.clone()).collect();
    // All die in the same millisecond, so that their ids order them.
    let died = leased.iter().map(|leased| Settlement {
        webhook: webhook.id.clone(),
        delivery: Arc::new(leased.clone()),
        token: token.clone(),
        disposition: Disposition::DeadLetter("status 500".to_owned()),
        attempt: Some(failed_attempt(&leased.event_id)),
        hold: None,
    });
    test.store.settle(died.collect()).await.unwrap();

    let newest = test.store.attempts(&webhook.id, None, 3).await.unwrap();
    let expected: Vec<_> = events.iter().rev().map(failed_attempt).collect();
    assert_eq!(newest.attempts, expected[..3]);
    let rest = test.store.attempts(&webhook.id, newest.next.as_ref(), 3).await.unwrap();
    assert_eq!((rest.attempts, rest.next), (expected[3..].to_vec(), None));
    assert_eq!(test.store.attempts_of(&webhook.id, &events[1]).await.unwrap(), [failed_attempt(&events[1])]);

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
        delivery: Arc::new(leased.clone()),
        token: token.clone(),
        attempt: Some(attempt_for(&leased.event_id, &step)),
        disposition: step,
        hold: None,
    };
    let unknown_token = LeaseToken::generate(&mut os_rng());
    let settlements = vec![
        settle(&leased[0], &token, Disposition::Delivered),
        settle(&leased[1], &unknown_token, Disposition::Delivered),
        settle(&leased[2], &token, Disposition::Retry(Duration::ZERO)),
        settle(&leased[0], &token, Disposition::Delivered),
    ];
    let outcomes = test.store.settle(settlements).await.unwrap();
    let held: Vec<LeaseStatus> = outcomes.iter().map(|one| one.lease).collect();
    assert_eq!(held, [LeaseStatus::Held, LeaseStatus::Lost, LeaseStatus::Held, LeaseStatus::Lost]);
    assert_eq!(test.attempts(&webhook).await, [failed_attempt(&leased[2].event_id)], "only failed ones are kept");
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((numbers.pending, numbers.leased), (1, 1));
    assert_eq!(test.store.settle(Vec::<Settlement>::new()).await.unwrap(), []);
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
    let retry = Disposition::Retry(Duration::from_secs(300));
    assert_eq!(test.settle(&webhook, &leased[0], &token, retry).await, LeaseStatus::Held);
    let due = test.store.due_webhooks(0, 10).await.unwrap();
    assert_eq!(due.webhooks, vec![]);
    assert!(due.next_in.unwrap() > Duration::from_secs(290) && due.next_in.unwrap() <= Duration::from_secs(300));
    test.skew.add(301_000);
    let (token, leased) = test.lease(&webhook, 1).await;
    assert_eq!(leased[0].attempts_made, 1);
    let wait = Disposition::Defer(Duration::ZERO);
    assert_eq!(test.settle(&webhook, &leased[0], &token, wait).await, LeaseStatus::Held);
    let (_, leased) = test.lease(&webhook, 1).await;
    assert_eq!(leased[0].attempts_made, 1, "a deferral counts no attempt");
}

pub(crate) async fn a_clock_that_is_set_back_delays_no_delivery(backend: TestBackend) {
    const HOUR_MS: i64 = 3_600_000;
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    for _ in 0..3 {
        test.key().await;
    }
    test.fan_out(&webhook).await;
    let (token, leased) = test.lease(&webhook, 2).await;
    let retry = Disposition::Retry(Duration::from_secs(60));
    assert_eq!(test.settle(&webhook, &leased[0], &token, retry).await, LeaseStatus::Held);

    test.skew.add(-HOUR_MS);
    assert_eq!(test.store.due_webhooks(0, 10).await.unwrap().webhooks, vec![webhook.id.clone()]);
    assert_eq!(test.settle(&webhook, &leased[1], &token, Disposition::Delivered).await, LeaseStatus::Held);
    let (_, pending) = test.lease(&webhook, 4).await;
    assert_eq!(pending.len(), 1, "what was never attempted is due");
    let next_in = test.store.due_webhooks(0, 10).await.unwrap().next_in.unwrap();
    assert!(next_in <= LEASE, "the lease ends in {next_in:?}");
    let numbers = test.store.webhook_numbers(&webhook.id).await.unwrap();
    assert_eq!((numbers.waiting, numbers.in_flight), (1, 1));
    let retried = test.store.delivery(&webhook.id, &leased[0].event_id).await.unwrap().unwrap();
    let next_attempt_in = retried.next_attempt_at.unwrap().since(test.now());
    assert!((50..=60).contains(&next_attempt_in.as_secs()), "the retry is due in {next_attempt_in:?}");
    test.skew.add(61_000);
    assert_eq!(test.lease(&webhook, 4).await.1.len(), 2, "the lease has ended, and the retry is due");

    // A lease ends early when the clock is set forwards, and the next one still lasts as long as it should.
    test.skew.add(HOUR_MS);
    assert_eq!(test.lease(&webhook, 4).await.1.len(), 2);
    test.skew.add(-HOUR_MS);
    assert_eq!(test.lease(&webhook, 4).await.1.len(), 0);
    test.skew.add(29_000);
    assert_eq!(test.lease(&webhook, 4).await.1.len(), 0);
    test.skew.add(2_000);
    assert_eq!(test.lease(&webhook, 4).await.1.len(), 2);
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
    test.settle(&webhook, &first[0], &token, Disposition::Delivered).await;
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
    test.settle(&webhooks[0], &first[0], &first_token, Disposition::Delivered).await;
    let (token, leased) = test.lease(&webhooks[1], 1).await;
    assert!(test.store.open_secret(&leased[0]).unwrap().is_some(), "one delivery is unfinished");
    test.settle(&webhooks[1], &leased[0], &token, Disposition::Dropped).await;
    assert_eq!(test.store.queue_stats().await.unwrap().pending, 0);
    test.skew.add(8 * 86_400_000);
    assert_eq!(test.store.trim(rule(1000)).await.unwrap().sealed_secrets, 0, "it is already erased");
}

pub(crate) async fn a_dead_letter_can_be_resent(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    let (token, leased) = test.lease(&webhook, 1).await;
    let event = leased[0].event_id.clone();
    test.settle(&webhook, &leased[0], &token, Disposition::DeadLetter("status 500".to_owned())).await;
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
    assert_eq!(test.settle(&webhook, &leased[0], &token, Disposition::Delivered).await, LeaseStatus::Held);
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
    let quarantined = test.store.quarantine(Version::MAX, 10).await.unwrap();
    assert_eq!(quarantined, vec![(position, b"bytes".to_vec(), "no such action".to_owned())]);
    assert_eq!(test.store.queue_stats().await.unwrap().quarantined, 1);
    assert!(position > Version::ZERO);

    test.key().await;
    let mut step = test.fan_out_step(&webhook.id, 10).await;
    step.events.clear();
    step.quarantined = vec![(step.new_cursor, b"a\nb".to_vec(), "nor this one".to_owned())];
    let newer = (step.new_cursor, b"a\nb".to_vec(), "nor this one".to_owned());
    test.store.fan_out(step).await.unwrap();
    let page = async |before: Version, limit: u32| test.store.quarantine(before, limit).await.unwrap();
    assert_eq!(page(Version::MAX, 10).await, [vec![newer.clone()], quarantined.clone()].concat(), "newest first");
    assert_eq!(page(Version::MAX, 1).await, vec![newer.clone()]);
    assert_eq!(page(newer.0, 10).await, quarantined);
    assert_eq!(page(position, 10).await, vec![]);
}

pub(crate) async fn a_dropped_queue_is_gone(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.one_delivery().await;
    let (token, leased) = test.lease(&webhook, 1).await;
    test.settle(&webhook, &leased[0], &token, Disposition::DeadLetter("gone".to_owned())).await;
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
        test.settle(&webhook, delivery, &token, Disposition::Retry(Duration::from_secs(300))).await;
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
    assert_eq!(test.settle(&webhook, &leased[0], &token, Disposition::Delivered).await, LeaseStatus::Lost);
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
    test.settle(&webhooks[0], &leased[0], &token, Disposition::DeadLetter("status 500".to_owned())).await;
    assert_eq!(test.store.resend(&webhooks[0].id, &event).await.unwrap(), LeaseStatus::Held);
    for webhook in &webhooks {
        let (token, leased) = test.lease(webhook, 1).await;
        assert!(test.store.open_secret(&leased[0]).unwrap().is_some(), "both deliveries still need it");
        assert_eq!(test.settle(webhook, &leased[0], &token, Disposition::Delivered).await, LeaseStatus::Held);
    }
    test.skew.add(8 * 86_400_000);
    assert_eq!(test.store.trim(rule(1000)).await.unwrap().sealed_secrets, 0, "the last delivery has erased it");
}

/// Returns kind and attempts of each delivery that a list shows, newest first, read in pages of two.
async fn listed(test: &Fixture, webhook: &Webhook, kinds: &[DeliveryKind]) -> Vec<(EventId, DeliveryKind, u32)> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = test.store.deliveries(&webhook.id, kinds, after, 2).await.unwrap();
        let Some(last) = page.last() else { return rows };
        after = Some(last.position());
        rows.extend(page.into_iter().map(|delivery| (delivery.event_id, delivery.kind, delivery.attempts)));
    }
}

pub(crate) async fn deliveries_are_listed_in_every_state(backend: TestBackend) {
    use DeliveryKind::{Dead, Delivered, Dropped, Waiting};
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    for _ in 0..5 {
        test.key().await;
    }
    let mut step = test.fan_out_step(&webhook.id, 1000).await;
    let dropped = step.events.pop().unwrap();
    let made: Vec<EventId> = step.events.iter().map(|event| event.event.clone()).collect();
    step.dropped = vec![DroppedDelivery {
        webhook: webhook.id.clone(),
        event: dropped.event.clone(),
        action: dropped.content.action,
        version: dropped.version,
    }];
    test.store.fan_out(step).await.unwrap();
    let (token, mut leased) = test.lease(&webhook, 4).await;
    leased.sort_by_key(|leased| made.iter().position(|event| *event == leased.event_id));
    test.settle(&webhook, &leased[0], &token, Disposition::Delivered).await;
    test.settle(&webhook, &leased[1], &token, Disposition::Retry(Duration::from_secs(60))).await;
    test.settle(&webhook, &leased[2], &token, Disposition::DeadLetter("status 500".to_owned())).await;

    let id = |index: usize| leased[index].event_id.clone();
    let rows = listed(&test, &webhook, &DeliveryKind::ALL).await;
    let expected = [
        (dropped.event.clone(), Dropped, 0),
        (id(3), Waiting, 0),
        (id(2), Dead, 1),
        (id(1), Waiting, 1),
        (id(0), Delivered, 1),
    ];
    assert_eq!(rows, expected);
    assert_eq!(listed(&test, &webhook, &[Waiting, Dead]).await, expected[1..4]);

    let read = async |event: &EventId| test.store.delivery(&webhook.id, event).await.unwrap().unwrap();
    let delivered = read(&id(0)).await;
    assert_eq!(delivered.action.unwrap().as_str(), "api-key.created");
    assert_eq!(delivered.last_attempt, Some(delivering_attempt(&id(0))));
    let retried = read(&id(1)).await;
    let without_response = AttemptRecord { response: None, ..failed_attempt(&id(1)) };
    assert_eq!((retried.last_attempt, retried.is_in_flight), (Some(without_response), false));
    assert!(retried.next_attempt_at.unwrap() > retried.created_at);
    assert_eq!(read(&id(2)).await.reason.as_deref(), Some("status 500"));
    let in_flight = read(&id(3)).await;
    assert_eq!((in_flight.is_in_flight, in_flight.next_attempt_at, in_flight.last_attempt), (true, None, None));

    let numbers = test.store.webhook_numbers(&webhook.id).await.unwrap();
    assert_eq!((numbers.waiting, numbers.in_flight, numbers.dead), (1, 1, 1));
    assert_eq!((numbers.delivered_last_day, numbers.failed_last_day), (1, 2));
    assert!(numbers.oldest_due_at.is_some());
    while test.store.drop_queue(&webhook.id).await.unwrap() > 0 {}
    assert_eq!(listed(&test, &webhook, &DeliveryKind::ALL).await, []);
    let numbers = test.store.webhook_numbers(&webhook.id).await.unwrap();
    assert_eq!((numbers.dead, numbers.delivered_last_day, numbers.failed_last_day), (0, 0, 0));
}

pub(crate) async fn a_delivery_is_sent_again_in_every_state(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    test.key().await;
    test.key().await;
    test.fan_out(&webhook).await;
    let (token, leased) = test.lease(&webhook, 2).await;
    let [first, second] = [&leased[0], &leased[1]];
    let send_now = async |event: &EventId| test.store.send_now(&webhook.id, event).await.unwrap();
    assert_eq!(send_now(&first.event_id).await, SendNowOutcome::InFlight);
    test.settle(&webhook, first, &token, Disposition::Retry(Duration::from_secs(3600))).await;
    assert_eq!(send_now(&first.event_id).await, SendNowOutcome::Due);
    let (again, due) = test.lease(&webhook, 2).await;
    assert_eq!((due.len(), due[0].event_id.clone(), due[0].attempts_made), (1, first.event_id.clone(), 1));
    test.settle(&webhook, &due[0], &again, Disposition::Delivered).await;
    assert_eq!(send_now(&first.event_id).await, SendNowOutcome::NotWaiting);

    let version = test.store.delivery(&webhook.id, &first.event_id).await.unwrap().unwrap().event_version.unwrap();
    let resend = async |version| test.store.send_again(&webhook.id, &first.event_id, version).await.unwrap();
    let wrong = Version::from_u64(version.as_u64() + 1);
    assert!(!resend(wrong).await, "another event is there");
    assert!(resend(version).await);
    assert!(!resend(version).await, "it waits already");
    assert_eq!(listed(&test, &webhook, &[DeliveryKind::Delivered]).await, []);
    let (token, due) = test.lease(&webhook, 2).await;
    assert_eq!(due[0].event_id, first.event_id);
    assert_eq!(due[0].event.as_ref().unwrap(), first.event.as_ref().unwrap());
    assert!(test.store.open_secret(&due[0]).unwrap().is_none(), "its secret was erased with the delivery");
    test.settle(&webhook, &due[0], &token, Disposition::DeadLetter("status 500".to_owned())).await;
    assert!(!resend(version).await, "a dead letter is resent as such");
    assert!(test.store.open_secret(second).unwrap().is_some());
}

pub(crate) async fn a_delivery_that_is_sent_again_keeps_its_creation(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    for _ in 0..3 {
        test.key().await;
    }
    let mut step = test.fan_out_step(&webhook.id, 1000).await;
    let dropped = step.events.pop().unwrap();
    step.dropped = vec![DroppedDelivery {
        webhook: webhook.id.clone(),
        event: dropped.event.clone(),
        action: dropped.content.action,
        version: dropped.version,
    }];
    test.store.fan_out(step).await.unwrap();
    let (token, leased) = test.lease(&webhook, 2).await;
    test.settle(&webhook, &leased[0], &token, Disposition::Delivered).await;
    test.settle(&webhook, &leased[1], &token, Disposition::DeadLetter("status 500".to_owned())).await;
    let creations = async || -> Vec<_> {
        let all = test.store.deliveries(&webhook.id, &DeliveryKind::ALL, None, 10).await.unwrap();
        all.into_iter().map(|one| (one.event_id.clone(), one.created_at, one.position())).collect()
    };
    let first = creations().await;
    assert_eq!(first.len(), 3);

    test.skew.add(3_600_000);
    assert_eq!(test.store.resend(&webhook.id, &leased[1].event_id).await.unwrap(), LeaseStatus::Held);
    for event in [&leased[0].event_id, &dropped.event] {
        let version = test.store.delivery(&webhook.id, event).await.unwrap().unwrap().event_version.unwrap();
        assert!(test.store.send_again(&webhook.id, event, version).await.unwrap());
    }
    assert_eq!(creations().await, first, "time and place are those of the first creation");
    let (token, again) = test.lease(&webhook, 3).await;
    assert_eq!(again.len(), 3, "they are due at once");
    for leased in &again {
        assert_eq!(leased.attempts_made, 0);
        test.settle(&webhook, leased, &token, Disposition::DeadLetter("status 500".to_owned())).await;
    }
    assert_eq!(creations().await, first);
    test.key().await;
    test.fan_out(&webhook).await;
    assert_eq!(creations().await[1..], first, "a new delivery is the newest");
}

pub(crate) async fn logs_have_a_size_and_an_age(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    test.key().await;
    let mut step = test.fan_out_step(&webhook.id, 1000).await;
    let event = step.events[0].clone();
    let copy = |_| EventId::generate_in(Partition::default(), &mut os_rng());
    let dropped = (0..MAX_LOGGED_DROPPED + 150).map(copy).map(|id| DroppedDelivery {
        webhook: webhook.id.clone(),
        event: id,
        action: event.content.action,
        version: event.version,
    });
    let dropped: Vec<DroppedDelivery> = dropped.collect();
    let newest = dropped.last().unwrap().event.clone();
    for part in dropped.chunks(1000) {
        test.store.fan_out(FanOutStep { dropped: part.to_vec(), ..step.clone() }).await.unwrap();
        step = FanOutStep { expected_cursor: step.new_cursor, entry_count: 0, events: vec![], ..step };
    }
    let page = test.store.deliveries(&webhook.id, &[DeliveryKind::Dropped], None, 1000).await.unwrap();
    assert_eq!((page.len(), &page[0].event_id), (1000, &newest));
    let count = async || {
        let (mut count, mut after) = (0, None);
        loop {
            let page = test.store.deliveries(&webhook.id, &[DeliveryKind::Dropped], after, 1000).await.unwrap();
            let Some(last) = page.last() else { return count };
            (count, after) = (count + page.len() as u64, Some(last.position()));
        }
    };
    assert!((MAX_LOGGED_DROPPED..=MAX_LOGGED_DROPPED + 100).contains(&count().await));

    let (token, leased) = test.lease(&webhook, 1).await;
    test.settle(&webhook, &leased[0], &token, Disposition::Retry(Duration::from_secs(60))).await;
    let kept = RetentionPolicy { oldest_attempt: Timestamp::from_ms(1_700_000_000_000), batch: 2000, ..rule(1000) };
    test.skew.add(2 * 3_600_000);
    test.store.trim(kept).await.unwrap();
    assert_eq!(test.attempts(&webhook).await.len(), 1);
    test.skew.add(8 * 86_400_000);
    let expired = RetentionPolicy { oldest_attempt: Timestamp::from_ms(1_700_000_000_001), ..kept };
    for _ in 0..8 {
        test.skew.add(2 * 3_600_000);
        test.store.trim(expired).await.unwrap();
    }
    assert_eq!(count().await, 0);
    assert_eq!(test.attempts(&webhook).await, []);
}
