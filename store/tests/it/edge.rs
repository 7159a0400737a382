//! What gateways do.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{EventId, GatewayId};
use gatepost_domain::key::{self, Env};
use gatepost_domain::permit::{KeyFacts, Tenancy};
use gatepost_domain::record::{ApiKey, KeyDigest, Project, Status};
use gatepost_domain::time::Version;
use gatepost_store::act::{Claim, CursorState, Heartbeat};
use gatepost_store::{FoundKey, Store, StoreErrorKind, Write, os_rng};

use crate::fixture::{Fixture, Place, account, commit, renamed};

const NO_WAIT: Duration = Duration::ZERO;

async fn found(test: &Fixture, digest: &Digest) -> FoundKey {
    test.store.lookup(digest).await.unwrap().found.unwrap()
}

pub(crate) async fn a_lookup_tells_the_last_position_also_for_absent_values(place: Place) {
    let test = place.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.digest(secret.expose());
    assert_eq!(test.store.lookup(&digest).await.unwrap().as_of, key.version);
    let absent = test.store.lookup(&test.store.digest("no such key")).await.unwrap();
    assert!(absent.found.is_none());
    assert_eq!(absent.as_of, key.version);
    let off = test.revoke(key).await;
    assert_eq!(test.store.lookup(&digest).await.unwrap().as_of, off);
}

pub(crate) async fn a_lookup_sees_key_and_project(place: Place) {
    let test = place.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    assert_eq!((&facts.key, &facts.project), (&key.record.id, &test.project.record.id));
    assert_eq!((facts.status, facts.project_status, facts.tenancy), (Status::Active, Status::Active, Tenancy::Single));

    commit(&test.store, Action::AccountCreated, vec![Write::create(account("second"))], None).await;
    assert_eq!(found(&test, &digest).await.facts.tenancy, Tenancy::Several);

    let off = Project { status: Status::Inactive, ..test.project.record.clone() };
    commit(&test.store, Action::ProjectDeleted, vec![Write::replace(test.project.clone(), off)], None).await;
    assert_eq!(found(&test, &digest).await.facts.project_status, Status::Inactive);
    test.revoke(key).await;
    assert_eq!(found(&test, &digest).await.facts.status, Status::Inactive);
}

/// Claims as a gateway does: again while the claim is not confirmed.
async fn claim_surely(store: &Store, facts: &KeyFacts, digest: &Digest) -> Claim {
    loop {
        match store.claim_first_use(facts, digest, None).await {
            Ok(claim) => return claim,
            Err(error) => {
                assert!(matches!(error.kind(), StoreErrorKind::Unconfirmed | StoreErrorKind::Unavailable), "{error}")
            }
        }
    }
}

pub(crate) async fn sixty_four_racing_claims_have_one_winner(place: Place) {
    let test = place.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    let mut stores = vec![test.store.clone()];
    if matches!(test.place.options.url, gatepost_store::StoreUrl::Redis(_)) {
        for _ in 0..3 {
            stores.push(Store::open(&test.place.options, &test.place.master).await.unwrap());
        }
    }
    let mut claims = tokio::task::JoinSet::new();
    for place in 0..64 {
        let (store, facts) = (stores[place % stores.len()].clone(), facts.clone());
        claims.spawn(async move { claim_surely(&store, &facts, &digest).await });
    }
    let outcomes = claims.join_all().await;
    let won = outcomes.iter().filter(|claim| matches!(claim, Claim::Won(_))).count();
    let already = outcomes.iter().filter(|claim| matches!(claim, Claim::Already(_))).count();
    assert_eq!(won + already, 64);
    // Where replicas must confirm, the winner may have had to repeat its claim, and then came second to itself.
    let is_confirmed = test.place.options.replicas.count > 0;
    assert!(won == 1 || is_confirmed && won == 0, "{won} winners");

    let entries = test.store.feed(key.version, 100, NO_WAIT).await.unwrap();
    assert_eq!(entries.len(), 1, "one event");
    assert_eq!(entries[0].event, Some(EventId::of_first_use(&key.record.id)));
    let told = entries[0].told.clone().unwrap();
    assert_eq!(told.action, Action::ApiKeyFirstUsed);
    assert_eq!(told.new, Some(ApiKey { digests: vec![], ..key.record.clone() }.into()));
}

