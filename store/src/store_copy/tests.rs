//! Every kind of entry, on both backends.

use std::collections::BTreeSet;
use std::sync::Arc;

use gatepost_domain::id::{EventId, RecoveryId};
use gatepost_domain::key::ChecksumPolicy;
use gatepost_domain::partition::PartitionGroup;
use gatepost_domain::time::{Timestamp, Version};
use gatepost_test_support::RedisServer;
use tokio::sync::mpsc;

use super::*;
use crate::clock::SystemClock;
use crate::copied_entry::{
    CopiedChange, CopiedDeadLetter, CopiedDelivery, CopiedKeyUsage, CopiedLogEntry, CopiedWindow, StoreNumber,
};
use crate::ops::{DeliveryKind, Image, RawRecovery, RecoveryStatus, UsesPart};
use crate::record_format::encode_record;

const MS: u64 = 1_800_000_000_000;

fn version(ms: u64) -> Version {
    Version::from_parts(ms, 3)
}

/// A time far in the future: entries that expire have not.
fn later(ms: u64) -> u64 {
    5 * MS + ms
}

fn change(ms: u64) -> CopiedChange {
    CopiedChange {
        version: version(ms),
        format: 9,
        event: "evt_00event".to_owned(),
        action: "of-a-later-release".to_owned(),
        scope: "digests".to_owned(),
        scope_data: vec![0, 255, 7],
        is_fenced: ms.is_multiple_of(2),
        head: "{}".to_owned(),
        image: "{\"a\":1}".to_owned(),
    }
}

fn delivery(event: &str, token: &str, sequence: Option<u64>) -> CopiedEntry {
    CopiedEntry::Delivery(CopiedDelivery {
        webhook: "wh_00a".to_owned(),
        event: event.to_owned(),
        attempts_made: 3,
        token: token.to_owned(),
        lease_end_ms: if token.is_empty() { 0 } else { MS + 9 },
        created_ms: MS,
        available_ms: MS + 9,
        sequence,
        last_attempt: sequence.map(|_| b"{\"number\":3}".to_vec()),
    })
}

fn ended(event: &str, kind: DeliveryKind, sequence: i64) -> CopiedEntry {
    let (webhook, summary) = ("wh_00a".to_owned(), b"{\"outcome\":\"delivered\"}".to_vec());
    CopiedEntry::LogEntry(CopiedLogEntry { webhook, event: event.to_owned(), kind, sequence, ended_ms: MS, summary })
}

fn dead(event: &str, sequence: i64, sealed: Option<Vec<u8>>) -> CopiedEntry {
    CopiedEntry::DeadLetter(CopiedDeadLetter {
        webhook: "wh_00a".to_owned(),
        event: event.to_owned(),
        died_ms: MS + 5,
        attempts_made: 10,
        reason: "the receiver responded with 500".to_owned(),
        body: b"{}\n\0".to_vec(),
        summary: if sequence > 0 { b"{\"outcome\":\"dead\"}".to_vec() } else { Vec::new() },
        sealed,
        sequence,
    })
}

fn recovery(id: &str, status: RecoveryStatus) -> CopiedEntry {
    let recovery = RawRecovery {
        id: RecoveryId::parse(id).unwrap(),
        status,
        created_at: Timestamp::from_ms(MS),
        finished_at: (status == RecoveryStatus::Finished).then(|| Timestamp::from_ms(MS + 1)),
        cursor: (status == RecoveryStatus::Finished).then_some(-7),
        recovered: 5,
        skipped: 6,
        request: b"{\"kinds\":\"all\"}".to_vec(),
    };
    CopiedEntry::Recovery { webhook: "wh_00a".to_owned(), recovery }
}

fn window(name: &str, length_ms: u64) -> CopiedEntry {
    let (name, ends_at_ms) = (name.to_owned(), later(0));
    CopiedEntry::Window(CopiedWindow { name, ends_at_ms, leased: 8, generation: 2, limit: 100, length_ms })
}

fn key_usage(part: UsesPart, group: u8, key: &str, uses: Vec<u8>) -> CopiedEntry {
    let (project, group) = ("prj_00a".to_owned(), PartitionGroup::new(group).unwrap());
    CopiedEntry::KeyUsage(CopiedKeyUsage { project, group, part, key: key.to_owned(), uses })
}

