//! Failures of webhooks in a row, holds of their queues, and the end of a disabled one's queue.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::LeaseToken;
use gatepost_domain::record::{FailureStreak, Webhook};
use gatepost_domain::time::Timestamp;
use gatepost_store::{
    AttemptRecord, DeliveryKind, Disposition, FanOutOutcome, LeaseStatus, LeasedDelivery, MAX_HOLDS_TOGETHER,
    Settlement, SettlementOutcome,
};

use crate::fixture::{Fixture, TestBackend};
use crate::queue::attempt_for;

const RETRY_NOW: Disposition = Disposition::Retry(Duration::ZERO);
const HOUR_MS: i64 = 3_600_000;

impl Fixture {
    async fn webhook_with_deliveries(&self, count: usize) -> Webhook {
        let webhook = self.webhook().await;
        for _ in 0..count {
            self.key().await;
        }
        self.fan_out(&webhook).await;
        webhook
    }

    async fn settle_one(
        &self,
        webhook: &Webhook,
        leased: &LeasedDelivery,
        token: &LeaseToken,
        disposition: Disposition,
        hold: Option<Duration>,
    ) -> SettlementOutcome {
        let settlement = Settlement {
            webhook: webhook.id.clone(),
            delivery: Arc::new(leased.clone()),
            token: token.clone(),
            attempt: Some(attempt_for(&leased.event_id, &disposition)),
            disposition,
            hold,
        };
        let outcomes = self.store.settle(vec![settlement]).await.unwrap();
        assert_eq!(outcomes[0].lease, LeaseStatus::Held);
        outcomes[0]
    }

    /// Leases one delivery and settles it; returns the failures in a row.
    async fn attempt(
        &self,
        webhook: &Webhook,
        disposition: Disposition,
        hold: Option<Duration>,
    ) -> Option<FailureStreak> {
        let (token, leased) = self.lease(webhook, 1).await;
        self.settle_one(webhook, &leased[0], &token, disposition, hold).await.streak
    }

    async fn is_held(&self, webhook: &Webhook) -> bool {
        let (token, leased) = self.lease(webhook, 1).await;
        for leased in &leased {
            self.settle_one(webhook, leased, &token, Disposition::Defer(Duration::ZERO), None).await;
        }
        leased.is_empty()
    }
}

pub(crate) async fn failures_in_a_row_are_counted_until_a_2xx(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook_with_deliveries(3).await;
    let first = test.attempt(&webhook, RETRY_NOW, None).await.unwrap();
    assert_eq!(first.failures, 1);
    assert!(first.lasted < Duration::from_secs(60));
    test.skew.add(HOUR_MS);
    let second = test.attempt(&webhook, RETRY_NOW, None).await.unwrap();
    assert_eq!(second.failures, 2);
    assert!(Duration::from_secs(3600) <= second.lasted, "{second:?}");
    assert_eq!(test.attempt(&webhook, Disposition::Delivered, None).await, None);
    let third = test.attempt(&webhook, RETRY_NOW, None).await.unwrap();
    assert_eq!(third.failures, 1);
    assert!(third.lasted < Duration::from_secs(60));

    test.store.reset_failures(&webhook.id).await.unwrap();
    assert_eq!(test.attempt(&webhook, RETRY_NOW, None).await.unwrap().failures, 1);
}

pub(crate) async fn failures_of_one_operation_are_counted_in_their_order(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook_with_deliveries(4).await;
    test.attempt(&webhook, RETRY_NOW, None).await;
    let (token, leased) = test.lease(&webhook, 4).await;
    let dispositions = [RETRY_NOW, Disposition::Delivered, RETRY_NOW, RETRY_NOW];
    let settlements = leased.iter().zip(dispositions).map(|(leased, disposition)| Settlement {
        webhook: webhook.id.clone(),
        delivery: Arc::new(leased.clone()),
        token: token.clone(),
        attempt: Some(attempt_for(&leased.event_id, &disposition)),
        disposition,
        hold: None,
    });
    let outcomes = test.store.settle(settlements.collect()).await.unwrap();
    assert_eq!(outcomes[1].streak, None);
    assert_eq!(outcomes[3].streak.map(|streak| streak.failures), Some(2));
    assert_eq!(test.attempt(&webhook, RETRY_NOW, None).await.unwrap().failures, 3);
}

