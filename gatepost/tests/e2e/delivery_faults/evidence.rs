//! Collects what was observed, once it is complete.

use std::time::Duration;

use tokio::time::Instant;

use super::bad_receivers::Forbidden;
use super::checker::{Evidence, Health, WebhookEvidence};
use super::load::Account;
use crate::fair_share::report;

/// Interval at which the evidence is collected until it is complete.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Waits until every event has reached every webhook or is a dead letter, and healthy webhooks have nothing left to
/// send. Then checks all invariants. `known` says what the test has done, and `forbidden` what must not be contacted.
pub(super) async fn check(
    what: &str,
    accounts: &[&Account],
    known: Evidence,
    forbidden: &[Forbidden],
    deadline: Duration,
) {
    let deadline_at = Instant::now() + deadline;
    let mut evidence = known;
    loop {
        evidence.webhooks = observe(accounts).await;
        let is_complete = evidence.webhooks.iter().all(|webhook| webhook.lost().is_empty());
        if (is_complete && are_idle(accounts).await) || Instant::now() > deadline_at {
            break;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    // The journals of webhooks that are idle are complete now.
    evidence.webhooks = observe(accounts).await;
    evidence.forbidden_connections = forbidden.iter().map(Forbidden::count).collect();
    let confirmed: usize = accounts.iter().map(|account| account.confirmed_count()).sum();
    let committed: usize = evidence.webhooks.iter().map(|webhook| webhook.wanted.len()).sum();
    let (repeated, in_flight) = evidence.duplicates();
    report(&format!(
        "{what}: {confirmed} changes confirmed, {committed} deliveries wanted, {repeated} repeated, {in_flight} in flight \
         at {} crashes",
        evidence.crashes.len()
    ));
    assert_eq!(evidence.violations(), Vec::<String>::new(), "{what}");
    assert!(are_idle(accounts).await, "{what}: a healthy webhook has deliveries left");
}

async fn observe(accounts: &[&Account]) -> Vec<WebhookEvidence> {
    let mut observed = Vec::new();
    for account in accounts {
        let (admin, wanted) = (account.admin(), account.committed().await);
        for subject in &account.subjects {
            observed.push(subject.observe(&admin, wanted.clone()).await);
        }
    }
    observed
}

/// Returns whether healthy webhooks have nothing left to send, so that nothing can be repeated any more.
async fn are_idle(accounts: &[&Account]) -> bool {
    for account in accounts {
        let admin = account.admin();
        for subject in account.subjects.iter().filter(|subject| subject.health == Health::Healthy) {
            if !subject.is_idle(&admin).await {
                return false;
            }
        }
    }
    true
}
