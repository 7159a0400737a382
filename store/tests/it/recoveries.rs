//! Recoveries: dead and dropped deliveries of a webhook are sent again in small steps.

use std::time::Duration;

use gatepost_domain::change::Topic;
use gatepost_domain::id::{EventId, RecoveryId, WebhookId};
use gatepost_domain::partition::Partition;
use gatepost_domain::record::Webhook;
use gatepost_domain::time::Timestamp;
use gatepost_store::{
    DeliveryKind, Disposition, DroppedDelivery, FanOutEvent, FanOutOutcome, MAX_RECOVERIES, NewRecovery,
    RecoveredKinds, RecoveryCreation, RecoveryFilter, RecoveryJob, RecoveryPace, RecoveryStatus, RecoveryStepOutcome,
    RetentionPolicy, RunningRecovery, os_rng,
};

use crate::fixture::{Fixture, TestBackend};
use crate::trim::rule;

/// A pace that holds nothing back.
const AT_ONCE: RecoveryPace = RecoveryPace { max_open: 1000, max_pending: 1000 };
const DAY_MS: i64 = 86_400_000;

fn new_id() -> RecoveryId {
    RecoveryId::generate_in(Partition::default(), &mut os_rng())
}

fn all_of(kinds: RecoveredKinds) -> RecoveryFilter {
    RecoveryFilter { kinds, since: Timestamp::from_ms(0), until: None, topics: None }
}

fn advanced(recovered: u64, skipped: u64, status: RecoveryStatus) -> RecoveryStepOutcome {
    RecoveryStepOutcome::Advanced { recovered, skipped, status }
}

impl Fixture {
    /// Makes one dead letter for each new event, and returns their events in the order of their creation.
    async fn dead_letters(&self, webhook: &Webhook, count: usize) -> Vec<EventId> {
        let mut events = Vec::new();
        for _ in 0..count {
            self.key().await;
            self.fan_out(webhook).await;
            let (token, leased) = self.lease(webhook, 1).await;
            self.settle(webhook, &leased[0], &token, Disposition::DeadLetter("status 500".to_owned())).await;
            events.push(leased[0].event_id.clone());
        }
        events
    }

    /// Makes one dropped delivery, and returns its event.
    async fn dropped_delivery(&self, webhook: &Webhook) -> EventId {
        self.key().await;
        let mut step = self.fan_out_step(&webhook.id, 1000).await;
        let event = step.events.pop().unwrap();
        step.events.push(FanOutEvent { webhooks: vec![], ..event.clone() });
        step.dropped = vec![DroppedDelivery {
            webhook: webhook.id.clone(),
            event: event.event.clone(),
            action: event.content.action,
            version: event.version,
        }];
        assert_eq!(self.store.fan_out(step).await.unwrap(), FanOutOutcome::Applied { overflowed: 0 });
        event.event
    }

    /// Counts what a filter selects, in pages of two.
    async fn count(&self, webhook: &WebhookId, filter: &RecoveryFilter) -> NewRecovery {
        let (mut total, mut through) = (0, None);
        loop {
            let page = self.store.recoverable_page(webhook, filter, through, 2).await.unwrap();
            let Some(last) = page.last else { break };
            (total, through) = (total + page.selected, Some(last));
        }
        NewRecovery { id: new_id(), filter: filter.clone(), total, through }
    }

    async fn start(&self, webhook: &WebhookId, filter: &RecoveryFilter) -> RecoveryJob {
        let new = self.count(webhook, filter).await;
        match self.store.create_recovery(webhook, &new).await.unwrap() {
            RecoveryCreation::Created(job) => job,
            RecoveryCreation::Running(other) => panic!("{other} runs"),
        }
    }

    async fn running(&self) -> Vec<RunningRecovery> {
        let running = self.store.running_recoveries(None, 100).await.unwrap();
        running.into_iter().map(|(_, running)| running.unwrap()).collect()
    }

    /// Runs the next step of the only recovery that runs.
    async fn step(&self, pace: RecoveryPace) -> RecoveryStepOutcome {
        let running = self.running().await;
        assert_eq!(running.len(), 1);
        self.store.run_recovery_step(&running[0], pace).await.unwrap()
    }

    /// Returns status, total, recovered and skipped of the latest recovery of a webhook.
    async fn latest(&self, webhook: &WebhookId) -> (RecoveryStatus, u64, u64, u64) {
        let jobs = self.store.recoveries(webhook).await.unwrap();
        let job = jobs.first().unwrap();
        assert_eq!(job.finished_at.is_some(), job.status != RecoveryStatus::Running);
        (job.status, job.total, job.recovered, job.skipped)
    }
}