pub(crate) async fn a_claim_of_an_inactive_or_renamed_key_is_refused(place: Place) {
    let test = place.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    let new = test.store.digest(key::generate_api_key(Env::Live, &mut os_rng()).expose());
    let rotated = ApiKey { digests: vec![KeyDigest::current(new)], ..key.record.clone() };
    commit(&test.store, Action::ApiKeyUpdated, vec![Write::replace(key.clone(), rotated)], None).await;
    assert_eq!(test.store.claim_first_use(&facts, &digest, None).await.unwrap(), Claim::NotActive);
    test.revoke(test.reload(&key.record.id).await).await;
    assert_eq!(test.store.claim_first_use(&facts, &new, None).await.unwrap(), Claim::NotActive);
    assert_eq!(test.reload(&key.record.id).await.first_used_at, None);

    let (other, secret) = test.key().await;
    let digest = test.store.digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    let off = Project { status: Status::Inactive, ..test.project.record.clone() };
    commit(&test.store, Action::ProjectDeleted, vec![Write::replace(test.project.clone(), off)], None).await;
    assert_eq!(
        test.store.claim_first_use(&facts, &digest, None).await.unwrap(),
        Claim::NotActive,
        "its project is off"
    );
    assert_eq!(test.reload(&other.record.id).await.first_used_at, None);
}

pub(crate) async fn a_commit_leaves_first_use_alone(place: Place) {
    let test = place.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    let Claim::Won(won) = test.store.claim_first_use(&facts, &digest, None).await.unwrap() else { panic!("not won") };
    // The commit is based on an image that was read before the claim.
    let write = Write { old: Some(key.clone().map(Into::into)), new: Some(renamed(&key, "new")) };
    commit(&test.store, Action::ApiKeyUpdated, vec![write], None).await;
    let read = test.reload(&key.record.id).await;
    assert_eq!(read.record.name, "new");
    assert_eq!(read.first_used_at, Some(won.moment()));
    assert_eq!(found(&test, &digest).await.first_used_at, Some(won.moment()));
}

pub(crate) async fn a_first_use_moves_no_version(place: Place) {
    let test = place.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    let from = Some([192, 0, 2, 1].into());
    test.store.claim_first_use(&facts, &digest, from).await.unwrap();
    assert_eq!(test.reload(&key.record.id).await.version, key.version);
    let entries = test.store.feed(key.version, 10, NO_WAIT).await.unwrap();
    let told = entries[0].told.clone().unwrap();
    assert_eq!((told.scope, told.head.address), (gatepost_domain::change::Scope::None, from));
}

pub(crate) async fn the_feed_resumes_from_a_cursor(place: Place) {
    let test = place.fixture().await;
    for _ in 0..20 {
        test.key().await;
    }
    let all = test.store.feed(Version::ZERO, 100, NO_WAIT).await.unwrap();
    assert_eq!(all.len(), 22, "account, project, keys");
    let (mut seen, mut cursor) = (Vec::new(), Version::ZERO);
    while let Some(last) = {
        let batch = test.store.feed(cursor, 7, NO_WAIT).await.unwrap();
        assert!(batch.len() <= 7);
        seen.extend(batch.iter().cloned());
        batch.last().map(|entry| entry.version)
    } {
        cursor = last;
    }
    assert_eq!(seen, all);
}

pub(crate) async fn the_feed_waits_for_the_next_change(place: Place) {
    let test = place.fixture().await;
    let last = test.store.last_position().await.unwrap();
    assert_eq!(test.store.feed(last, 10, Duration::from_millis(50)).await.unwrap(), vec![]);
    let store = test.store.clone();
    let waiting = tokio::spawn(async move {
        loop {
            let entries = store.feed(last, 10, Duration::from_millis(500)).await.unwrap();
            if !entries.is_empty() {
                return entries;
            }
        }
    });
    let (key, _) = test.key().await;
    assert_eq!(waiting.await.unwrap()[0].version, key.version);
}

