//! Store formats: what is stored in plaintext, which programs may open a store, and how its format is raised.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::GatewayId;
use gatepost_domain::record::{UserSecret, Webhook, WebhookUrl};
use gatepost_domain::time::Version;
use gatepost_runtime::error_chain;
use gatepost_store::{CellStore, Format, RecordWrite, Store, StoreErrorKind, UpgradeError, Versioned, os_rng};
use gatepost_store::{FeedCursor, GatewayLabel, Heartbeat};

use crate::fixture::{Fixture, TestBackend, commit};

/// Secret in path, query and header of the webhooks.
const SECRET: &str = "hunter2";

async fn secret_webhook(test: &Fixture) -> Webhook {
    let plain = test.webhook().await;
    let found = test.store.webhook(&plain.id).await.unwrap().unwrap();
    let webhook = Webhook {
        url: WebhookUrl::new(format!("https://example.com:8443/{SECRET}?token={SECRET}")),
        custom_headers: vec![("X-Token".to_owned(), UserSecret::new(SECRET))],
        ..found.record.clone()
    };
    commit(&test.store, Action::WebhookUpdated, vec![RecordWrite::replace(found, webhook.clone())], None).await;
    webhook
}

fn is_clear(webhook: &Webhook) -> bool {
    let mut secrets = std::iter::once(&webhook.url.full).chain(webhook.custom_headers.iter().map(|(_, value)| value));
    secrets.all(|secret| matches!(secret, UserSecret::Plaintext(_)))
}

/// Returns URL and headers as the deliverer sees them.
fn unsealed(store: &CellStore, webhook: &Webhook) -> (String, Vec<(String, String)>) {
    let headers = store.envelope().open_webhook_headers(webhook).unwrap().into_iter();
    let headers = headers.map(|(name, value)| (name, value.expose().to_owned()));
    (store.envelope().open_webhook_url(webhook).unwrap().expose().to_owned(), headers.collect())
}

async fn read(test: &Fixture, webhook: &Webhook) -> Versioned<Webhook> {
    test.store.webhook(&webhook.id).await.unwrap().unwrap()
}

/// Checks that the stream contains no secret, whatever the format.
async fn check_stream(test: &Fixture) {
    let entries = test.store.audit_feed().read(Version::ZERO, 100, Duration::ZERO).await.unwrap().entries;
    let contents: Vec<_> = entries.into_iter().map(|entry| entry.content.unwrap()).collect();
    assert!(!format!("{contents:?}").contains(SECRET));
    let urls = contents.iter().filter_map(|content| match &content.new {
        Some(gatepost_domain::record::Record::Webhook(webhook)) => Some(webhook.url.masked.as_str()),
        _ => None,
    });
    assert!(urls.into_iter().any(|url| url == "https://example.com:8443/…"));
}

