//! Trimming, and what goes on when the stream is full.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::LeaseToken;
use gatepost_domain::record::{ApiKey, Status};
use gatepost_domain::time::Version;
use gatepost_store::act::{Claim, CommitAnswer, CursorState, LeaseRequest, RawSettle, Step, TrimRule};
use gatepost_store::{Write, os_rng};

use crate::fixture::{Place, api_key, change, renamed};

const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn rule(max_entries: u64) -> TrimRule {
    TrimRule { max_age: 30 * DAY, max_entries, max_sealed_age: 7 * DAY, max_dead_age: 30 * DAY, batch: 1000 }
}

pub(crate) async fn trimming_stops_at_the_fan_out_cursor(place: Place) {
    let test = place.fixture().await;
    let webhook = test.webhook().await;
    for _ in 0..5 {
        test.key().await;
    }
    let trimmed = test.store.trim(rule(2)).await.unwrap();
    assert_eq!((trimmed.entries, trimmed.trimmed_through), (0, Version::ZERO), "nothing was fanned out yet");
    test.fan_out(&webhook).await;
    let all = test.store.feed(Version::ZERO, 100, Duration::ZERO).await.unwrap();
    let trimmed = test.store.trim(rule(2)).await.unwrap();
    assert_eq!(trimmed.entries, all.len() as u64 - 2);
    assert_eq!(trimmed.trimmed_through, all[all.len() - 3].version);
    let judged = test.store.judge_cursor(all[0].version, all[0].event.clone()).await.unwrap();
    assert_eq!((judged.state, judged.trimmed_through), (CursorState::Trimmed, trimmed.trimmed_through));
    let left = test.store.feed(Version::ZERO, 100, Duration::ZERO).await.unwrap();
    assert_eq!(left, all[all.len() - 2..]);

    test.skew.add(31 * 86_400_000);
    let (new, _) = test.key().await;
    let by_age = test.store.trim(rule(1000)).await.unwrap();
    assert_eq!(by_age.entries, 2);
    let left = test.store.feed(Version::ZERO, 100, Duration::ZERO).await.unwrap();
    assert_eq!(left.iter().map(|entry| entry.version).collect::<Vec<_>>(), vec![new.version]);
    assert_eq!(test.store.queue_numbers().await.unwrap().pending, 5, "trimming costs no delivery");
}

pub(crate) async fn a_full_stream_refuses_ordinary_writes_only(mut place: Place) {
    place.options.max_entries = 5;
    let test = place.fixture().await;
    let (key, secret) = test.key().await;
    let (other, _) = test.key().await;
    test.key().await;
    let (refused, _) = api_key(&test.store, &test.project.record);
    let create = change(Action::ApiKeyCreated, vec![Write::create(refused.clone())], None);
    assert_eq!(test.store.commit(&create).await.unwrap(), CommitAnswer::StreamFull);
    assert_eq!(test.store.api_key(&refused.id).await.unwrap(), None);
    let write = Write { old: Some(other.clone().map(Into::into)), new: Some(renamed(&other, "new")) };
    let update = change(Action::ApiKeyUpdated, vec![write], None);
    assert_eq!(test.store.commit(&update).await.unwrap(), CommitAnswer::StreamFull);

    let digest = test.store.digest(secret.expose());
    let facts = test.store.lookup(&digest).await.unwrap().found.unwrap().facts;
    assert!(matches!(test.store.claim_first_use(&facts, &digest, None).await.unwrap(), Claim::Won(_)));
    let off = ApiKey { status: Status::Inactive, ..key.record.clone() };
    let revoke = change(Action::ApiKeyDeleted, vec![Write::replace(key, off)], None);
    assert!(matches!(test.store.commit(&revoke).await.unwrap(), CommitAnswer::Committed(_)));

    let webhook_less = test.store.fan_out_cursor().await.unwrap();
    let entries = test.store.feed(webhook_less, 100, Duration::ZERO).await.unwrap();
    let step = gatepost_store::FanOut {
        expected: webhook_less,
        new: entries.last().unwrap().version,
        entries: entries.len() as u64,
        events: vec![],
        quarantined: vec![],
        max_pending: 10,
        max_dead: 10,
    };
    test.store.fan_out(step).await.unwrap();
    assert!(matches!(test.store.commit(&create).await.unwrap(), CommitAnswer::Committed(_)), "the deliverer caught up");
}

pub(crate) async fn old_secrets_and_dead_letters_are_erased(place: Place) {
    let test = place.fixture().await;
    let webhook = test.webhook().await;
    test.key().await;
    test.key().await;
    test.fan_out(&webhook).await;
    let token = LeaseToken::generate(&mut os_rng());
    let request = LeaseRequest {
        webhook: webhook.id.clone(),
        token: token.clone(),
        max: 1,
        in_flight_cap: 4,
        lease: Duration::from_secs(30),
    };
    let leased = test.store.lease_deliveries(request.clone()).await.unwrap();
    let settle = RawSettle {
        webhook: webhook.id.clone(),
        event: leased[0].event_id.clone(),
        token,
        step: Step::Dead("status 500".to_owned()),
        attempt: None,
    };
    test.store.settle(vec![settle]).await.unwrap();
    assert_eq!(test.store.trim(rule(1000)).await.unwrap().sealed, 0);

    test.skew.add(8 * 86_400_000);
    let trimmed = test.store.trim(rule(1000)).await.unwrap();
    assert_eq!((trimmed.sealed, trimmed.dead), (2, 0));
    let due = test.store.lease_deliveries(request.clone()).await.unwrap();
    assert!(test.store.open_secret(&due[0]).unwrap().is_none());
    assert_eq!(test.store.dead_letters(&webhook.id, 10).await.unwrap().len(), 1);

    test.skew.add(23 * 86_400_000);
    assert_eq!(test.store.trim(rule(1000)).await.unwrap().dead, 1);
    assert!(test.store.dead_letters(&webhook.id, 10).await.unwrap().is_empty());
    assert_eq!(test.store.queue_numbers().await.unwrap().dead, 0);
}
