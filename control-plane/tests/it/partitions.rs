//! Ids carry the partition of their record, and a rotation stays in it.

use std::collections::BTreeMap;

use gatepost_control_plane::{
    AccessKeyRequest, DeliverySettingsPatch, ImportOptions, ImportRow, KeyFields, KeyRef, NewApiKey, NewWebhook,
    Notify, Patch, RunMode,
};
use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, KeyId, ProjectId};
use gatepost_domain::partition::Partition;
use gatepost_domain::record::{Actor, ApiKey, KeyDigest};
use gatepost_store::{Change, CommitOutcome, RecordWrite, os_rng};

use crate::fixture::{project, start};

fn new_key(project: &ProjectId, value: Option<&str>) -> NewApiKey {
    let fields = KeyFields {
        name: Patch::Value("key".to_owned()),
        key: value.map_or(Patch::Absent, |value| Patch::Value(value.to_owned())),
        ..KeyFields::default()
    };
    NewApiKey { project: Some(project.as_str().to_owned()), fields, ..NewApiKey::default() }
}

fn value_partition(key: &ApiKey) -> Partition {
    Partition::of_digest(&key.digests[0].digest)
}

#[tokio::test]
async fn what_belongs_to_an_account_carries_its_partition() {
    let (_, control_plane, context) = start().await;
    let account = context.caller.account.partition();
    assert_eq!(context.caller.access_key.partition(), account);
    let created = control_plane.create_project(&context, project()).await.unwrap();
    assert_eq!([created.record.id.partition(), created.event.partition()], [account; 2]);
    let request = AccessKeyRequest { name: Some("ci".to_owned()), ..AccessKeyRequest::default() };
    let access_key = control_plane.create_access_key_for(&context, request).await.unwrap();
    assert_eq!(access_key.record.record.id.partition(), account);
    let new = NewWebhook {
        name: Some("hook".to_owned()),
        url: Some("https://1.1.1.1/".to_owned()),
        topics: vec!["api-key.created".to_owned()],
        account: None,
        project: None,
        method: None,
        headers: BTreeMap::new(),
        status: None,
        static_token: None,
        delivery: DeliverySettingsPatch::default(),
    };
    let webhook = control_plane.create_webhook(&context, new).await.unwrap().webhook;
    assert_eq!([webhook.record.id.partition(), webhook.event.partition()], [account; 2]);
}

#[tokio::test]
async fn a_key_stays_in_the_partition_of_its_first_value() {
    let (_, control_plane, context) = start().await;
    let project = control_plane.create_project(&context, project()).await.unwrap().record.id;
    for value in [None, Some("a-chosen-value")] {
        let created = control_plane.create_api_key(&context, new_key(&project, value)).await.unwrap().record;
        let partition = value_partition(&created.record);
        assert_eq!([created.record.id.partition(), created.event.partition()], [partition; 2]);
        for overlap_s in [0, 60] {
            let by_id = KeyRef::Id(created.record.id.clone());
            let rotated = control_plane.rotate_api_key(&context, &by_id, overlap_s).await.unwrap().key;
            assert_eq!([value_partition(&rotated.record), rotated.event.partition()], [partition; 2]);
        }
    }
}

/// Ids of earlier versions carry no partition: a rotation stays where the value is.
#[tokio::test]
async fn a_key_with_an_old_id_stays_in_the_partition_of_its_value() {
    let (store, control_plane, context) = start().await;
    let project = control_plane.create_project(&context, project()).await.unwrap().record.id;
    let created = control_plane.create_api_key(&context, new_key(&project, None)).await.unwrap().record.record;
    let id = KeyId::parse("key_000123456789abcdefghijkl").unwrap();
    let digest = (0..).map(|n: u32| store.envelope().digest(&format!("old-value-{n}")));
    let digest = digest.into_iter().find(|digest| Partition::of_digest(digest) != Partition::default()).unwrap();
    let old = ApiKey { id: id.clone(), digests: vec![KeyDigest::current(digest)], ..created };
    let change = Change {
        event: EventId::generate_in(Partition::default(), &mut os_rng()),
        action: Action::ApiKeyCreated,
        actor: Actor::Operator,
        writes: vec![RecordWrite::create(old)],
        secret: None,
        stored_response: None,
    };
    let outcome = store.single_cell().commit(&change).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    for _ in 0..2 {
        let rotated = control_plane.rotate_api_key(&context, &KeyRef::Id(id.clone()), 0).await.unwrap().key;
        assert_eq!(value_partition(&rotated.record), Partition::of_digest(&digest));
    }
}

#[tokio::test]
async fn an_imported_key_carries_the_partition_of_its_value() {
    let (store, control_plane, context) = start().await;
    let project = control_plane.create_project(&context, project()).await.unwrap().record.id;
    let options = ImportOptions { project: None, notify: Notify::Nobody, mode: RunMode::Apply };
    let row = ImportRow { key: new_key(&project, Some("an-imported-value")), sha256: None };
    control_plane.importer(options).import(row).await.unwrap();
    let digest = store.envelope().digest("an-imported-value");
    let imported = store.single_cell().api_key_by_digest(&digest).await.unwrap().unwrap();
    let partition = Partition::of_digest(&digest);
    assert_eq!([imported.record.id.partition(), imported.event.partition()], [partition; 2]);
}
