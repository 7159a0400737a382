//! Operations of gateways.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{EventId, GatewayId};
use gatepost_domain::key::{self, Env};
use gatepost_domain::key_facts::{KeyFacts, Tenancy};
use gatepost_domain::partition::Partition;
use gatepost_domain::record::{ApiKey, KeyDigest, Project, Status};
use gatepost_domain::time::Version;
use gatepost_store::{CellStore, ChangeSummary, FoundKey, RecordWrite, Store, StoreErrorKind, os_rng};
use gatepost_store::{CursorState, FeedCursor, FirstUseOutcome, GatewayLabel, Heartbeat};

use crate::fixture::{Fixture, TestBackend, account, commit, renamed};

const NO_WAIT: Duration = Duration::ZERO;

async fn found(test: &Fixture, digest: &Digest) -> FoundKey {
    test.store.lookup(digest).await.unwrap().found.unwrap()
}

pub(crate) async fn a_lookup_returns_the_last_position_also_for_absent_values(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.envelope().digest(secret.expose());
    assert_eq!(test.store.lookup(&digest).await.unwrap().as_of, key.position.version);
    let absent = test.store.lookup(&test.store.envelope().digest("no such key")).await.unwrap();
    assert!(absent.found.is_none());
    assert_eq!(absent.as_of, key.position.version);
    let revoked_at = test.revoke(key).await;
    assert_eq!(test.store.lookup(&digest).await.unwrap().as_of, revoked_at);
}

pub(crate) async fn a_lookup_returns_key_and_project(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.envelope().digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    assert_eq!((&facts.key, &facts.project), (&key.record.id, &test.project.record.id));
    assert_eq!((facts.status, facts.project_status, facts.tenancy), (Status::Active, Status::Active, Tenancy::Single));

    commit(&test.store, Action::AccountCreated, vec![RecordWrite::create(account("second"))], None).await;
    assert_eq!(found(&test, &digest).await.facts.tenancy, Tenancy::Multiple);

    let deactivated = Project { status: Status::Inactive, ..test.project.record.clone() };
    commit(&test.store, Action::ProjectDeleted, vec![RecordWrite::replace(test.project.clone(), deactivated)], None)
        .await;
    assert_eq!(found(&test, &digest).await.facts.project_status, Status::Inactive);
    test.revoke(key).await;
    assert_eq!(found(&test, &digest).await.facts.status, Status::Inactive);
}

/// Claims like a gateway: retries while the claim is unconfirmed.
async fn claim_until_confirmed(store: &CellStore, facts: &KeyFacts, digest: &Digest) -> FirstUseOutcome {
    loop {
        match store.claim_first_use(facts, digest, None).await {
            Ok(claim) => return claim,
            Err(error) => {
                assert!(matches!(error.kind(), StoreErrorKind::Unconfirmed | StoreErrorKind::Unavailable), "{error}")
            }
        }
    }
}

pub(crate) async fn sixty_four_racing_claims_have_one_winner(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.envelope().digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    let mut stores = vec![test.store.clone()];
    if matches!(test.backend.options.url, gatepost_store::StoreUrl::Redis(_)) {
        for _ in 0..3 {
            stores.push(Store::open(&test.backend.options, &test.backend.master).await.unwrap().single_cell().clone());
        }
    }
    let mut claims = tokio::task::JoinSet::new();
    for index in 0..64 {
        let (store, facts) = (stores[index % stores.len()].clone(), facts.clone());
        claims.spawn(async move { claim_until_confirmed(&store, &facts, &digest).await });
    }
    let outcomes = claims.join_all().await;
    let won = outcomes.iter().filter(|claim| matches!(claim, FirstUseOutcome::Won(_))).count();
    let already = outcomes.iter().filter(|claim| matches!(claim, FirstUseOutcome::AlreadyUsed(_))).count();
    assert_eq!(won + already, 64);
    // If replicas must confirm, the winner may have had to retry, and then came second to its own claim.
    let is_confirmed = test.backend.options.replicas.count > 0;
    assert!(won == 1 || is_confirmed && won == 0, "{won} winners");

    let entries = test.store.audit_feed().read(key.position.version, 100, NO_WAIT).await.unwrap().entries;
    assert_eq!(entries.len(), 1, "one event");
    assert_eq!(entries[0].event, Some(EventId::for_first_use(&key.record.id)));
    let content = entries[0].content.clone().unwrap();
    assert_eq!(content.action, Action::ApiKeyFirstUsed);
    assert_eq!(content.new, Some(ApiKey { digests: vec![], ..key.record.clone() }.into()));
}

