//! The invalidation stream of Redis.

use std::time::Duration;

use gatepost_domain::change::Invalidation;
use gatepost_domain::id::{EventId, GatewayId};
use gatepost_domain::partition::Partition;
use gatepost_domain::time::Version;
use gatepost_store::{
    CursorState, FeedCursor, FeedStream, Format, GatewayLabel, Heartbeat, HeartbeatReply, InvalidationBatch, os_rng,
};

use crate::fixture::{Fixture, TestBackend};

const INVALIDATIONS: &str = "{gp}:invalidations";

/// Start of the stream, which a gateway never reads from.
fn start() -> FeedCursor {
    FeedCursor { stream: FeedStream::Invalidations, ..FeedCursor::default() }
}

async fn read(test: &Fixture, cursor: &FeedCursor) -> InvalidationBatch {
    test.store.invalidation_feed().read(cursor, 100, Duration::ZERO).await.unwrap()
}

async fn heartbeat(test: &Fixture, gateway: &GatewayId, cursor: FeedCursor) -> HeartbeatReply {
    let label = GatewayLabel::default();
    let heartbeat = Heartbeat { gateway: gateway.clone(), cursor, valid_for: Duration::from_secs(62), label };
    test.store.heartbeat(heartbeat).await.unwrap()
}

/// Returns the position up to which the only gateway has applied all changes.
async fn applied(test: &Fixture) -> Version {
    test.store.gateways().await.unwrap()[0].cursor
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_has_the_changes_that_invalidate_something_and_no_others() {
    let test = TestBackend::redis().fixture().await;
    let (key, secret) = test.key().await;
    test.webhook().await;
    let facts = test.store.lookup(&test.store.envelope().digest(secret.expose())).await.unwrap().found.unwrap().facts;
    test.store.claim_first_use(&facts, &test.store.envelope().digest(secret.expose()), None).await.unwrap();
    test.revoke(key).await;
    let all = read(&test, &FeedCursor::default()).await.entries;
    let expected: Vec<_> = all.iter().filter(|entry| entry.invalidation != Invalidation::None).cloned().collect();
    let slim = read(&test, &start()).await;
    assert_eq!(slim.entries, expected);
    assert!(expected.len() >= 2 && expected.len() < all.len(), "{} of {}", expected.len(), all.len());
    assert_eq!(slim.cursor_check.state, CursorState::Present);
    let end = slim.cursor_check.end;
    assert_eq!((end.version, &end.event), (expected.last().unwrap().version, &expected.last().unwrap().event));
    assert_eq!(read(&test, &end).await.entries, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_entry_is_reported_to_the_reader() {
    let test = TestBackend::redis().fixture().await;
    test.key().await;
    let end = read(&test, &start()).await.cursor_check.end;
    let other = EventId::generate_in(Partition::default(), &mut os_rng());
    let another = FeedCursor { event: Some(other), ..end.clone() };
    test.key().await;
    assert_eq!(read(&test, &end).await.entries.len(), 1);
    let lost = read(&test, &another).await;
    assert_eq!((lost.entries.len(), lost.cursor_check.state), (0, CursorState::Diverged));
    let last = lost.cursor_check.end;
    assert_eq!(last, read(&test, &end).await.cursor_check.end);

    // An entry after the cursor was trimmed; the entry at a cursor may be.
    test.key().await;
    test.backend.redis.as_ref().unwrap().redis_cli(&["xtrim", INVALIDATIONS, "maxlen", "1"]);
    assert_eq!(read(&test, &end).await.cursor_check.state, CursorState::Diverged);
    assert_eq!(read(&test, &last).await.entries.len(), 1);
    let gateway = GatewayId::generate(&mut os_rng());
    assert_eq!(heartbeat(&test, &gateway, end).await.cursor_check.state, CursorState::Diverged);
    assert_eq!(applied(&test).await, Version::ZERO);
    assert_eq!(heartbeat(&test, &gateway, last).await.cursor_check.state, CursorState::Present);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_at_the_end_has_applied_what_invalidates_nothing_too() {
    let test = TestBackend::redis().fixture().await;
    let gateway = GatewayId::generate(&mut os_rng());
    let behind = read(&test, &start()).await.cursor_check.end;
    let (key, _) = test.key().await;
    let at_key = read(&test, &start()).await.cursor_check.end;
    assert_eq!(at_key.version, key.position.version);
    test.webhook().await;
    let last = test.store.last_position().await.unwrap();
    assert!(last > at_key.version);
    heartbeat(&test, &gateway, behind.clone()).await;
    assert_eq!(applied(&test).await, behind.version);
    let reply = heartbeat(&test, &gateway, at_key.clone()).await;
    assert_eq!((reply.cursor_check.state, &reply.cursor_check.end), (CursorState::Present, &at_key));
    assert_eq!((applied(&test).await, reply.gateways), (last, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_begins_when_the_format_is_raised() {
    let mut backend = TestBackend::redis();
    backend.options.write_format = Format::FIRST;
    let test = backend.fixture().await;
    let redis = test.backend.redis.as_ref().unwrap();
    let gateway = GatewayId::generate(&mut os_rng());
    let (before, _) = test.key().await;
    let in_changes = read(&test, &FeedCursor::default()).await.entries;
    let cursor = FeedCursor::in_changes(before.position.version, Some(before.event.clone()));
    let reply = heartbeat(&test, &gateway, cursor.clone()).await;
    assert_eq!(reply.cursor_check.end, FeedCursor::in_changes(before.position.version, None));
    assert_eq!(redis.redis_cli(&["exists", INVALIDATIONS]), "0");

    test.key().await;
    test.store.upgrade(Format::LATEST, |_| {}).await.unwrap();
    let reply = heartbeat(&test, &gateway, cursor).await;
    let begin = reply.cursor_check.end;
    assert_eq!((reply.cursor_check.state, begin.stream), (CursorState::Present, FeedStream::Invalidations));
    assert!(begin.version > before.position.version, "a gateway must read on in the stream of changes up to there");
    let (after, _) = test.key().await;
    assert_eq!(
        read(&test, &begin).await.entries.iter().map(|entry| entry.version).collect::<Vec<_>>(),
        [after.position.version]
    );
    assert!(read(&test, &FeedCursor::default()).await.entries.len() > in_changes.len() + 1, "both are written");
}
