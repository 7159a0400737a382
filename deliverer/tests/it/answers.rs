//! What becomes of a delivery by what its receiver answers.

use std::time::Duration;

use gatepost_domain::record::{Webhook, WebhookStatus};
use gatepost_test_support::{Origin, Reply};

use crate::fixture::{DEADLINE, Fixture};

fn once(first: Reply) -> Origin {
    let mut first = Some(first);
    Origin::replying(move |_| first.take().unwrap_or(Reply { status: 200, ..Reply::default() }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_asks_for_time_gets_it() {
    let test = Fixture::start().await;
    let reply = Reply { status: 503, headers: vec![("retry-after", "1800".to_owned())], ..Reply::default() };
    let receiver = once(reply);
    test.webhook(&receiver, |webhook| webhook).await;
    test.key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    // And up to a fifth more.
    test.await_next_in(1780, 2160).await;
    test.pass(Duration::from_secs(2160));
    assert_eq!(receiver.await_count(2, DEADLINE), 2);
    test.await_end().await;
    let attempts = receiver.take();
    assert_eq!(attempts[0].header("webhook-id"), attempts[1].header("webhook-id"));
    assert!((test.outcomes("failed") - 1.0).abs() < f64::EPSILON);
    assert!((test.outcomes("delivered") - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let test = Fixture::start().await;
    let receiver = Origin::answering(|_| (410, Duration::ZERO));
    let webhook = test.webhook(&receiver, |webhook| webhook).await;
    test.key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    test.await_end().await;
    let letters = test.store.dead_letters(&webhook.id, 10).await.unwrap();
    assert_eq!(letters[0].reason, "the receiver answered 410");
    assert_eq!(receiver.count(), 1);
    // One attempt is counted once.
    let counts = ["gone", "failed", "dead"].map(|outcome| test.outcomes(outcome));
    assert!((counts[0] - 1.0).abs() < f64::EPSILON && counts[1] + counts[2] < f64::EPSILON, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let test = Fixture::start().await;
    let elsewhere = Origin::start();
    let headers = vec![("location", elsewhere.url())];
    let receiver = once(Reply { status: 307, headers, ..Reply::default() });
    test.webhook(&receiver, |webhook| webhook).await;
    test.key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    test.await_next_in(1, 7).await;
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_for_a_paused_webhook_waits_until_it_goes_on() {
    let test = Fixture::start().await;
    let receiver = once(Reply { status: 500, ..Reply::default() });
    let webhook = test.webhook(&receiver, |webhook| webhook).await;
    test.key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    test.await_next_in(1, 7).await;
    let with = |status| {
        move |found: gatepost_store::Versioned<Webhook>| {
            let new = Webhook { status, ..found.record.clone() };
            (found, new)
        }
    };
    test.change_webhook(&webhook, with(WebhookStatus::Paused)).await;
    test.pass(Duration::from_secs(7));
    test.await_next_in(30, 60).await;
    assert_eq!(receiver.count(), 1, "it was sent although it is paused");
    test.change_webhook(&webhook, with(WebhookStatus::Live)).await;
    test.pass(Duration::from_secs(60));
    assert_eq!(receiver.await_count(2, DEADLINE), 2);
    test.await_end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_falls_out_of_a_full_queue_is_counted_and_kept() {
    let test = Fixture::with(3).await;
    let receiver = Origin::answering(|_| (500, Duration::ZERO));
    let webhook = test.webhook(&receiver, |webhook| webhook).await;
    for _ in 0..10 {
        test.key(&test.project).await;
    }
    let fallen = async {
        while test.metric("gatepost_overflowed_total") < 7.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, fallen).await.is_ok(), "they did not fall out");
    let letters = test.store.dead_letters(&webhook.id, 10).await.unwrap();
    assert_eq!(letters.len(), 7);
    assert!(letters.iter().all(|letter| letter.reason == "the queue was full"));
    test.deliverer.stop().await;
    let numbers = test.store.queue_numbers().await.unwrap();
    assert_eq!((numbers.pending, numbers.leased), (3, 0));
}
