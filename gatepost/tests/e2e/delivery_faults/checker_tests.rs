//! The checker notices each kind of violation, in journals made for it.

use std::collections::HashMap;
use std::time::Duration;

use gatepost_test_support::Receipt;
use tokio::time::Instant;

use super::checker::{CommittedEvent, Crash, Evidence, Health, ListedDelivery, STARVED_AFTER, WebhookEvidence};

/// Event of a delivery that was not delivered, its status, its attempts, and its error.
type Listed = (&'static str, &'static str, usize, &'static str);

/// Time of a synthetic journal, in seconds.
struct Timeline(Instant);

impl Timeline {
    fn at(&self, s: u64) -> Instant {
        self.0 + Duration::from_secs(s)
    }

    /// Returns a receipt that was answered a second later.
    fn receipt(&self, id: &str, s: u64, status: u16) -> Receipt {
        let answered_at = Some(self.at(s + 1));
        Receipt { webhook_id: id.to_owned(), arrived_at: self.at(s), status, answered_at }
    }

    /// Returns the journal of a healthy webhook that wanted two events.
    fn evidence(&self, receipts: Vec<Receipt>, listed: &[Listed], crashes_at_s: &[u64]) -> Evidence {
        let wanted = ["one", "two"].map(|id| CommittedEvent { id: id.to_owned(), confirmed_at: Some(self.at(0)) });
        let listed: HashMap<String, ListedDelivery> = listed
            .iter()
            .map(|&(id, status, history, error)| {
                (id.to_owned(), ListedDelivery { status: status.to_owned(), history, error: error.to_owned() })
            })
            .collect();
        let webhook =
            WebhookEvidence { name: "w".to_owned(), health: Health::Healthy, wanted: wanted.into(), receipts, listed };
        let crashes = crashes_at_s.iter().map(|&s| Crash { from: self.at(s), until: self.at(s) }).collect();
        Evidence { webhooks: vec![webhook], crashes, ..Evidence::default() }
    }

    fn check(&self, receipts: Vec<Receipt>, listed: &[Listed], crashes_at_s: &[u64], expected: &[&str]) {
        assert_eq!(self.evidence(receipts, listed, crashes_at_s).violations(), expected);
    }
}

fn timeline() -> Timeline {
    Timeline(Instant::now())
}

#[test]
fn sound_journals_have_no_violations() {
    let time = timeline();
    let received = || vec![time.receipt("one", 1, 200), time.receipt("two", 1, 204)];
    time.check(received(), &[], &[], &[]);
    time.check(vec![time.receipt("one", 1, 500), time.receipt("one", 9, 200), received()[1].clone()], &[], &[], &[]);
    time.check(vec![time.receipt("one", 1, 200)], &[("two", "dead", 2, "500")], &[], &[]);
    let mut waiting = time.evidence(vec![time.receipt("one", 1, 200)], &[("two", "pending", 0, "")], &[]);
    waiting.webhooks[0].health = Health::Faulty;
    assert_eq!(waiting.violations(), Vec::<String>::new());
}

#[test]
fn lost_event_is_noticed() {
    let time = timeline();
    let one = || vec![time.receipt("one", 1, 200)];
    time.check(one(), &[], &[], &["w: two was never received and is not listed"]);
    time.check(one(), &[("two", "dead", 0, "disabled")], &[], &[]);
    time.check(one(), &[("two", "dead", 0, "500")], &[], &["w: two is dead with 0 attempts: \"500\""]);
    time.check(one(), &[("two", "pending", 0, "")], &[], &["w: two is pending with 0 attempts: \"\""]);
    time.check(one(), &[("two", "dropped", 0, "")], &[], &["w: two is dropped with 0 attempts: \"\""]);
    time.check(one(), &[("two", "failed", 1, "500")], &[], &["w: two is failed with 1 attempts: \"500\""]);
    let rejected = || vec![time.receipt("one", 1, 200), time.receipt("two", 1, 500)];
    time.check(rejected(), &[], &[], &["w: two was rejected and is not listed"]);
}

#[test]
fn surplus_duplicate_is_noticed() {
    let time = timeline();
    let twice = || vec![time.receipt("two", 1, 200), time.receipt("one", 10, 200), time.receipt("one", 40, 200)];
    let surplus = ["w: one was sent again after 30s without a crash"];
    time.check(twice(), &[], &[], &surplus);
    // In flight from 10 s to 11 s and until it is settled.
    time.check(twice(), &[], &[10], &[]);
    time.check(twice(), &[], &[8], &surplus);
    time.check(twice(), &[], &[13], &surplus);
    time.check(twice(), &[], &[50], &surplus);
    let thrice = || [twice(), vec![time.receipt("one", 50, 200)]].concat();
    time.check(thrice(), &[], &[10], &["w: one was sent again after 10s without a crash"]);
    time.check(thrice(), &[], &[10, 40], &[]);
    assert_eq!(time.evidence(thrice(), &[], &[10, 40]).duplicates(), (2, 2));
}

#[test]
fn starved_webhook_is_noticed() {
    let time = timeline();
    let late_s = STARVED_AFTER.as_secs() + 1;
    let late = || vec![time.receipt("one", 1, 200), time.receipt("two", late_s, 200)];
    time.check(late(), &[], &[], &["w: starved: two waited for 61s"]);
    let mut evidence = time.evidence(late(), &[], &[]);
    evidence.faults_ended_at = Some(time.at(1));
    assert_eq!(evidence.violations(), Vec::<String>::new());
    evidence.faults_ended_at = None;
    evidence.webhooks[0].health = Health::Faulty;
    assert_eq!(evidence.violations(), Vec::<String>::new());
}

#[test]
fn forbidden_connection_and_foreign_event_are_noticed() {
    let time = timeline();
    let received = ["one", "two", "three"].map(|id| time.receipt(id, 1, 200)).to_vec();
    let mut evidence = time.evidence(received, &[], &[]);
    evidence.forbidden_connections = vec![("10.0.0.1".to_owned(), 0), ("127.0.0.1".to_owned(), 2)];
    let expected = ["127.0.0.1 must not be contacted and got 2 connections", "w: \"three\" is not an event for it"];
    assert_eq!(evidence.violations(), expected);
}