fn records() -> Vec<CopiedEntry> {
    let image = Image {
        parent: "prj_00a".to_owned(),
        usable_until: Timestamp::MAX,
        public: b"{\"name\":\"a\"}".to_vec(),
        private: b"{}".to_vec(),
    };
    let record = encode_record(version(MS), &EventId::parse("evt_00event").unwrap(), &image);
    let (key, event) = ("key_00a".to_owned(), "evt_00event".to_owned());
    let hour = later(0) / 3_600_000;
    vec![
        CopiedEntry::Record { name: key.clone(), bytes: record },
        CopiedEntry::FirstUse { key: key.clone(), ms: MS },
        CopiedEntry::Digest { digest: [b':'; 32], record: key.clone() },
        CopiedEntry::Digest { digest: [0xff; 32], record: key.clone() },
        CopiedEntry::IndexMember { index: "api-keys:prj_00a".to_owned(), member: "000000001key_00a".to_owned() },
        CopiedEntry::Change(change(MS)),
        CopiedEntry::Change(change(MS + 1)),
        CopiedEntry::SealedSecret { event: event.clone(), ms: MS, sealed: vec![1, 255, b'\n'] },
        CopiedEntry::StoredResponse { name: "slot".to_owned(), expires_ms: later(1), sealed: vec![b'\n', 0] },
        CopiedEntry::Removal { record: "key_00gone".to_owned(), event, version: version(later(2)) },
        window("key_00a:rate", 1000),
        window("key_00a:quota", 0),
        CopiedEntry::Usage { hour, project: "prj_00a".to_owned(), key: key.clone(), count: 4 },
        CopiedEntry::Usage { hour, project: "prj_00a".to_owned(), key: "key_00gone".to_owned(), count: 5 },
        CopiedEntry::LastUse { project: "prj_00a".to_owned(), key, ms: MS },
        key_usage(UsesPart::Recent, 3, "", vec![0, 255, 10]),
        key_usage(UsesPart::Past, 3, "", vec![10, 0]),
        key_usage(UsesPart::Recent, 0, "key_00gone", vec![1]),
        CopiedEntry::AccountCount { account: "acc_00a".to_owned(), resource: "api-keys".to_owned(), count: 1 },
        CopiedEntry::CountingProgress { index: "projects:acc_00a".to_owned(), member: "~".to_owned() },
    ]
}

fn queues() -> Vec<CopiedEntry> {
    let webhook = "wh_00a".to_owned();
    let quarantined = |ms, bytes: &[u8]| CopiedEntry::Quarantined {
        version: version(ms),
        bytes: bytes.to_vec(),
        reason: "no such action".to_owned(),
    };
    vec![
        CopiedEntry::EventBody { event: "evt_001".to_owned(), deliveries_left: 2, body: b"{}".to_vec() },
        delivery("evt_001", "", Some(1)),
        delivery("evt_002", "lt_00token", Some(2)),
        delivery("evt_003", "", None),
        CopiedEntry::Hold { webhook: webhook.clone(), until_ms: MS + 2 },
        CopiedEntry::Failures { webhook: webhook.clone(), failures: 3, first_ms: MS, refused_ms: MS + 1, held_ms: 0 },
        CopiedEntry::Attempts { webhook: webhook.clone(), newest_first: vec![b"{\"n\":2}".to_vec(), b"{}".to_vec()] },
        ended("evt_004", DeliveryKind::Delivered, 4),
        ended("evt_005", DeliveryKind::Dropped, 5),
        CopiedEntry::LogCheck { webhook: webhook.clone(), at_ms: MS },
        CopiedEntry::Hour { webhook: webhook.clone(), hour: 480_000, delivered: 1, failed: 2 },
        CopiedEntry::Hour { webhook, hour: 480_001, delivered: 0, failed: 2 },
        recovery("rec_001", RecoveryStatus::Finished),
        recovery("rec_002", RecoveryStatus::Running),
        dead("evt_006", 6, Some(vec![1, 2])),
        dead("evt_007", -1, None),
        quarantined(MS, b"a\nb"),
        quarantined(MS + 1, b"\xff"),
    ]
}

/// Returns entries of every kind.
fn entries() -> Vec<CopiedEntry> {
    let numbers = StoreNumber::ALL.into_iter().zip(1..);
    let numbers = numbers.map(|(number, value)| CopiedEntry::Number {
        number,
        value: value.min(if number == StoreNumber::Counted { 2 } else { u64::MAX }),
    });
    [records(), queues(), numbers.collect()].concat()
}

async fn read_all(backend: &Backend) -> Vec<CopiedEntry> {
    let (out, mut batches) = mpsc::channel(1);
    let reading = backend.read_entries(None, out);
    let collecting = async move {
        let mut all = Vec::new();
        while let Some(batch) = batches.recv().await {
            all.extend(batch.entries);
        }
        Ok(all)
    };
    read_and_consume(reading, collecting).await.unwrap()
}

fn sorted(entries: &[CopiedEntry]) -> Vec<String> {
    let mut lines: Vec<String> = entries.iter().map(|entry| format!("{entry:?}")).collect();
    lines.sort_unstable();
    lines
}

/// Writes everything twice, as a copy does that was interrupted between a batch and its mark.
async fn check_round_trip(backend: &Backend) {
    for _ in 0..2 {
        backend.write_entries(entries()).await.unwrap();
        assert_eq!(sorted(&read_all(backend).await), sorted(&entries()));
    }
}