pub(crate) async fn a_claim_of_an_inactive_or_rotated_key_is_refused(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.envelope().digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    let new = test.store.envelope().digest(key::generate_api_key(Env::Live, &mut os_rng()).expose());
    let rotated = ApiKey { digests: vec![KeyDigest::current(new)], ..key.record.clone() };
    commit(&test.store, Action::ApiKeyUpdated, vec![RecordWrite::replace(key.clone(), rotated)], None).await;
    assert_eq!(test.store.claim_first_use(&facts, &digest, None).await.unwrap(), FirstUseOutcome::NotActive);
    test.revoke(test.reload(&key.record.id).await).await;
    assert_eq!(test.store.claim_first_use(&facts, &new, None).await.unwrap(), FirstUseOutcome::NotActive);
    assert_eq!(test.reload(&key.record.id).await.first_used_at, None);

    let (other, secret) = test.key().await;
    let digest = test.store.envelope().digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    let deactivated = Project { status: Status::Inactive, ..test.project.record.clone() };
    commit(&test.store, Action::ProjectDeleted, vec![RecordWrite::replace(test.project.clone(), deactivated)], None)
        .await;
    assert_eq!(
        test.store.claim_first_use(&facts, &digest, None).await.unwrap(),
        FirstUseOutcome::NotActive,
        "its project is inactive"
    );
    assert_eq!(test.reload(&other.record.id).await.first_used_at, None);
}

pub(crate) async fn a_commit_preserves_first_use(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.envelope().digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    let FirstUseOutcome::Won(won) = test.store.claim_first_use(&facts, &digest, None).await.unwrap() else {
        panic!("not won")
    };
    // The commit is based on a record that was read before the claim.
    let write = RecordWrite { old: Some(key.clone().map(Into::into)), new: Some(renamed(&key, "new")) };
    commit(&test.store, Action::ApiKeyUpdated, vec![write], None).await;
    let read = test.reload(&key.record.id).await;
    assert_eq!(read.record.name, "new");
    assert_eq!(read.first_used_at, Some(won.timestamp()));
    assert_eq!(found(&test, &digest).await.first_used_at, Some(won.timestamp()));
}

pub(crate) async fn a_first_use_does_not_change_the_version(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, secret) = test.key().await;
    let digest = test.store.envelope().digest(secret.expose());
    let facts = found(&test, &digest).await.facts;
    let from = Some([192, 0, 2, 1].into());
    test.store.claim_first_use(&facts, &digest, from).await.unwrap();
    assert_eq!(test.reload(&key.record.id).await.position.version, key.position.version);
    let entries = test.store.audit_feed().read(key.position.version, 10, NO_WAIT).await.unwrap().entries;
    let content = entries[0].content.clone().unwrap();
    assert_eq!((content.invalidation, content.metadata.address), (gatepost_domain::change::Invalidation::None, from));
}

pub(crate) async fn the_feed_resumes_from_a_cursor(backend: TestBackend) {
    let test = backend.fixture().await;
    for _ in 0..20 {
        test.key().await;
    }
    let all = test.store.audit_feed().read(Version::ZERO, 100, NO_WAIT).await.unwrap().entries;
    assert_eq!(all.len(), 22, "account, project, keys");
    let (mut seen, mut cursor) = (Vec::new(), Version::ZERO);
    while let Some(last) = {
        let batch = test.store.audit_feed().read(cursor, 7, NO_WAIT).await.unwrap().entries;
        assert!(batch.len() <= 7);
        seen.extend(batch.iter().cloned());
        batch.last().map(|entry| entry.version)
    } {
        cursor = last;
    }
    assert_eq!(seen, all);
}

pub(crate) async fn the_feed_waits_for_the_next_change(backend: TestBackend) {
    let test = backend.fixture().await;
    let last = test.store.last_position().await.unwrap();
    assert_eq!(test.store.audit_feed().read(last, 10, Duration::from_millis(50)).await.unwrap().entries, vec![]);
    let store = test.store.clone();
    let waiting = tokio::spawn(async move {
        loop {
            let entries = store.audit_feed().read(last, 10, Duration::from_millis(500)).await.unwrap().entries;
            if !entries.is_empty() {
                return entries;
            }
        }
    });
    let (key, _) = test.key().await;
    assert_eq!(waiting.await.unwrap()[0].version, key.position.version);
}

