//! Trimming, and what is still accepted when the stream is full.

use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::LeaseToken;
use gatepost_domain::record::{ApiKey, Status};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::{
    CommitOutcome, CursorState, DeliveryLeaseRequest, Disposition, FirstUseOutcome, RetentionPolicy, Settlement,
};
use gatepost_store::{RecordWrite, os_rng};

use crate::fixture::{TestBackend, api_key, change, renamed};

const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn rule(max_entries: u64) -> RetentionPolicy {
    RetentionPolicy {
        max_age: 30 * DAY,
        max_entries,
        max_sealed_secret_age: 7 * DAY,
        max_dead_letter_age: 30 * DAY,
        max_log_age: 7 * DAY,
        oldest_attempt: Timestamp::from_ms(0),
        batch: 1000,
    }
}

pub(crate) async fn trimming_stops_at_the_fan_out_cursor(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    for _ in 0..5 {
        test.key().await;
    }
    let trimmed = test.store.trim(rule(2)).await.unwrap();
    assert_eq!((trimmed.entries, trimmed.trimmed_through), (0, Version::ZERO), "nothing is fanned out yet");
    test.fan_out(&webhook).await;
    let all = test.store.audit_feed().read(Version::ZERO, 100, Duration::ZERO).await.unwrap().entries;
    let trimmed = test.store.trim(rule(2)).await.unwrap();
    assert_eq!(trimmed.entries, all.len() as u64 - 2);
    assert_eq!(trimmed.trimmed_through, all[all.len() - 3].version);
    let cursor = test.store.check_cursor(all[0].version, all[0].event.clone()).await.unwrap();
    assert_eq!((cursor.state, cursor.trimmed_through), (CursorState::Trimmed, trimmed.trimmed_through));
    let left = test.store.audit_feed().read(Version::ZERO, 100, Duration::ZERO).await.unwrap().entries;
    assert_eq!(left, all[all.len() - 2..]);

    test.skew.add(31 * 86_400_000);
    let (new, _) = test.key().await;
    let by_age = test.store.trim(rule(1000)).await.unwrap();
    assert_eq!(by_age.entries, 2);
    let left = test.store.audit_feed().read(Version::ZERO, 100, Duration::ZERO).await.unwrap().entries;
    assert_eq!(left.iter().map(|entry| entry.version).collect::<Vec<_>>(), vec![new.position.version]);
    assert_eq!(test.store.queue_stats().await.unwrap().pending, 5, "trimming keeps deliveries");
}

pub(crate) async fn a_trimmed_stream_is_read_backwards_to_its_oldest_entry(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    for _ in 0..5 {
        test.key().await;
    }
    test.fan_out(&webhook).await;
    let mut all = test.store.audit_feed().read(Version::ZERO, 100, Duration::ZERO).await.unwrap().entries;
    all.reverse();
    let trimmed_through = test.store.trim(rule(3)).await.unwrap().trimmed_through;
    let left = test.store.audit_feed().search_backwards(Version::MAX, 100, |_| true).await.unwrap();
    assert_eq!((left.selected.as_slice(), left.cursor_check.trimmed_through), (&all[..3], trimmed_through));
    let oldest = test.store.audit_feed().search_backwards(all[2].version, 100, |_| true).await.unwrap();
    assert_eq!((oldest.selected, oldest.cursor_check.state), (vec![], CursorState::Present));
    let trimmed = test.store.audit_feed().search_backwards(all[4].version, 100, |_| true).await.unwrap();
    assert_eq!((trimmed.selected, trimmed.cursor_check.state), (vec![], CursorState::Trimmed));
}

pub(crate) async fn a_full_stream_refuses_ordinary_writes_only(mut backend: TestBackend) {
    backend.options.max_fan_out_backlog = 5;
    let test = backend.fixture().await;
    let (key, secret) = test.key().await;
    let (other, _) = test.key().await;
    test.key().await;
    let (refused, _) = api_key(&test.store, &test.project.record);
    let create = change(Action::ApiKeyCreated, vec![RecordWrite::create(refused.clone())], None);
    assert_eq!(test.store.commit(&create).await.unwrap(), CommitOutcome::StreamFull);
    assert_eq!(test.store.api_key(&refused.id).await.unwrap(), None);
    let write = RecordWrite { old: Some(other.clone().map(Into::into)), new: Some(renamed(&other, "new")) };
    let update = change(Action::ApiKeyUpdated, vec![write], None);
    assert_eq!(test.store.commit(&update).await.unwrap(), CommitOutcome::StreamFull);

    let digest = test.store.envelope().digest(secret.expose());
    let facts = test.store.lookup(&digest).await.unwrap().found.unwrap().facts;
    assert!(matches!(test.store.claim_first_use(&facts, &digest, None).await.unwrap(), FirstUseOutcome::Won(_)));
    let revoked = ApiKey { status: Status::Inactive, ..key.record.clone() };
    let revoke = change(Action::ApiKeyDeleted, vec![RecordWrite::replace(key, revoked)], None);
    assert!(matches!(test.store.commit(&revoke).await.unwrap(), CommitOutcome::Committed(_)));

    let cursor = test.store.fan_out_cursor().await.unwrap();
    let entries = test.store.audit_feed().read(cursor, 100, Duration::ZERO).await.unwrap().entries;
    let step = gatepost_store::FanOutStep {
        expected_cursor: cursor,
        new_cursor: entries.last().unwrap().version,
        entry_count: entries.len() as u64,
        events: vec![],
        dropped: vec![],
        quarantined: vec![],
        max_pending: 10,
        max_dead_letters: 10,
    };
    test.store.fan_out(step).await.unwrap();
    assert!(
        matches!(test.store.commit(&create).await.unwrap(), CommitOutcome::Committed(_)),
        "the deliverer has caught up"
    );
}

pub(crate) async fn old_secrets_and_dead_letters_are_erased(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    test.key().await;
    test.key().await;
    test.fan_out(&webhook).await;
    let token = LeaseToken::generate(&mut os_rng());
    let request = DeliveryLeaseRequest {
        webhook: webhook.id.clone(),
        token: token.clone(),
        max_deliveries: 1,
        in_flight_cap: 4,
        lease_duration: Duration::from_secs(30),
    };
    let leased = test.store.lease_deliveries(request.clone()).await.unwrap().deliveries;
    let settle = Settlement {
        webhook: webhook.id.clone(),
        delivery: Arc::new(leased[0].clone()),
        token,
        disposition: Disposition::DeadLetter("status 500".to_owned()),
        attempt: None,
        hold: None,
    };
    test.store.settle(vec![settle]).await.unwrap();
    assert_eq!(test.store.trim(rule(1000)).await.unwrap().sealed_secrets, 0);

    test.skew.add(8 * 86_400_000);
    let trimmed = test.store.trim(rule(1000)).await.unwrap();
    assert_eq!((trimmed.sealed_secrets, trimmed.dead_letters), (2, 0));
    let due = test.store.lease_deliveries(request.clone()).await.unwrap().deliveries;
    assert!(test.store.open_secret(&due[0]).unwrap().is_none());
    assert_eq!(test.store.dead_letters(&webhook.id, None, 10).await.unwrap().len(), 1);

    test.skew.add(23 * 86_400_000);
    assert_eq!(test.store.trim(rule(1000)).await.unwrap().dead_letters, 1);
    assert!(test.store.dead_letters(&webhook.id, None, 10).await.unwrap().is_empty());
    assert_eq!(test.store.queue_stats().await.unwrap().dead_letters, 0);
}
