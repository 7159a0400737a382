//! Effects of a receiver's response on a delivery.

use std::time::Duration;

use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_test_support::{MockServer, Reply};

use crate::fixture::{DEADLINE, Fixture};

fn replying_once(first: Reply) -> MockServer {
    let mut first = Some(first);
    MockServer::with_script(move |_| first.take().unwrap_or(Reply { status: 200, ..Reply::default() }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_honoured() {
    let test = Fixture::start().await;
    let reply = Reply { status: 503, headers: vec![("retry-after", "1800".to_owned())], ..Reply::default() };
    let receiver = replying_once(reply);
    test.create_webhook(&receiver, |webhook| webhook).await;
    test.create_key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    // Plus up to a fifth of jitter.
    test.wait_for_next_due_in(1780, 2160).await;
    test.advance_clock(Duration::from_secs(2160));
    assert_eq!(receiver.await_count(2, DEADLINE), 2);
    test.wait_until_idle().await;
    let attempts = receiver.take_requests();
    assert_eq!(attempts[0].header("webhook-id"), attempts[1].header("webhook-id"));
    assert!((test.deliveries_with_outcome("failed") - 1.0).abs() < f64::EPSILON);
    assert!((test.deliveries_with_outcome("delivered") - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_receiver_is_not_retried() {
    let test = Fixture::start().await;
    let receiver = MockServer::with_statuses(|_| (410, Duration::ZERO));
    let webhook = test.create_webhook(&receiver, |webhook| webhook).await;
    test.create_key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    test.wait_until_idle().await;
    let letters = test.store.dead_letters(&webhook.id, None, 10).await.unwrap();
    assert_eq!(letters[0].reason, "the receiver responded with 410");
    assert_eq!(receiver.request_count(), 1);
    // One attempt is counted once.
    let counts = ["gone", "failed", "dead"].map(|outcome| test.deliveries_with_outcome(outcome));
    assert!((counts[0] - 1.0).abs() < f64::EPSILON && counts[1] + counts[2] < f64::EPSILON, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let test = Fixture::start().await;
    let elsewhere = MockServer::start();
    let headers = vec![("location", elsewhere.url())];
    let receiver = replying_once(Reply { status: 307, headers, ..Reply::default() });
    test.create_webhook(&receiver, |webhook| webhook).await;
    test.create_key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    test.wait_for_next_due_in(1, 7).await;
    assert_eq!(elsewhere.request_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_deliveries_of_a_paused_webhook_wait_until_it_is_resumed() {
    let test = Fixture::start().await;
    let receiver = replying_once(Reply { status: 500, ..Reply::default() });
    let webhook = test.create_webhook(&receiver, |webhook| webhook).await;
    test.create_key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    test.wait_for_next_due_in(1, 7).await;
    let set_status = |status| {
        move |found: gatepost_store::Versioned<Webhook>| {
            let new = Webhook { status, ..found.record.clone() };
            (found, new)
        }
    };
    test.replace_webhook(&webhook, set_status(WebhookStatus::Paused)).await;
    test.advance_clock(Duration::from_secs(7));
    test.wait_for_next_due_in(30, 60).await;
    assert_eq!(receiver.request_count(), 1, "a delivery was sent although the webhook is paused");
    test.replace_webhook(&webhook, set_status(WebhookStatus::Live)).await;
    test.advance_clock(Duration::from_secs(60));
    assert_eq!(receiver.await_count(2, DEADLINE), 2);
    test.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overflowed_deliveries_are_counted_and_become_dead_letters() {
    let test = Fixture::with_max_pending(3).await;
    let receiver = MockServer::with_statuses(|_| (500, Duration::ZERO));
    let webhook = test.create_webhook(&receiver, |webhook| webhook).await;
    for _ in 0..10 {
        test.create_key(&test.project).await;
    }
    let overflow = async {
        while test.metric("gatepost_overflowed_total") < 7.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, overflow).await.is_ok(), "the queue did not overflow");
    let letters = test.store.dead_letters(&webhook.id, None, 10).await.unwrap();
    assert_eq!(letters.len(), 7);
    assert!(letters.iter().all(|letter| letter.reason == "the queue was full"));
    test.deliverer.stop().await;
    let numbers = test.store.queue_stats().await.unwrap();
    assert_eq!((numbers.pending, numbers.leased), (3, 0));
}