pub(crate) async fn a_recovery_sends_dead_and_dropped_deliveries_oldest_first(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    let mut events = vec![test.dropped_delivery(&webhook).await];
    events.extend(test.dead_letters(&webhook, 2).await);
    events.push(test.dropped_delivery(&webhook).await);
    let job = test.start(&webhook.id, &all_of(RecoveredKinds::All)).await;
    assert_eq!((job.status, job.total, job.recovered, job.skipped), (RecoveryStatus::Running, 4, 0, 0));

    assert_eq!(test.step(AT_ONCE).await, advanced(4, 0, RecoveryStatus::Running));
    assert_eq!(test.step(AT_ONCE).await, advanced(0, 0, RecoveryStatus::Finished));
    assert_eq!(test.latest(&webhook.id).await, (RecoveryStatus::Finished, 4, 4, 0));
    assert_eq!(test.running().await, []);

    let listed = test.store.deliveries(&webhook.id, &DeliveryKind::ALL, None, 10).await.unwrap();
    assert!(listed.iter().all(|delivery| delivery.kind == DeliveryKind::Waiting && delivery.attempts == 0));
    assert!(listed.iter().rev().map(|delivery| &delivery.event_id).eq(&events), "in the order of their creation");
    assert_eq!(test.store.due_webhooks(0, 10).await.unwrap().webhooks, vec![webhook.id.clone()]);
    let (token, leased) = test.lease(&webhook, 4).await;
    for leased in &leased {
        // A dead letter has its secret, the stream has none.
        let is_from_letter = events[1..3].contains(&leased.event_id);
        assert_eq!(test.store.open_secret(leased).unwrap().is_some(), is_from_letter);
        assert_eq!(leased.event.as_ref().unwrap().action.as_str(), "api-key.created");
        test.settle(&webhook, leased, &token, Disposition::Delivered).await;
    }
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((leased.len(), numbers.pending, numbers.leased, numbers.dead_letters), (4, 0, 0, 0));
}

pub(crate) async fn a_recovery_selects_by_list_time_and_topic(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    let old = test.dead_letters(&webhook, 1).await;
    test.skew.add(10_000);
    let boundary = test.now();
    test.skew.add(10_000);
    let new = test.dead_letters(&webhook, 2).await;
    test.dropped_delivery(&webhook).await;
    let total = async |filter: RecoveryFilter| test.count(&webhook.id, &filter).await.total;
    let all = || all_of(RecoveredKinds::All);
    assert_eq!(total(all()).await, 4);
    assert_eq!(total(all_of(RecoveredKinds::Dead)).await, 3);
    assert_eq!(total(all_of(RecoveredKinds::Dropped)).await, 1);
    assert_eq!(total(RecoveryFilter { since: boundary, ..all() }).await, 3);
    assert_eq!(total(RecoveryFilter { until: Some(boundary), ..all() }).await, 1);
    assert_eq!(total(RecoveryFilter { topics: Some(vec![Topic::ApiKeyCreated]), ..all() }).await, 4);
    assert_eq!(total(RecoveryFilter { topics: Some(vec![Topic::ApiKeyDeleted]), ..all() }).await, 0);

    test.start(&webhook.id, &RecoveryFilter { until: Some(boundary), ..all_of(RecoveredKinds::Dead) }).await;
    assert_eq!(test.step(AT_ONCE).await, advanced(1, 0, RecoveryStatus::Running));
    assert_eq!(test.step(AT_ONCE).await, advanced(0, 0, RecoveryStatus::Finished));
    assert!(test.store.dead_letter(&webhook.id, &old[0]).await.unwrap().is_none());
    for event in &new {
        assert!(test.store.dead_letter(&webhook.id, event).await.unwrap().is_some());
    }
    let none = test.start(&webhook.id, &RecoveryFilter { topics: Some(vec![Topic::ApiKeyDeleted]), ..all() }).await;
    assert_eq!(none.total, 0);
    while !test.running().await.is_empty() {
        test.step(AT_ONCE).await;
    }
    assert_eq!(test.latest(&webhook.id).await, (RecoveryStatus::Finished, 0, 0, 0));
}

