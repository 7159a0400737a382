//! Golden tests of the stored schemas. A snapshot, once released, is never edited: data written by an older program
//! must still be readable. A new schema gets a new case in addition to the old one.

use std::time::Duration;

use gatepost_domain::change::{Action, Propagation, Topic};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccessKeyId, AccountId, EventId, KeyId, ProjectId, RecoveryId, WebhookId};
use gatepost_domain::key::Env;
use gatepost_domain::partition::{Cell, Position};
use gatepost_domain::record::{
    AccessKey, Account, Actor, ApiKey, Condition, CreationContext, DeliverySettings, KeyDigest, KeyValues, MaxInFlight,
    Metadata, OldSecret, Project, PublicKey, Quota, RateLimit, RatePerSecond, Record, Role, Sealed, SigningKey, Stamps,
    Status, UserSecret, Webhook, WebhookHealth, WebhookStatus, WebhookUrl, WhenPaused,
};
use gatepost_domain::retry_schedule::{Attempt, RetrySchedule};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_domain::window::{Generations, Period};

use crate::attempt::{AttemptRecord, RecordedOutcome};
use crate::audit_entry::EntryContent;
use crate::change::{Change, RecordWrite, Versioned};
use crate::deliveries::DeliveryPosition;
use crate::delivery_summary::DeliverySummary;
use crate::event::{FanOutEvent, decode_event, encode_event};
use crate::ops::{DeliveryKind, RawRecovery, RecoveryStatus, StoredUses};
use crate::record_format::{decode_record, encode_record};
use crate::recovery_job::{NewRecovery, RecoveredKinds, RecoveryFilter, RecoveryJob};
use crate::schema::{self, UnknownFields};
use crate::usage::{self, UsageRetention};
use crate::{audit_entry, record_format};

fn at(ms: u64) -> Timestamp {
    Timestamp::from_ms(1_700_000_000_000 + ms)
}

fn stamps() -> Stamps {
    let made = Stamps::new(at(0), Actor::Operator);
    made.updated(at(1), Actor::AccessKey(AccessKeyId::parse("ak_00access").unwrap()))
}

fn account() -> AccountId {
    AccountId::parse("acc_00account").unwrap()
}

fn project() -> ProjectId {
    ProjectId::parse("prj_00project").unwrap()
}

