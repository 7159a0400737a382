//! Receivers that never respond delay no other project.

use gatepost_domain::record::Webhook;
use gatepost_test_support::{Gate, MockServer};

use crate::fixture::{DEADLINE, Fixture, only_body};

/// Number of webhooks whose receivers never respond, and of events: more deliveries than a process sends
/// concurrently.
const TARPITS: usize = 70;
const EVENTS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seventy_receivers_that_never_answer_do_not_delay_another_project() {
    let test = Fixture::start().await;
    let (never, healthy) = (MockServer::with_gate(&Gate::default()), MockServer::start());
    let project = test.project.clone();
    for _ in 0..TARPITS {
        test.create_webhook(&never, |webhook| Webhook { project: Some(project.id.clone()), ..webhook }).await;
    }
    let other = test.create_project().await;
    test.create_webhook(&healthy, |webhook| Webhook { project: Some(other.id.clone()), ..webhook }).await;
    for _ in 0..EVENTS {
        test.create_key(&project).await;
    }
    assert!(never.await_count(TARPITS, DEADLINE) >= TARPITS, "each of them is attempted");
    let held = never.request_count();
    let (key, _) = test.create_key(&other).await;
    assert_eq!(only_body(&healthy)["data"]["id"], key.id.as_str());
    // An attempt that had timed out in between would have been followed by another request.
    assert_eq!(never.request_count(), held, "the event waited until an attempt timed out");
}