pub(crate) async fn one_recovery_of_a_webhook_runs_at_a_time(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    test.dead_letters(&webhook, 1).await;
    let new = test.count(&webhook.id, &all_of(RecoveredKinds::All)).await;
    let created = test.store.create_recovery(&webhook.id, &new).await.unwrap();
    let RecoveryCreation::Created(job) = &created else { panic!("{created:?}") };
    assert_eq!((&job.id, &job.filter), (&new.id, &new.filter));
    assert_eq!(test.store.create_recovery(&webhook.id, &new).await.unwrap(), created, "a retry returns the same");
    let other = NewRecovery { id: new_id(), ..new.clone() };
    let running = RecoveryCreation::Running(new.id.clone());
    assert_eq!(test.store.create_recovery(&webhook.id, &other).await.unwrap(), running);
    assert_eq!(test.store.recoveries(&webhook.id).await.unwrap().len(), 1);

    let elsewhere = test.webhook().await;
    assert!(matches!(test.store.create_recovery(&elsewhere.id, &other).await.unwrap(), RecoveryCreation::Created(_)));
    test.store.cancel_recovery(&webhook.id, &new.id).await.unwrap().unwrap();
    let third = NewRecovery { id: new_id(), ..new };
    assert!(matches!(test.store.create_recovery(&webhook.id, &third).await.unwrap(), RecoveryCreation::Created(_)));
}

pub(crate) async fn racing_steps_of_a_recovery_are_applied_once(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    test.dead_letters(&webhook, 6).await;
    test.start(&webhook.id, &all_of(RecoveredKinds::Dead)).await;
    let pace = RecoveryPace { max_open: 3, max_pending: 1000 };
    let running = test.running().await.remove(0);
    let mut deliverers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, running) = (test.store.clone(), running.clone());
        deliverers.spawn(async move { store.run_recovery_step(&running, pace).await.unwrap() });
    }
    let outcomes = deliverers.join_all().await;
    let applied: Vec<_> = outcomes.iter().filter(|outcome| **outcome != RecoveryStepOutcome::Conflict).collect();
    assert_eq!(applied, [&advanced(3, 0, RecoveryStatus::Running)]);
    assert_eq!(test.latest(&webhook.id).await, (RecoveryStatus::Running, 6, 3, 0));
    let numbers = test.store.webhook_numbers(&webhook.id).await.unwrap();
    assert_eq!((numbers.waiting, numbers.dead), (3, 3));
}

pub(crate) async fn a_recovery_never_overfills_the_queue(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    test.dead_letters(&webhook, 5).await;
    test.start(&webhook.id, &all_of(RecoveredKinds::Dead)).await;
    let pace = RecoveryPace { max_open: 2, max_pending: 3 };
    let read_before = test.running().await.remove(0);
    assert_eq!(test.step(pace).await, advanced(2, 0, RecoveryStatus::Running));
    assert_eq!(test.step(pace).await, advanced(0, 0, RecoveryStatus::Running), "two are due");
    assert_eq!(test.running().await[0].open, 2);
    let (token, leased) = test.lease(&webhook, 1).await;
    assert_eq!(test.step(pace).await, advanced(0, 0, RecoveryStatus::Running), "one is due and one in flight");
    test.settle(&webhook, &leased[0], &token, Disposition::Retry(Duration::from_secs(3600))).await;
    assert_eq!(test.step(pace).await, advanced(1, 0, RecoveryStatus::Running), "one that waits for a retry is not due");
    let (token, leased) = test.lease(&webhook, 1).await;
    test.settle(&webhook, &leased[0], &token, Disposition::Retry(Duration::from_secs(3600))).await;
    assert_eq!(test.step(pace).await, advanced(0, 0, RecoveryStatus::Running), "three wait");
    assert_eq!(test.latest(&webhook.id).await, (RecoveryStatus::Running, 5, 3, 0));
    let stale = test.store.run_recovery_step(&read_before, AT_ONCE).await.unwrap();
    assert_eq!(stale, RecoveryStepOutcome::Conflict);

    // The operation counts by itself: the number that was read may be old.
    let stale = RunningRecovery { open: 0, ..test.running().await.remove(0) };
    let pace = RecoveryPace { max_open: 2, max_pending: 1000 };
    let outcome = test.store.run_recovery_step(&stale, pace).await.unwrap();
    assert_eq!(outcome, advanced(1, 0, RecoveryStatus::Running));
}