fn api_key() -> ApiKey {
    ApiKey {
        id: KeyId::parse("key_00key").unwrap(),
        account: account(),
        project: project(),
        env: Env::Live,
        name: "a \"name\"\nof two lines".to_owned(),
        custom_account_id: Some("customer".to_owned()),
        custom_user_id: None,
        metadata: Metadata(r#"{"plan":"gold"}"#.to_owned()),
        expires_at: Some(at(1000)),
        rate_limit: Some(RateLimit { limit: 10, window: Duration::from_secs(60) }),
        quota: None,
        generations: Generations::default(),
        permissions: vec!["read".to_owned()],
        allowed_domains: Vec::new(),
        allowed_ips: Vec::new(),
        status: Status::Active,
        mask: "live_00ab…".to_owned(),
        digests: vec![
            KeyDigest::current(Digest::from_bytes([1; 32])),
            KeyDigest { digest: Digest::from_bytes([2; 32]), until: Some(at(500)), replaced_at: None },
        ],
        creation_context: CreationContext { client_ip: Some("192.0.2.1".to_owned()), client_user_agent: None },
        stamps: stamps(),
    }
}

fn access_key() -> AccessKey {
    AccessKey {
        id: AccessKeyId::parse("ak_00access").unwrap(),
        account: account(),
        project: Some(project()),
        role: Role::User,
        name: "name".to_owned(),
        status: Status::Active,
        mask: "live_access_00…".to_owned(),
        digest: Digest::from_bytes([3; 32]),
        expires_at: None,
        stamps: stamps(),
    }
}

fn records() -> Vec<(&'static str, Record)> {
    let name = "name".to_owned();
    let account_record = Account { id: account(), name: name.clone(), status: Status::Active, stamps: stamps() };
    let project_record = Project {
        id: project(),
        account: account(),
        name: name.clone(),
        env: Env::Test,
        status: Status::Inactive,
        stamps: stamps(),
    };
    let rotated = Webhook {
        old_secrets: vec![OldSecret { secret: Sealed(vec![5; 8]), until: at(2000) }],
        static_token: Some(Sealed(vec![6; 8])),
        status: WebhookStatus::Paused,
        status_changed_at: Some(at(3)),
        ..webhook()
    };
    let deactivated = Account { status: Status::Inactive, ..account_record.clone() };
    vec![
        ("account", account_record.into()),
        ("project", project_record.into()),
        ("api_key", api_key().into()),
        ("access_key", access_key().into()),
        ("webhook", webhook().into()),
        ("webhook_with_old_secrets", rotated.into()),
        ("account_shut_off", deactivated.into()),
    ]
}

fn webhook() -> Webhook {
    Webhook {
        id: WebhookId::parse("wh_00webhook").unwrap(),
        account: account(),
        project: None,
        name: "name".to_owned(),
        url: WebhookUrl::new("https://example.com/hook"),
        topics: Topic::ALL.iter().copied().filter(|topic| !topic.is_of_webhooks()).collect(),
        method: "POST".to_owned(),
        custom_headers: vec![("x-a".to_owned(), UserSecret::new("b"))],
        status: WebhookStatus::Live,
        status_changed_at: None,
        url_set_by: Role::Admin,
        secret: Sealed(vec![4; 8]),
        old_secrets: vec![],
        static_token: None,
        delivery: DeliverySettings::default(),
        health: WebhookHealth::default(),
        stamps: stamps(),
    }
}

/// Schemas added later, in addition to the older ones.
fn later_records() -> Vec<(&'static str, Record)> {
    let replaced = KeyDigest { digest: Digest::from_bytes([2; 32]), until: Some(at(500)), replaced_at: Some(at(100)) };
    let rotated = ApiKey { digests: vec![KeyDigest::current(Digest::from_bytes([1; 32])), replaced], ..api_key() };
    let metered = ApiKey { quota: Some(Quota { limit: 1000, period: Period::Month }), ..api_key() };
    let locked = ApiKey {
        allowed_domains: vec!["*.example.com".to_owned()],
        allowed_ips: vec!["10.0.0.0/8".parse().unwrap()],
        ..api_key()
    };
    let generations = Generations { rate_limit: 2, quota: 1 };
    let relimited = ApiKey { generations, ..api_key() };
    let sealed = Webhook {
        url: WebhookUrl {
            masked: "https://example.com:8443/…".to_owned(),
            full: UserSecret::Sealed(Sealed(vec![7; 8])),
        },
        custom_headers: vec![("x-a".to_owned(), UserSecret::Sealed(Sealed(vec![8; 8])))],
        ..webhook()
    };
    let delivery = DeliverySettings {
        retry_schedule: RetrySchedule::from_seconds(&[5, 300]).ok(),
        max_in_flight: MaxInFlight::new(2),
        rate: RatePerSecond::new(10),
        key_values: KeyValues::Omitted,
        signing_key: Some(SigningKey { public: PublicKey([9; 32]), secret: Sealed(vec![10; 8]) }),
        old_signing_keys: vec![OldSecret { secret: Sealed(vec![11; 8]), until: at(2000) }],
        when_paused: WhenPaused::Drop,
    };
    let disabled = Webhook {
        topics: vec![Topic::WebhookFailing, Topic::WebhookDisabled],
        delivery: DeliverySettings { when_paused: WhenPaused::Keep, ..DeliverySettings::default() },
        ..webhook().with_condition(Condition::Failing, Some("status 500".to_owned()), at(5000)).with_condition(
            Condition::Disabled,
            Some("status 410".to_owned()),
            at(6000),
        )
    };
    vec![
        ("webhook_disabled", disabled.into()),
        ("webhook_with_delivery_settings", Webhook { delivery, ..webhook() }.into()),
        ("webhook_sealed", sealed.into()),
        ("access_key_with_expiry", AccessKey { expires_at: Some(at(4000)), ..access_key() }.into()),
        ("api_key_with_generations", relimited.into()),
        ("api_key_rotated", rotated.into()),
        ("api_key_metered", metered.into()),
        ("api_key_locked", locked.into()),
    ]
}

#[test]
fn stored_records_keep_their_format_and_decode() {
    let event = EventId::parse("evt_00event").unwrap();
    let version = Version::from_parts(1_700_000_000_002, 3);
    for (kind, record) in records().into_iter().chain(later_records()) {
        let image = schema::encode(&record, &UnknownFields::default()).unwrap();
        let stored = encode_record(version, &event, &image);
        insta::assert_snapshot!(kind, String::from_utf8(stored.clone()).unwrap());
        let raw = decode_record(&stored, None).unwrap();
        let name = schema::record_name(&record);
        let (read, unknown) = schema::decode(&name.0, &raw.image.public, Some(&raw.image.private)).unwrap();
        assert_eq!(read, record);
        assert_eq!(unknown, UnknownFields::default());
        assert_eq!(raw.version, version);
    }
}

/// Summaries of deliveries that ended.
#[test]
fn stored_summaries_keep_their_format_and_decode() {
    let failed = AttemptRecord {
        event_id: EventId::parse("evt_00event").unwrap(),
        number: Attempt::FIRST.next(),
        at: at(5),
        outcome: RecordedOutcome::Failed,
        status: None,
        error: Some("no response within 15 s".to_owned()),
        error_class: Some("timeout".to_owned()),
        duration: Duration::from_millis(12),
        response: None,
    };
    let summary = DeliverySummary {
        kind: DeliveryKind::Dead,
        action: Some(Action::ApiKeyCreated),
        version: Version::from_parts(1_700_000_000_002, 3),
        created_at: at(4),
        attempts: 2,
        last_attempt: Some(failed),
    };
    insta::assert_snapshot!("delivery_summary", String::from_utf8(summary.encode()).unwrap());
    assert_eq!(DeliverySummary::decode(&summary.encode()).unwrap(), summary);
    let by_script =
        br#"{"outcome":"dead","type":"api-key.created","version":1782579200002048,"created":4,"attempts":2}"#;
    assert_eq!(DeliverySummary::decode(by_script).unwrap().action, Some(Action::ApiKeyCreated));
    // With the last attempt, as scripts and the embedded store add it.
    let line = summary.last_attempt.as_ref().unwrap().encode();
    let with_last = DeliverySummary::with_last_attempt(by_script, Some(&line));
    let expected = [&by_script[..by_script.len() - 1], br#","last":"#, &line, b"}"].concat();
    assert_eq!(String::from_utf8(with_last.clone()).unwrap(), String::from_utf8(expected).unwrap());
    assert_eq!(DeliverySummary::decode(&with_last).unwrap().last_attempt, summary.last_attempt);
}

/// What recoveries recover.
#[test]
fn stored_recoveries_keep_their_format_and_decode() {
    let all = RecoveryFilter { kinds: RecoveredKinds::All, since: at(6), until: None, topics: None };
    let some = RecoveryFilter {
        kinds: RecoveredKinds::Dead,
        until: Some(at(7)),
        topics: Some(vec![Topic::ApiKeyCreated]),
        ..all.clone()
    };
    let failed = RecoveryFilter { kinds: RecoveredKinds::Failed, ..all.clone() };
    let cases =
        [("recovery_of_all", all, None), ("recovery_of_some", some, Some(-3)), ("recovery_of_failed", failed, Some(4))];
    for (name, filter, through) in cases {
        let through = through.map(DeliveryPosition::of_sequence);
        let id = RecoveryId::parse("rec_00recovery").unwrap();
        let new = NewRecovery { id: id.clone(), filter, total: 12, through };
        insta::assert_snapshot!(name, String::from_utf8(new.encode()).unwrap());
        let raw = RawRecovery {
            id,
            status: RecoveryStatus::Running,
            created_at: at(8),
            finished_at: None,
            cursor: None,
            recovered: 5,
            skipped: 1,
            request: new.encode(),
        };
        let job = RecoveryJob::decode(raw).unwrap();
        assert_eq!((job.filter, job.total, job.recovered, job.skipped), (new.filter, 12, 5, 1));
    }
}

/// Attempts, and the events of deliveries and dead letters.
#[test]
fn stored_deliveries_keep_their_format_and_decode() {
    let event_id = EventId::parse("evt_00event").unwrap();
    let delivered = AttemptRecord {
        event_id: event_id.clone(),
        number: Attempt::FIRST,
        at: at(5),
        outcome: RecordedOutcome::Delivered,
        status: Some(204),
        error: None,
        error_class: None,
        duration: Duration::from_millis(12),
        response: None,
    };
    let failed = AttemptRecord {
        number: Attempt::FIRST.next(),
        outcome: RecordedOutcome::Failed,
        status: None,
        error: Some("no response within 15 s".to_owned()),
        ..delivered.clone()
    };
    let gone = AttemptRecord { outcome: RecordedOutcome::Gone, status: Some(410), ..failed.clone() };
    let classified = AttemptRecord { error_class: Some("timeout".to_owned()), ..failed.clone() };
    for (kind, attempt) in [
        ("attempt_delivered", delivered),
        ("attempt_failed", failed),
        ("attempt_gone", gone),
        ("attempt_classified", classified),
    ] {
        insta::assert_snapshot!(kind, String::from_utf8(attempt.encode()).unwrap());
        assert_eq!(AttemptRecord::decode(&attempt.encode()).unwrap(), attempt);
    }

    let key = api_key();
    let change = Change {
        event: event_id.clone(),
        action: Action::ApiKeyCreated,
        actor: Actor::Operator,
        writes: vec![RecordWrite { old: None, new: Some(key.clone().into()) }],
        secret: None,
        stored_response: None,
    };
    let image = schema::encode(&key.clone().into(), &UnknownFields::default()).unwrap();
    let metadata_line = audit_entry::encode_metadata(&change, None).unwrap();
    let (metadata, _) = audit_entry::decode_metadata(&metadata_line).unwrap();
    let content = EntryContent {
        invalidation: change.invalidation(),
        propagation: Propagation::Relaxed,
        action: Action::ApiKeyCreated,
        metadata: metadata.clone(),
        old: None,
        new: Some(key.clone().into()),
        metadata_line,
        image_line: image.public,
    };
    let version = Version::from_parts(1_700_000_000_002, 3);
    let raw = encode_event(&FanOutEvent { event: event_id.clone(), version, content, webhooks: vec![] }).unwrap();
    insta::assert_snapshot!("delivery_event", String::from_utf8(raw.body.clone()).unwrap());
    let event = decode_event(&event_id, &raw.body).unwrap();
    assert_eq!((event.id, event.action, event.at), (event_id, Action::ApiKeyCreated, version.timestamp()));
    assert_eq!(event.metadata, metadata);
    // Digests are private: they are not part of an event.
    assert_eq!(event.record, Record::ApiKey(ApiKey { digests: vec![], ..key }));
}

#[test]
fn stored_uses_keep_their_format_and_decode() {
    let hours = [(0, 3), (1, 70), (9, 1), (300, 5), (301, 1000)];
    let mut stored = StoredUses::default();
    for (hour, uses) in hours {
        let read = (!stored.recent.is_empty()).then_some(stored.recent.as_slice());
        stored.recent = usage::recent::add(read, at(hour * 3_600_000), uses);
    }
    let now = at(302 * 3_600_000);
    let rolled_up = stored.rolled_up(UsageRetention::DEFAULT, now).unwrap();
    for (kind, bytes) in [("recent_uses", &stored.recent), ("past_uses", &rolled_up.past)] {
        insta::assert_snapshot!(kind, bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    for uses in [stored, rolled_up] {
        let kept = uses.kept(UsageRetention::DEFAULT, now).unwrap();
        assert_eq!(kept.into_values().collect::<Vec<_>>(), [3 + 70, 1, 5, 1000]);
    }
}

#[test]
fn stored_metadata_keeps_its_format_and_decodes() {
    let key = api_key();
    let old = Versioned {
        record: Record::ApiKey(key.clone()),
        position: Position { cell: Cell::FIRST, version: Version::from_u64(1) },
        event: EventId::parse("evt_00before").unwrap(),
        first_used_at: None,
        unknown: UnknownFields::default(),
    };
    let deactivated = ApiKey { status: Status::Inactive, ..key };
    let change = Change {
        event: EventId::parse("evt_00event").unwrap(),
        action: Action::ApiKeyDeleted,
        actor: Actor::AccessKey(AccessKeyId::parse("ak_00access").unwrap()),
        writes: vec![RecordWrite { old: Some(old), new: Some(deactivated.into()) }],
        secret: None,
        stored_response: None,
    };
    for (kind, address) in [("entry_head", None), ("entry_head_with_address", Some("2001:db8::1".parse().unwrap()))] {
        let line = audit_entry::encode_metadata(&change, address).unwrap();
        insta::assert_snapshot!(kind, String::from_utf8(line.clone()).unwrap());
        let (metadata, old) = audit_entry::decode_metadata(&line).unwrap();
        assert_eq!((metadata.actor, metadata.address), (change.actor.clone(), address));
        assert_eq!(metadata.subject, "key_00key");
        assert!(old.is_some());
    }
    let (kind, data) = record_format::encode_invalidation(&change.invalidation());
    insta::assert_snapshot!("entry_scope", format!("{kind} {data:?}"));
}