async fn open(url: StoreUrl) -> Backend {
    open_backend(&StoreOptions::new(url, Arc::new(SystemClock))).await.unwrap()
}

#[test]
fn entries_of_every_kind_are_tested() {
    let tested: BTreeSet<&str> = entries().iter().map(CopiedEntry::kind).collect();
    assert_eq!(tested, BTreeSet::from(CopiedEntry::KINDS));
}

#[tokio::test]
async fn the_embedded_store_reads_what_it_writes() {
    let backend = open(StoreUrl::Memory).await;
    check_round_trip(&backend).await;
    let Backend::Embedded(store) = &backend else { panic!("another backend") };
    // A cap ends with the next lease.
    assert_eq!(store.empty_tables().unwrap(), ["CAPPED"], "a table that no copy fills needs an entry, or a reason");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_reads_what_it_writes() {
    let server = RedisServer::start();
    let backend = open(StoreUrl::parse(&server.url()).unwrap()).await;
    check_round_trip(&backend).await;
    let Backend::Redis(store) = &backend else { panic!("another backend") };
    assert_eq!(store.unwritten_key_names().await.unwrap(), ["leased"], "it is of early versions");
    assert_eq!(server.redis_cli(&["HGET", &format!("{{gp:prj_00a}}:usage:{}", later(0) / 3_600_000), ""]), "9");
    assert_eq!(server.redis_cli(&["ZSCORE", "{gp}:ready", "wh_00a"]), (MS + 9).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_backend_reads_what_was_copied_from_the_other() {
    let server = RedisServer::start();
    let (memory, redis) = (open(StoreUrl::Memory).await, open(StoreUrl::parse(&server.url()).unwrap()).await);
    memory.write_entries(entries()).await.unwrap();
    redis.write_entries(read_all(&memory).await).await.unwrap();
    let back = open(StoreUrl::Memory).await;
    back.write_entries(read_all(&redis).await).await.unwrap();
    assert_eq!(sorted(&read_all(&back).await), sorted(&entries()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discarded_copy_leaves_nothing() {
    let server = RedisServer::start();
    for backend in [open(StoreUrl::Memory).await, open(StoreUrl::parse(&server.url()).unwrap()).await] {
        assert_eq!(backend.copy_target().await.unwrap(), CopyTarget::Empty);
        backend.mark_copy(None, b"{}".to_vec()).await.unwrap();
        backend.write_entries(entries()).await.unwrap();
        assert_eq!(backend.copy_target().await.unwrap(), CopyTarget::Unfinished(b"{}".to_vec()));
        backend.discard_copy().await.unwrap();
        assert_eq!(backend.copy_target().await.unwrap(), CopyTarget::Empty);
    }
    assert_eq!(server.redis_cli(&["DBSIZE"]), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_copies_to_one_address_the_later_mark_wins_and_the_other_stops() {
    let server = RedisServer::start();
    let header = StoreHeader {
        id: StoreId::parse("st_00copied").unwrap(),
        envelope: b"{}".to_vec(),
        format: Format::LATEST.number(),
        min_reader: Format::LATEST.number(),
        checksum: ChecksumPolicy::Strict,
    };
    let bytes = |text: &str| text.as_bytes().to_vec();
    for backend in [open(StoreUrl::Memory).await, open(StoreUrl::parse(&server.url()).unwrap()).await] {
        backend.mark_copy(None, bytes("first")).await.unwrap();
        backend.mark_copy(Some(bytes("first")), bytes("second")).await.unwrap();
        for expected in [None, Some(bytes("first"))] {
            let error = backend.mark_copy(expected, bytes("third")).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Refused);
        }
        assert!(backend.finish_copy(bytes("first"), header.clone(), 0).await.is_err());
        backend.finish_copy(bytes("second"), header.clone(), 0).await.unwrap();
        for expected in [None, Some(bytes("second"))] {
            assert!(backend.mark_copy(expected, bytes("third")).await.is_err(), "it is a store now");
        }
        assert_eq!(backend.open().await.unwrap(), Some(header.clone()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_fields_that_this_release_does_not_know_are_refused() {
    let server = RedisServer::start();
    let backend = open(StoreUrl::parse(&server.url()).unwrap()).await;
    let commands: [&[&str]; 3] =
        [&["SET", "{gp}:new:1", "x"], &["HSET", "{gp}:meta", "new", "1"], &["XADD", "{gp}:stream", "1-1", "new", "1"]];
    for command in commands {
        server.redis_cli(command);
        let (out, mut batches) = mpsc::channel(1);
        let draining = async move {
            while batches.recv().await.is_some() {}
            Ok(())
        };
        let error = read_and_consume(backend.read_entries(None, out), draining).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{command:?}");
        server.redis_cli(&["DEL", command[1]]);
    }
}