pub(crate) async fn a_recovery_makes_failed_deliveries_due(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    test.dead_letters(&webhook, 1).await;
    for _ in 0..4 {
        test.key().await;
    }
    test.fan_out(&webhook).await;
    let (token, leased) = test.lease(&webhook, 4).await;
    for leased in &leased[..3] {
        test.settle(&webhook, leased, &token, Disposition::Retry(Duration::from_secs(3600))).await;
    }
    test.settle(&webhook, &leased[3], &token, Disposition::Defer(Duration::from_secs(3600))).await;
    let job = test.start(&webhook.id, &all_of(RecoveredKinds::Failed)).await;
    assert_eq!(job.total, 3, "one was never attempted");
    // The queue is full, and nothing is added to it.
    let pace = RecoveryPace { max_open: 2, max_pending: 1 };
    assert_eq!(test.step(pace).await, advanced(2, 0, RecoveryStatus::Running));
    assert_eq!(test.step(pace).await, advanced(0, 0, RecoveryStatus::Running), "two are due");
    let (token, due) = test.lease(&webhook, 4).await;
    assert_eq!(due.iter().map(|due| due.attempts_made).collect::<Vec<_>>(), [1; 2], "their schedules go on");
    test.settle(&webhook, &due[0], &token, Disposition::Delivered).await;
    test.settle(&webhook, &due[1], &token, Disposition::Retry(Duration::from_secs(3600))).await;
    assert_eq!(test.step(AT_ONCE).await, advanced(1, 0, RecoveryStatus::Running));
    assert_eq!(test.step(AT_ONCE).await, advanced(0, 0, RecoveryStatus::Finished), "what failed again waits");
    assert_eq!(test.latest(&webhook.id).await, (RecoveryStatus::Finished, 3, 3, 0));
    assert_eq!(test.lease(&webhook, 4).await.1.len(), 1);
    let numbers = test.store.webhook_numbers(&webhook.id).await.unwrap();
    assert_eq!((numbers.waiting, numbers.in_flight, numbers.dead), (2, 1, 1));
}

pub(crate) async fn a_second_recovery_selects_what_died_again(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    test.dead_letters(&webhook, 2).await;
    test.dropped_delivery(&webhook).await;
    test.skew.add(10_000);
    let outage = RecoveryFilter { until: Some(test.now()), ..all_of(RecoveredKinds::All) };
    for _ in 0..2 {
        test.skew.add(10_000);
        assert_eq!(test.start(&webhook.id, &outage).await.total, 3);
        while !test.running().await.is_empty() {
            test.step(AT_ONCE).await;
        }
        assert_eq!(test.latest(&webhook.id).await, (RecoveryStatus::Finished, 3, 3, 0));
        test.skew.add(10_000);
        let (token, leased) = test.lease(&webhook, 4).await;
        assert_eq!(leased.len(), 3);
        for leased in &leased {
            test.settle(&webhook, leased, &token, Disposition::DeadLetter("status 500".to_owned())).await;
        }
    }
}

pub(crate) async fn a_recovery_skips_what_cannot_be_sent(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    let gone = test.dropped_delivery(&webhook).await;
    test.skew.add(2 * DAY_MS);
    let retention = RetentionPolicy { max_age: Duration::from_secs(86_400), ..rule(1000) };
    let resent = test.dead_letters(&webhook, 1).await.remove(0);
    assert!(test.store.trim(retention).await.unwrap().entries > 0);
    let dropped = test.dropped_delivery(&webhook).await;
    let kept = test.dropped_delivery(&webhook).await;
    test.start(&webhook.id, &all_of(RecoveredKinds::All)).await;
    // Somebody is faster with two of them.
    test.store.resend(&webhook.id, &resent).await.unwrap();
    let version = test.store.delivery(&webhook.id, &dropped).await.unwrap().unwrap().event_version.unwrap();
    assert!(test.store.send_again(&webhook.id, &dropped, version).await.unwrap());

    assert_eq!(test.step(AT_ONCE).await, advanced(1, 1, RecoveryStatus::Running));
    assert_eq!(test.step(AT_ONCE).await, advanced(0, 0, RecoveryStatus::Finished));
    let expected = (RecoveryStatus::Finished, 4, 1, 3);
    assert_eq!(test.latest(&webhook.id).await, expected, "what left the lists meanwhile is skipped");
    let kind = async |event: &EventId| test.store.delivery(&webhook.id, event).await.unwrap().unwrap().kind;
    assert_eq!(kind(&gone).await, DeliveryKind::Dropped);
    for event in [&resent, &dropped, &kept] {
        assert_eq!(kind(event).await, DeliveryKind::Waiting);
    }
}