pub(crate) async fn the_feed_is_read_backwards_from_a_cursor(backend: TestBackend) {
    let test = backend.fixture().await;
    for _ in 0..20 {
        test.key().await;
    }
    let mut all = test.store.audit_feed().read(Version::ZERO, 100, NO_WAIT).await.unwrap().entries;
    all.reverse();
    let (mut seen, mut cursor) = (Vec::new(), Version::MAX);
    loop {
        let batch = test.store.audit_feed().search_backwards(cursor, 7, |_| true).await.unwrap();
        let expected = if cursor == Version::MAX { CursorState::Diverged } else { CursorState::Present };
        assert_eq!((batch.cursor_check.state, batch.cursor_check.last), (expected, all[0].version));
        let Some(oldest) = batch.oldest else { break };
        assert!(batch.read <= 7);
        assert_eq!((batch.selected.len(), batch.selected.last().unwrap().version), (batch.read, oldest));
        cursor = oldest;
        seen.extend(batch.selected);
        test.key().await;
        all.insert(0, test.store.audit_feed().read(all[0].version, 1, NO_WAIT).await.unwrap().entries.remove(0));
    }
    assert_eq!(seen, all[all.len() - 22..], "entries that are new in the meantime are not among those before");
    let none = test.store.audit_feed().search_backwards(Version::ZERO, 7, |_| true).await.unwrap();
    assert_eq!((none.selected, none.cursor_check.state), (vec![], CursorState::Present));
    let between = Version::from_u64(all[0].version.as_u64() + 1);
    let unknown = test.store.audit_feed().search_backwards(between, 1, |_| true).await.unwrap();
    assert_eq!((unknown.selected, unknown.cursor_check.state), (all[..1].to_vec(), CursorState::Diverged));
    let subject = all[2].content.as_ref().unwrap().metadata.subject.clone();
    let is_selected =
        |change: ChangeSummary<'_>| change.action == Action::ApiKeyCreated && change.metadata.subject == subject;
    let one = test.store.audit_feed().search_backwards(Version::MAX, 10, is_selected).await.unwrap();
    assert_eq!((one.selected, one.read, one.oldest), (all[2..3].to_vec(), 10, Some(all[9].version)));
}

pub(crate) async fn a_heartbeat_returns_position_and_cursor_state(backend: TestBackend) {
    let test = backend.fixture().await;
    let (key, _) = test.key().await;
    let entries = test.store.audit_feed().read(Version::ZERO, 100, NO_WAIT).await.unwrap().entries;
    let last = entries.last().unwrap();
    let gateway = GatewayId::generate(&mut os_rng());
    let heartbeat = |cursor: Version, cursor_event: Option<EventId>| {
        let (store, gateway) = (test.store.clone(), gateway.clone());
        let valid_for = Duration::from_secs(62);
        let label = GatewayLabel::default();
        let cursor = FeedCursor::in_changes(cursor, cursor_event);
        async move {
            let version = cursor.version;
            let reply = store.heartbeat(Heartbeat { gateway, cursor, valid_for, label }).await.unwrap();
            // What was lost is not applied: another change may have that position.
            let is_lost = reply.cursor_check.state == CursorState::Diverged;
            let applied = if is_lost { Version::ZERO } else { version };
            assert_eq!(store.gateways().await.unwrap()[0].cursor, applied);
            reply
        }
    };
    let reply = heartbeat(last.version, last.event.clone()).await;
    assert_eq!(
        (reply.cursor_check.end.version, reply.cursor_check.state),
        (key.position.version, CursorState::Present)
    );
    assert_eq!((reply.cursor_check.trimmed_through, reply.accounts), (Version::ZERO, 1));
    assert_eq!(heartbeat(Version::ZERO, None).await.cursor_check.state, CursorState::Present);
    assert_eq!(heartbeat(last.version, entries[0].event.clone()).await.cursor_check.state, CursorState::Diverged);
    let (ms, sequence) = last.version.parts();
    assert_eq!(heartbeat(Version::from_parts(ms + 10, sequence), None).await.cursor_check.state, CursorState::Diverged);
    let between = Version::from_u64(entries[0].version.as_u64() + 1);
    if between != entries[1].version {
        assert_eq!(heartbeat(between, last.event.clone()).await.cursor_check.state, CursorState::Diverged);
    }
}

