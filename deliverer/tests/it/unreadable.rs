//! Undecodable data affects its own deliveries and no others.

use std::time::Duration;

use gatepost_domain::record::Webhook;
use gatepost_store::Versioned;
use gatepost_test_support::MockServer;

use crate::fixture::{DEADLINE, Fixture, only_body};

/// Makes a webhook undecodable for every version of the program.
fn make_undecodable(webhook: Versioned<Webhook>) -> (Versioned<Webhook>, Webhook) {
    let new = webhook.record.clone();
    let unknown = webhook.unknown.with_public("project", 5);
    (Versioned { unknown, ..webhook }, new)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undecodable_webhook_delays_no_other() {
    let test = Fixture::start().await;
    let (first, second) = (MockServer::start(), MockServer::start());
    let webhook = test.create_webhook(&first, |webhook| webhook).await;
    test.create_webhook(&second, |webhook| webhook).await;
    test.replace_webhook(&webhook, make_undecodable).await;
    test.create_key(&test.project).await;
    only_body(&second);
    test.wait_until_idle().await;
    assert_eq!(first.request_count(), 0);
    assert!(test.metric("gatepost_unreadable_webhooks_total") >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_of_an_undecodable_webhook_become_dead_letters() {
    let test = Fixture::start().await;
    let receiver = MockServer::with_statuses(|_| (500, Duration::ZERO));
    let webhook = test.create_webhook(&receiver, |webhook| webhook).await;
    test.create_key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    test.wait_for_next_due_in(1, 7).await;
    test.replace_webhook(&webhook, make_undecodable).await;
    test.advance_clock(Duration::from_secs(7));
    test.wait_until_idle().await;
    let letters = test.store.dead_letters(&webhook.id, None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.starts_with("store corrupt"), "{}", letters[0].reason);
    // The webhook became unreadable before the second attempt.
    assert_eq!((receiver.request_count(), letters[0].attempts_made), (1, 1));
    assert!((test.deliveries_with_outcome("dead") - 1.0).abs() < f64::EPSILON);
}