pub(crate) async fn a_heartbeat_tells_position_and_judges_the_cursor(place: Place) {
    let test = place.fixture().await;
    let (key, _) = test.key().await;
    let entries = test.store.feed(Version::ZERO, 100, NO_WAIT).await.unwrap();
    let last = entries.last().unwrap();
    let gateway = GatewayId::generate(&mut os_rng());
    let beat = |cursor: Version, cursor_event: Option<EventId>| {
        let (store, gateway) = (test.store.clone(), gateway.clone());
        let refuses_within = Duration::from_secs(62);
        async move { store.heartbeat(Heartbeat { gateway, cursor, cursor_event, refuses_within }).await.unwrap() }
    };
    let answer = beat(last.version, last.event.clone()).await;
    assert_eq!((answer.cursor.last, answer.cursor.state), (key.version, CursorState::Present));
    assert_eq!((answer.cursor.trimmed_through, answer.accounts), (Version::ZERO, 1));
    assert_eq!(beat(Version::ZERO, None).await.cursor.state, CursorState::Present);
    assert_eq!(beat(last.version, entries[0].event.clone()).await.cursor.state, CursorState::Foreign);
    let (ms, sequence) = last.version.parts();
    assert_eq!(beat(Version::from_parts(ms + 10, sequence), None).await.cursor.state, CursorState::Foreign);
    let between = Version::from_u64(entries[0].version.as_u64() + 1);
    if between != entries[1].version {
        assert_eq!(beat(between, last.event.clone()).await.cursor.state, CursorState::Foreign);
    }
}

pub(crate) async fn gateways_are_known_until_they_sign_off_or_must_refuse(place: Place) {
    let test = place.fixture().await;
    let ids: Vec<GatewayId> = (0..2).map(|_| GatewayId::generate(&mut os_rng())).collect();
    for gateway in &ids {
        let heartbeat = Heartbeat {
            gateway: gateway.clone(),
            cursor: Version::ZERO,
            cursor_event: None,
            refuses_within: Duration::from_secs(62),
        };
        test.store.heartbeat(heartbeat).await.unwrap();
    }
    let known = || async {
        let mut known: Vec<_> = test.store.gateways().await.unwrap().into_iter().map(|one| one.id).collect();
        known.sort();
        known
    };
    let mut both = ids.clone();
    both.sort();
    assert_eq!(known().await, both);
    test.store.sign_off(&ids[0]).await.unwrap();
    assert_eq!(known().await, vec![ids[1].clone()]);
    test.skew.add(61_000);
    assert_eq!(known().await, vec![ids[1].clone()]);
    test.skew.add(2_000);
    assert_eq!(known().await, vec![]);
}

pub(crate) async fn a_reader_with_a_foreign_or_trimmed_cursor_is_told_so(place: Place) {
    let test = place.fixture().await;
    let webhook = test.webhook().await;
    let (key, _) = test.key().await;
    let entries = test.store.feed(Version::ZERO, 100, NO_WAIT).await.unwrap();
    let (ms, sequence) = key.version.parts();
    let beyond = Version::from_parts(ms + 10, sequence);
    let (after, judged) = test.store.follow(beyond, None, 10, NO_WAIT).await.unwrap();
    assert_eq!((after.len(), judged.state, judged.last), (0, CursorState::Foreign, key.version));
    let other = EventId::generate(&mut os_rng());
    let (_, judged) = test.store.follow(entries[0].version, Some(other.clone()), 10, NO_WAIT).await.unwrap();
    assert_eq!(judged.state, CursorState::Foreign);
    assert_eq!(test.store.confirm(key.version, &other).await.unwrap().state, CursorState::Foreign);
    assert_eq!(test.store.confirm(key.version, &key.event).await.unwrap().state, CursorState::Present);

    test.fan_out(&webhook).await;
    test.store.trim(crate::trim::rule(1)).await.unwrap();
    let (after, judged) = test.store.follow(entries[0].version, entries[0].event.clone(), 10, NO_WAIT).await.unwrap();
    assert_eq!((after.len(), judged.state), (1, CursorState::Trimmed));
    assert_eq!(test.store.confirm(entries[0].version, &other).await.unwrap().state, CursorState::Trimmed);
}