pub(crate) async fn gateways_are_listed_until_sign_off_or_lease_expiry(backend: TestBackend) {
    let test = backend.fixture().await;
    let ids: Vec<GatewayId> = (0..3).map(|_| GatewayId::generate(&mut os_rng())).collect();
    let heartbeat = async |gateway: &GatewayId| {
        let heartbeat = Heartbeat {
            gateway: gateway.clone(),
            cursor: FeedCursor::default(),
            valid_for: Duration::from_secs(62),
            label: GatewayLabel { name: format!("{gateway} a:8080"), version: "0.2.0".to_owned() },
        };
        test.store.heartbeat(heartbeat).await.unwrap().gateways
    };
    heartbeat(&ids[0]).await;
    heartbeat(&ids[1]).await;
    for gateway in test.store.gateways().await.unwrap() {
        let label = GatewayLabel { name: format!("{} a:8080", gateway.id), version: "0.2.0".to_owned() };
        assert_eq!(gateway.label, Some(label));
        let last_heartbeat_at = gateway.last_heartbeat_at.unwrap();
        assert_eq!(gateway.lease_expires_at.since(last_heartbeat_at), Duration::from_secs(62));
    }
    let known = || async {
        let mut known: Vec<_> = test.store.gateways().await.unwrap().into_iter().map(|one| one.id).collect();
        known.sort();
        known
    };
    let mut both = ids[..2].to_vec();
    both.sort();
    assert_eq!(known().await, both);
    test.store.deregister_gateway(&ids[0]).await.unwrap();
    assert_eq!(known().await, vec![ids[1].clone()]);
    test.skew.add(61_000);
    assert_eq!(known().await, vec![ids[1].clone()]);
    test.skew.add(2_000);
    test.store.trim(crate::trim::rule(1)).await.unwrap();
    assert_eq!(heartbeat(&ids[2]).await, 1, "trimming forgets the gateway whose lease has ended");
    assert_eq!(known().await, vec![ids[2].clone()]);
    test.skew.add(63_000);
    assert_eq!(known().await, vec![]);
}

pub(crate) async fn a_diverged_or_trimmed_cursor_is_reported(backend: TestBackend) {
    let test = backend.fixture().await;
    let webhook = test.webhook().await;
    let (key, _) = test.key().await;
    let entries = test.store.audit_feed().read(Version::ZERO, 100, NO_WAIT).await.unwrap().entries;
    let (ms, sequence) = key.position.version.parts();
    let beyond = Version::from_parts(ms + 10, sequence);
    let batch = test.store.invalidation_feed().read(&FeedCursor::in_changes(beyond, None), 10, NO_WAIT).await.unwrap();
    let (after, cursor) = (batch.entries, batch.cursor_check);
    assert_eq!((after.len(), cursor.state, cursor.end.version), (0, CursorState::Diverged, key.position.version));
    let other = EventId::generate_in(Partition::default(), &mut os_rng());
    let another = FeedCursor::in_changes(entries[0].version, Some(other.clone()));
    let batch = test.store.invalidation_feed().read(&another, 10, NO_WAIT).await.unwrap();
    assert_eq!(batch.cursor_check.state, CursorState::Diverged);
    assert_eq!(test.store.confirm(key.position.version, &other).await.unwrap().state, CursorState::Diverged);
    assert_eq!(test.store.confirm(key.position.version, &key.event).await.unwrap().state, CursorState::Present);

    test.fan_out(&webhook).await;
    test.store.trim(crate::trim::rule(1)).await.unwrap();
    let feed = test.store.invalidation_feed();
    let first = FeedCursor::in_changes(entries[0].version, entries[0].event.clone());
    let batch = feed.read(&first, 10, NO_WAIT).await.unwrap();
    assert_eq!((batch.entries.len(), batch.cursor_check.state), (1, CursorState::Trimmed));
    assert_eq!(test.store.confirm(entries[0].version, &other).await.unwrap().state, CursorState::Trimmed);
}