pub(crate) async fn a_delivery_that_dies_again_is_recovered_once(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    let events = test.dead_letters(&webhook, 3).await;
    test.key().await;
    test.fan_out(&webhook).await;
    test.start(&webhook.id, &all_of(RecoveredKinds::Dead)).await;
    test.skew.add(10);
    // A delivery that waited when the recovery began dies as well.
    let mut died = 0;
    let pace = RecoveryPace { max_open: 2, max_pending: 1000 };
    while let Some(running) = test.running().await.first() {
        test.store.run_recovery_step(running, pace).await.unwrap();
        let (token, leased) = test.lease(&webhook, 4).await;
        for leased in &leased {
            test.settle(&webhook, leased, &token, Disposition::DeadLetter("status 410".to_owned())).await;
            died += 1;
        }
    }
    assert_eq!(died, 4);
    assert_eq!(test.latest(&webhook.id).await, (RecoveryStatus::Finished, 3, 3, 0));
    for event in &events {
        let letter = test.store.dead_letter(&webhook.id, event).await.unwrap().unwrap();
        assert_eq!((letter.reason.as_str(), letter.attempts_made), ("status 410", 1));
    }
}

pub(crate) async fn a_cancelled_recovery_enqueues_nothing_more(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    test.dead_letters(&webhook, 4).await;
    let job = test.start(&webhook.id, &all_of(RecoveredKinds::Dead)).await;
    assert_eq!(
        test.step(RecoveryPace { max_open: 1, max_pending: 1000 }).await,
        advanced(1, 0, RecoveryStatus::Running)
    );
    let running = test.running().await.remove(0);
    let cancelled = test.store.cancel_recovery(&webhook.id, &job.id).await.unwrap().unwrap();
    assert_eq!((cancelled.status, cancelled.recovered, cancelled.skipped), (RecoveryStatus::Cancelled, 1, 0));
    let outcome = test.store.run_recovery_step(&running, AT_ONCE).await.unwrap();
    assert_eq!((outcome, test.running().await), (RecoveryStepOutcome::Conflict, vec![]));
    test.skew.add(1000);
    let again = test.store.cancel_recovery(&webhook.id, &job.id).await.unwrap().unwrap();
    assert_eq!(again, cancelled, "it stays as it was");
    assert_eq!(test.store.cancel_recovery(&webhook.id, &new_id()).await.unwrap(), None);
    let numbers = test.store.webhook_numbers(&webhook.id).await.unwrap();
    assert_eq!((numbers.waiting, numbers.dead), (1, 3));
}

pub(crate) async fn recoveries_that_run_are_listed_by_webhook(backend: TestBackend) {
    let test = backend.fixture().await;
    let mut webhooks = Vec::new();
    for _ in 0..5 {
        let webhook = test.webhook().await;
        test.start(&webhook.id, &all_of(RecoveredKinds::All)).await;
        webhooks.push(webhook.id);
    }
    webhooks.sort();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = test.store.running_recoveries(after.as_ref(), 2).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        found.extend(page.into_iter().map(|(webhook, _)| webhook));
    }
    assert_eq!(found, webhooks);
    while test.store.drop_queue(&webhooks[1]).await.unwrap() > 0 {}
    assert_eq!(test.running().await.len(), 4, "a removed webhook has none");
    assert_eq!(test.store.recoveries(&webhooks[1]).await.unwrap(), []);
}

pub(crate) async fn recoveries_have_a_number_and_an_age(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    let mut ids = Vec::new();
    for _ in 0..MAX_RECOVERIES + 2 {
        test.skew.add(10);
        let job = test.start(&webhook.id, &all_of(RecoveredKinds::All)).await;
        test.store.cancel_recovery(&webhook.id, &job.id).await.unwrap();
        ids.push(job.id);
    }
    let stored = async || -> Vec<RecoveryId> {
        test.store.recoveries(&webhook.id).await.unwrap().into_iter().map(|job| job.id).collect()
    };
    ids.reverse();
    assert_eq!(stored().await, ids[..10], "newest first");
    test.skew.add(6 * DAY_MS);
    let running = test.start(&webhook.id, &all_of(RecoveredKinds::All)).await;
    test.store.trim(rule(1000)).await.unwrap();
    assert_eq!(stored().await.len(), 10);
    test.skew.add(2 * DAY_MS);
    test.store.trim(rule(1000)).await.unwrap();
    assert_eq!(stored().await, [running.id], "one that runs is kept");
}
