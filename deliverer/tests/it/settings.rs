//! Settings of one webhook: its retry schedule, its concurrency, its rate, key values and additional signatures.

use std::sync::Arc;
use std::time::Duration;

use gatepost_deliverer::Deliverer;
use gatepost_domain::record::{
    DeliverySettings, KeyValues, MaxInFlight, OldSecret, RatePerSecond, Role, SigningKey, Webhook,
};
use gatepost_domain::retry_schedule::RetrySchedule;
use gatepost_domain::time::{Clock, Timestamp};
use gatepost_store::clock::{ManualClock, SystemClock};
use gatepost_test_support::{Gate, MockServer, Reply};
use gatepost_webhook_client::Ed25519Seed;
use prometheus::Registry;
use zeroize::Zeroizing;

use crate::fixture::{DEADLINE, Fixture, deliverer_options, only_body};

fn with(delivery: DeliverySettings) -> impl FnOnce(Webhook) -> Webhook {
    |webhook| Webhook { delivery, ..webhook }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_with_a_schedule_is_retried_on_it_and_then_given_up() {
    let test = Fixture::start().await;
    let receiver = MockServer::with_statuses(|_| (500, Duration::ZERO));
    let retry_schedule = RetrySchedule::from_seconds(&[100, 1000]).ok();
    let webhook = test.create_webhook(&receiver, with(DeliverySettings { retry_schedule, ..Default::default() })).await;
    test.create_key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    // Plus up to a fifth of jitter, less what has passed since.
    test.wait_for_next_due_in(70, 120).await;
    test.advance_clock(Duration::from_secs(120));
    assert_eq!(receiver.await_count(2, DEADLINE), 2);
    test.wait_for_next_due_in(970, 1200).await;
    test.advance_clock(Duration::from_secs(1200));
    assert_eq!(receiver.await_count(3, DEADLINE), 3);
    test.wait_until_idle().await;
    let letters = test.store.dead_letters(&webhook.id, None, 10).await.unwrap();
    assert_eq!((letters.len(), letters[0].attempts_made), (1, 3));
}

/// A receiver that responds to the first request and then holds its responses back.
fn responding_once(gate: &Gate) -> MockServer {
    let gate = gate.clone();
    MockServer::with_script(move |number| Reply {
        status: 200,
        gate: (number > 0).then(|| gate.clone()),
        ..Reply::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_deliveries_than_a_webhook_allows_are_in_flight() {
    let test = Fixture::start().await;
    let gate = Gate::default();
    let limits = DeliverySettings { max_in_flight: MaxInFlight::new(2), ..Default::default() };
    // One is limited from the start, the other one after the deliverer has seen it without a limit.
    let (first, second) = (responding_once(&gate), responding_once(&gate));
    test.create_webhook(&first, with(limits.clone())).await;
    let limited_later = test.create_webhook(&second, |webhook| webhook).await;
    test.create_key(&test.project).await;
    test.wait_until_idle().await;
    test.replace_webhook(&limited_later, |found| {
        let new = Webhook { delivery: limits, ..found.record.clone() };
        (found, new)
    })
    .await;
    for _ in 0..6 {
        test.create_key(&test.project).await;
    }
    for receiver in [&first, &second] {
        assert_eq!(receiver.await_count(3, DEADLINE), 3);
    }
    // At its limit, a webhook is not due.
    test.wait_for_queues(|queues| queues.webhooks.is_empty()).await;
    assert_eq!([&first, &second].map(MockServer::request_count), [3, 3]);
    gate.open();
    for receiver in [&first, &second] {
        assert_eq!(receiver.await_count(7, DEADLINE), 7);
    }
    test.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliverers_keep_the_rate_of_a_webhook_together_and_delay_no_other() {
    // The clock of the store stands still: time passes only where the test advances it.
    let test = Fixture::with_store_clock(Arc::new(ManualClock::at(SystemClock.now()))).await;
    let second =
        Deliverer::start(test.store.clone(), Arc::new(SystemClock), deliverer_options(1000), &Registry::new()).unwrap();
    let (paced, other) = (MockServer::start(), MockServer::start());
    let rate = RatePerSecond::new(2);
    test.create_webhook(&paced, with(DeliverySettings { rate, ..Default::default() })).await;
    test.create_webhook(&other, |webhook| webhook).await;
    for _ in 0..4 {
        test.create_key(&test.project).await;
    }
    assert_eq!(other.await_count(4, DEADLINE), 4);
    for count in 1..=4 {
        assert_eq!(paced.await_count(count, DEADLINE), count);
        // What is sent after others' deliveries would have been sent by now.
        test.create_key(&test.project).await;
        assert_eq!(other.await_count(4 + count, DEADLINE), 4 + count);
        assert_eq!(paced.request_count(), count, "more than two requests a second");
        test.advance_clock(Duration::from_millis(500));
    }
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_a_rate_that_find_no_delivery_are_not_lost() {
    let test = Fixture::with_store_clock(Arc::new(ManualClock::at(SystemClock.now()))).await;
    let (paced, other) = (MockServer::start(), MockServer::start());
    // Three requests in a tenth of a second.
    let rate = RatePerSecond::new(30);
    test.create_webhook(&paced, with(DeliverySettings { rate, ..Default::default() })).await;
    test.create_webhook(&other, |webhook| webhook).await;
    // From the second event on, the deliverer asks for more than one request at a time.
    for count in 1..=3 {
        test.create_key(&test.project).await;
        assert_eq!([&paced, &other].map(|receiver| receiver.await_count(count, DEADLINE)), [count; 2]);
        test.wait_until_idle().await;
    }
    test.create_key(&test.project).await;
    assert_eq!(other.await_count(4, DEADLINE), 4);
    assert_eq!(paced.request_count(), 3);
    test.advance_clock(Duration::from_millis(100));
    assert_eq!(paced.await_count(4, DEADLINE), 4);
    test.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_omits_secrets_gets_the_mask_where_others_get_the_value() {
    let test = Fixture::start().await;
    let omitting = || DeliverySettings { key_values: KeyValues::Omitted, ..Default::default() };
    let (of_admin, of_user, other) = (MockServer::start(), MockServer::start(), MockServer::start());
    test.create_webhook(&of_admin, with(omitting())).await;
    let of_a_user = |webhook| Webhook { url_set_by: Role::User, delivery: omitting(), ..webhook };
    test.create_webhook(&of_user, of_a_user).await;
    test.create_webhook(&other, |webhook| webhook).await;
    let (key, secret) = test.create_key(&test.project).await;
    let shown = [&of_admin, &of_user, &other].map(|receiver| only_body(receiver)["data"]["key"].clone());
    assert_eq!(shown, [key.mask.as_str(), key.id.as_str(), secret.expose()]);
    test.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_have_the_signatures_of_all_valid_secrets_and_keys() {
    let test = Fixture::start().await;
    let receiver = MockServer::start();
    let (past, future) = (Timestamp::from_ms(1), Timestamp::MAX);
    test.create_webhook(&receiver, |webhook| {
        let envelope = test.store.envelope();
        let seed = |byte: u8| Ed25519Seed::new(Zeroizing::new([byte; 32]));
        let sealed = |byte: u8| envelope.seal_signing_key(&webhook.id, seed(byte).as_bytes()).unwrap();
        let old_key = |byte: u8, until| OldSecret { secret: sealed(byte), until };
        let old_secret =
            |until| OldSecret { secret: envelope.seal_webhook_secret(&webhook.id, &[3; 32]).unwrap(), until };
        let delivery = DeliverySettings {
            signing_key: Some(SigningKey { public: seed(1).public_key(), secret: sealed(1) }),
            old_signing_keys: vec![old_key(2, future), old_key(4, past)],
            ..Default::default()
        };
        Webhook { old_secrets: vec![old_secret(future), old_secret(past)], delivery, ..webhook }
    })
    .await;
    test.create_key(&test.project).await;
    assert_eq!(receiver.await_count(1, DEADLINE), 1);
    let request = receiver.take_requests().pop().unwrap();
    let [header] = request.header("webhook-signature")[..] else { panic!("{}", request.head) };
    let (kinds, signatures): (Vec<&str>, Vec<&str>) =
        header.split(' ').map(|signature| signature.split_once(',').unwrap()).unzip();
    assert_eq!(kinds, ["v1", "v1", "v1a", "v1a"]);
    assert!(signatures[0] != signatures[1] && signatures[2] != signatures[3], "{header}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_sealed_for_another_webhook_signs_nothing() {
    let test = Fixture::start().await;
    let (first, second) = (MockServer::start(), MockServer::start());
    let seed = Ed25519Seed::new(Zeroizing::new([1; 32]));
    let mut key = None;
    test.create_webhook(&first, |webhook| {
        let secret = test.store.envelope().seal_signing_key(&webhook.id, seed.as_bytes()).unwrap();
        key = Some(SigningKey { public: seed.public_key(), secret });
        Webhook { delivery: DeliverySettings { signing_key: key.clone(), ..Default::default() }, ..webhook }
    })
    .await;
    let moved = DeliverySettings { signing_key: key, ..Default::default() };
    let webhook = test.create_webhook(&second, with(moved)).await;
    test.create_key(&test.project).await;
    assert_eq!(first.await_count(1, DEADLINE), 1);
    test.wait_until_idle().await;
    assert_eq!(second.request_count(), 0);
    assert_eq!(test.store.dead_letters(&webhook.id, None, 10).await.unwrap().len(), 1);
}
