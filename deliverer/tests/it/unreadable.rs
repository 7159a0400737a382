//! What cannot be decoded costs its own deliveries and no others.

use std::time::Duration;

use gatepost_domain::record::Webhook;
use gatepost_store::Versioned;
use gatepost_test_support::Origin;

use crate::fixture::{DEADLINE, Fixture, only_body};

/// As no version of the program writes it.
fn broken(webhook: Versioned<Webhook>) -> (Versioned<Webhook>, Webhook) {
    let new = webhook.record.clone();
    let unknown = webhook.unknown.with_public("project", 5);
    (Versioned { unknown, ..webhook }, new)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_cannot_be_read_stops_no_other() {
    let test = Fixture::start().await;
    let (first, second) = (Origin::start(), Origin::start());
    let webhook = test.webhook(&first, |webhook| webhook).await;
    test.webhook(&second, |webhook| webhook).await;
    test.change_webhook(&webhook, broken).await;
    test.key(&test.project).await;
    only_body(&second);
    test.await_end().await;
    assert_eq!(first.count(), 0);
    assert!(test.metric("gatepost_unreadable_webhooks_total") >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_it_becomes_dead_letters() {
    let test = Fixture::start().await;
    let receiver = Origin::answering(|_| (500, Duration::ZERO));
    let webhook = test.webhook(&receiver, |webhook| webhook).await;
    test.key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    test.await_next_in(1, 7).await;
    test.change_webhook(&webhook, broken).await;
    test.pass(Duration::from_secs(7));
    test.await_end().await;
    let letters = test.store.dead_letters(&webhook.id, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.starts_with("store corrupt"), "{}", letters[0].reason);
    assert_eq!(receiver.count(), 1);
    assert!((test.outcomes("dead") - 1.0).abs() < f64::EPSILON);
}