pub(crate) async fn secrets_of_webhooks_are_sealed_from_format_two_on(mut backend: TestBackend) {
    backend.options.write_format = Format::FIRST;
    let test = backend.fixture().await;
    let webhook = secret_webhook(&test).await;
    let plain = unsealed(&test.store, &webhook);
    assert!(plain.0.contains(SECRET) && plain.1 == [("X-Token".to_owned(), SECRET.to_owned())]);
    let before = read(&test, &webhook).await;
    assert!(is_clear(&before.record), "v0.1.0 must be able to read it");
    assert_eq!(unsealed(&test.store, &before.record), plain);

    let done = test.store.upgrade(Format::FIRST, |_| {}).await.unwrap();
    assert_eq!((done.checked, done.rewritten), (0, 0), "the first format seals nothing");
    let done = test.store.upgrade(Format::LATEST, |_| {}).await.unwrap();
    assert_eq!((done.checked, done.rewritten, done.unreadable), (1, 1, 0));
    let after = read(&test, &webhook).await;
    assert!(!is_clear(&after.record) && after.position.version > before.position.version);
    assert_eq!(unsealed(&test.store, &after.record), plain);
    assert_eq!(after.record.stamps, before.record.stamps, "the rewrite must not look like an update");
    assert_eq!(test.store.upgrade(Format::LATEST, |_| {}).await.unwrap().rewritten, 0);
    assert_eq!(test.store.read_format().await.unwrap(), Format::LATEST);

    let second = secret_webhook(&test).await;
    assert!(!is_clear(&read(&test, &second).await.record));
    check_stream(&test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_unaware_of_a_later_format_still_writes_it() {
    let mut backend = TestBackend::redis();
    backend.options.write_format = Format::FIRST;
    let test = backend.fixture().await;
    let other = Store::open(&test.backend.options, &test.backend.master).await.unwrap().single_cell().clone();
    other.upgrade(Format::LATEST, |_| {}).await.unwrap();
    assert_eq!(test.store.format(), Format::FIRST);
    let webhook = secret_webhook(&test).await;
    assert!(!is_clear(&read(&test, &webhook).await.record));
    assert_eq!(test.store.format(), Format::LATEST);
    let redis = test.backend.redis.as_ref().unwrap();
    let raw = redis.redis_cli(&["get", &format!("{{gp}}:record:{}", webhook.id)]);
    assert!(raw.contains("https://example.com:8443/…") && !raw.contains(SECRET), "{raw}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_format_is_never_lowered() {
    let test = TestBackend::redis().fixture().await;
    let mut options = test.backend.options.clone();
    options.write_format = Format::FIRST;
    let refused = Store::open(&options, &test.backend.master).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused);
    assert!(error_chain(&refused).contains("store.write_format is 1, but the store is in format 2"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_with_a_later_min_reader_is_refused_at_start_and_at_run_time() {
    let test = TestBackend::redis().fixture().await;
    let redis = test.backend.redis.as_ref().unwrap();
    redis.redis_cli(&["hset", "{gp}:meta", "format", "4", "min_reader", "3"]);
    for refused in [
        Store::open(&test.backend.options, &test.backend.master).await.unwrap_err(),
        test.store.last_position().await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), StoreErrorKind::Refused);
        assert!(error_chain(&refused).contains("needs a program that reads format 3 or later"), "{refused}");
    }
    redis.redis_cli(&["hset", "{gp}:meta", "min_reader", "2"]);
    let store = Store::open(&test.backend.options, &test.backend.master).await.unwrap().single_cell().clone();
    assert_eq!(store.format(), Format::LATEST, "a later format that this program can still read");
    let webhook = secret_webhook(&test).await;
    assert!(!is_clear(&read(&test, &webhook).await.record));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_without_formats_finds_an_upgrade_message() {
    let mut backend = TestBackend::redis();
    backend.options.write_format = Format::FIRST;
    let test = backend.fixture().await;
    let redis = test.backend.redis.as_ref().unwrap();
    let meta = |field: &str| redis.redis_cli(&["hget", "{gp}:meta", field]);
    let (id, envelope) = (meta("id"), meta("envelope"));
    let store = Store::open(&test.backend.options, &test.backend.master).await.unwrap();
    assert_eq!((id.as_str(), meta("format").as_str()), (store.id().as_str(), ""));
    test.store.upgrade(Format::LATEST, |_| {}).await.unwrap();
    assert_eq!((meta("store_id"), meta("sealed_envelope")), (id.clone(), envelope));
    assert_ne!(meta("id"), id, "v0.1.0 must fail each operation as on another store");
    assert_eq!(meta("envelope"), "\"this store is in a later format: it needs gatepost 0.2 or later\"");
    assert_eq!((meta("format"), meta("min_reader")), ("2".to_owned(), "2".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrade_is_refused_while_old_gateways_run() {
    let mut backend = TestBackend::redis();
    backend.options.write_format = Format::FIRST;
    let test = backend.fixture().await;
    let heartbeat = Heartbeat {
        gateway: GatewayId::generate(&mut os_rng()),
        cursor: FeedCursor::default(),
        valid_for: Duration::from_secs(60),
        label: GatewayLabel::default(),
    };
    test.store.heartbeat(heartbeat.clone()).await.unwrap();
    let redis = test.backend.redis.as_ref().unwrap();
    // Registers like v0.1.0.
    assert_eq!(redis.redis_cli(&["hdel", "{gp}:gateway-reads", heartbeat.gateway.as_str()]), "1");
    assert_eq!(redis.redis_cli(&["hdel", "{gp}:gateway-info", heartbeat.gateway.as_str()]), "1");
    let old = &test.store.gateways().await.unwrap()[0];
    assert_eq!((&old.id, &old.label, old.last_heartbeat_at), (&heartbeat.gateway, &None, None));
    let refused = test.store.upgrade(Format::LATEST, |_| {}).await.unwrap_err();
    let UpgradeError::OutdatedGateways { gateways, .. } = &refused else { panic!("{refused}") };
    assert_eq!(gateways, std::slice::from_ref(&heartbeat.gateway));
    assert_eq!(test.store.read_format().await.unwrap(), Format::FIRST);
    test.store.heartbeat(heartbeat.clone()).await.unwrap();
    test.store.upgrade(Format::LATEST, |_| {}).await.unwrap();
    test.store.deregister_gateway(&heartbeat.gateway).await.unwrap();
    assert_eq!(redis.redis_cli(&["hlen", "{gp}:gateway-reads"]), "0");
}