pub(crate) async fn a_refusal_holds_the_queue_and_counts_once_an_hour(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook_with_deliveries(2).await;
    let hold = Some(Duration::from_secs(120));
    assert_eq!(test.attempt(&webhook, RETRY_NOW, hold).await.unwrap().failures, 1);
    let due = test.store.due_webhooks(0, 10).await.unwrap();
    assert_eq!(due.webhooks, []);
    let next_in = due.next_in.unwrap();
    assert!(Duration::from_secs(100) < next_in && next_in <= Duration::from_secs(120), "{next_in:?}");
    assert!(test.is_held(&webhook).await);
    test.skew.add(121_000);
    assert_eq!(test.store.due_webhooks(0, 10).await.unwrap().webhooks, std::slice::from_ref(&webhook.id));
    assert_eq!(test.attempt(&webhook, RETRY_NOW, hold).await.unwrap().failures, 1);
    test.skew.add(HOUR_MS);
    assert_eq!(test.attempt(&webhook, RETRY_NOW, hold).await.unwrap().failures, 2);

    test.store.reset_failures(&webhook.id).await.unwrap();
    assert!(!test.is_held(&webhook).await);
    test.store.hold_queue(&webhook.id, Duration::from_secs(60)).await.unwrap();
    assert!(test.is_held(&webhook).await);
    test.skew.add(61_000);
    assert!(!test.is_held(&webhook).await);
}

pub(crate) async fn holds_together_have_a_maximum(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook_with_deliveries(1).await;
    let day = Duration::from_secs(24 * 3600);
    for _ in 0..7 {
        test.attempt(&webhook, RETRY_NOW, Some(day)).await;
        assert!(test.is_held(&webhook).await);
        test.skew.add(24 * HOUR_MS);
    }
    assert_eq!(MAX_HOLDS_TOGETHER, 7 * day);
    test.skew.add(1000);
    test.attempt(&webhook, RETRY_NOW, Some(day)).await;
    assert!(!test.is_held(&webhook).await, "a week of holds has passed since the last 2xx");
    test.key().await;
    test.fan_out(&webhook).await;
    test.attempt(&webhook, Disposition::Delivered, None).await;
    test.attempt(&webhook, RETRY_NOW, Some(day)).await;
    assert!(test.is_held(&webhook).await);
}

pub(crate) async fn the_queue_of_a_disabled_webhook_becomes_dead_letters_except_what_is_leased(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook_with_deliveries(3).await;
    let (token, leased) = test.lease(&webhook, 1).await;
    assert_eq!(test.store.move_queue_to_dead_letters(&webhook.id, "disabled").await.unwrap(), 2);
    assert_eq!(test.store.move_queue_to_dead_letters(&webhook.id, "disabled").await.unwrap(), 0);
    let numbers = test.store.webhook_numbers(&webhook.id).await.unwrap();
    assert_eq!((numbers.waiting, numbers.in_flight, numbers.dead), (0, 1, 2));
    let dead = test.store.deliveries(&webhook.id, &[DeliveryKind::Dead], None, 10).await.unwrap();
    assert_eq!(dead.iter().map(|one| one.reason.as_deref()).collect::<Vec<_>>(), [Some("disabled"); 2]);
    test.settle_one(&webhook, &leased[0], &token, Disposition::Delivered, None).await;
    assert_eq!(test.store.resend(&webhook.id, &dead[0].event_id).await.unwrap(), LeaseStatus::Held);
}

