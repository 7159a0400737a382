//! Failures of webhooks in a row, holds of their queues, and the end of a disabled one's queue.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::id::LeaseToken;
use gatepost_domain::record::{FailureStreak, Webhook};
use gatepost_store::{
    DeliveryKind, Disposition, LeaseStatus, LeasedDelivery, MAX_HOLDS_TOGETHER, Settlement, SettlementOutcome,
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