pub(crate) async fn a_hold_is_shown_and_can_be_ended(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook_with_deliveries(2).await;
    let held_until = async || test.store.webhook_numbers(&webhook.id).await.unwrap().held_until;
    let next_attempts = async || -> Vec<Option<Timestamp>> {
        let waiting = test.store.deliveries(&webhook.id, &[DeliveryKind::Waiting], None, 10).await.unwrap();
        waiting.into_iter().map(|delivery| delivery.next_attempt_at).collect()
    };
    assert_eq!(held_until().await, None);
    let (token, leased) = test.lease(&webhook, 1).await;
    let before = test.now();
    let retry = Disposition::Retry(Duration::from_secs(60));
    test.settle_one(&webhook, &leased[0], &token, retry, Some(Duration::from_secs(600))).await;
    let until = held_until().await.unwrap();
    let lasts = until.since(before);
    assert!((Duration::from_secs(600)..Duration::from_secs(660)).contains(&lasts), "{lasts:?}");
    assert_eq!(next_attempts().await, [Some(until); 2], "both wait for the end of the hold");
    let refused = test.store.delivery(&webhook.id, &leased[0].event_id).await.unwrap().unwrap();
    assert_eq!(refused.next_attempt_at, Some(until));

    // The clock of the queues goes back by a second at most, and the times are shown on the clock of the store.
    test.skew.add(-HOUR_MS);
    let shown = held_until().await.unwrap();
    let remaining = shown.since(test.now());
    assert!(remaining <= lasts + Duration::from_secs(1), "{remaining:?} of {lasts:?}");
    for next in next_attempts().await {
        assert!(next.unwrap().as_ms().abs_diff(shown.as_ms()) <= 1000, "{next:?}, {shown:?}");
    }
    test.skew.add(HOUR_MS);

    test.store.end_hold(&webhook.id).await.unwrap();
    test.store.end_hold(&webhook.id).await.unwrap();
    assert_eq!(held_until().await, None);
    assert_eq!(test.store.due_webhooks(0, 10).await.unwrap().webhooks, std::slice::from_ref(&webhook.id));
    assert!(next_attempts().await.iter().all(|at| at.unwrap() < until));
    let (token, due) = test.lease(&webhook, 2).await;
    assert_eq!(due.len(), 1, "the refused one waits for its schedule alone");
    let again = test.settle_one(&webhook, &due[0], &token, RETRY_NOW, None).await;
    assert_eq!(again.streak.unwrap().failures, 2, "the failures stay counted");
    test.skew.add(61_000);
    assert_eq!(test.lease(&webhook, 2).await.1.len(), 2);
}

pub(crate) async fn a_delivery_that_is_given_up_keeps_its_last_attempt(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook_with_deliveries(3).await;
    let (token, leased) = test.lease(&webhook, 3).await;
    for leased in &leased {
        test.settle_one(&webhook, leased, &token, RETRY_NOW, None).await;
    }
    // One is given up by a worker, without an attempt; one because the queue is full, and one with the queue.
    let (token, again) = test.lease(&webhook, 1).await;
    let disabled = Settlement {
        webhook: webhook.id.clone(),
        delivery: Arc::new(again[0].clone()),
        token,
        disposition: Disposition::DeadLetter("disabled".to_owned()),
        attempt: None,
        hold: None,
    };
    assert_eq!(test.store.settle(vec![disabled]).await.unwrap()[0].lease, LeaseStatus::Held);
    test.key().await;
    let step = test.fan_out_step(&webhook.id, 2).await;
    assert_eq!(test.store.fan_out(step).await.unwrap(), FanOutOutcome::Applied { overflowed: 1 });
    assert_eq!(test.store.move_queue_to_dead_letters(&webhook.id, "disabled").await.unwrap(), 2);

    let dead = test.store.deliveries(&webhook.id, &[DeliveryKind::Dead], None, 10).await.unwrap();
    assert_eq!(dead.len(), 4);
    for delivery in &dead {
        let was_attempted = leased.iter().any(|leased| leased.event_id == delivery.event_id);
        let last = was_attempted.then(|| {
            let attempt = attempt_for(&delivery.event_id, &RETRY_NOW);
            AttemptRecord { response: None, ..attempt }
        });
        assert_eq!((delivery.attempts, &delivery.last_attempt), (u32::from(was_attempted), &last));
    }
}
