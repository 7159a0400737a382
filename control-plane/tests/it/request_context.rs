//! The context of a request: its address, its precondition, and its idempotency slot.

use std::net::IpAddr;
use std::sync::Arc;

use gatepost_control_plane::{
    EventCursor, EventFilter, Failure, Idempotency, Patch, Precondition, ProjectChange, RequestContext, ResponseEncoder,
};
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::time::Version;
use gatepost_store::Change;

use crate::fixture::{ADDRESS, project, start};

fn renamed(name: &str) -> ProjectChange {
    ProjectChange { name: Patch::Value(name.to_owned()), ..ProjectChange::default() }
}

#[tokio::test]
async fn a_change_carries_the_address_of_its_request() {
    let (_, control_plane, context) = start().await;
    let created = control_plane.create_project(&context, project()).await.unwrap();
    let changes =
        control_plane.changes(&context, &EventFilter::default(), &EventCursor::START, 100).await.unwrap().changes;
    let change = changes.into_iter().find(|change| change.version == created.position.version).unwrap();
    assert_eq!(change.event, created.event);
    assert_eq!(change.content.metadata.address, Some(ADDRESS.parse::<IpAddr>().unwrap()));
    assert_eq!(change.content.metadata.actor, context.caller.actor());
}

#[tokio::test]
async fn an_update_is_refused_at_another_version_than_its_precondition() {
    let (_, control_plane, context) = start().await;
    let created = control_plane.create_project(&context, project()).await.unwrap();
    let at = |versions: Vec<Version>| RequestContext { precondition: Precondition::AnyOf(versions), ..context.clone() };
    let update = async |context: &RequestContext, name: &str| {
        control_plane.update_project(context, created.record.id.as_str(), &renamed(name)).await
    };
    let updated = update(&at(vec![Version::ZERO, created.position.version]), "store").await.unwrap();
    assert!(updated.position.version > created.position.version);
    for versions in [vec![], vec![created.position.version]] {
        let refused = update(&at(versions), "mall").await.unwrap_err();
        assert!(matches!(refused, Failure::Refused(problem) if problem.code == ErrorCode::PreconditionFailed));
    }
    let found = control_plane.project(&context, created.record.id.as_str()).await.unwrap();
    assert_eq!((found.record.name.as_str(), found.position.version), ("store", updated.position.version));
    // What is already as requested keeps its version.
    let change = ProjectChange { status: Some(found.record.status), ..ProjectChange::default() };
    let unchanged = control_plane.update_project(&context, found.record.id.as_str(), &change).await.unwrap();
    assert_eq!(unchanged.position.version, updated.position.version);
}

/// Encodes a response as the digest of its request and the number of records that were written.
struct Encoder;

impl ResponseEncoder for Encoder {
    fn encode(&self, request_digest: &str, change: &Change) -> gatepost_control_plane::Result<Option<Secret>> {
        Ok(Some(Secret::new(format!("{request_digest}: {}", change.writes.len()))))
    }
}

#[tokio::test]
async fn a_change_stores_the_response_that_its_caller_encodes() {
    let (store, control_plane, context) = start().await;
    let slot = control_plane.idempotency_slot(&context.caller, "key-1");
    let idempotency =
        Idempotency { slot: slot.clone(), request_digest: "digest".to_owned(), encoder: Arc::new(Encoder) };
    let context = RequestContext { idempotency: Some(idempotency), ..context };
    control_plane.create_project(&context, project()).await.unwrap();
    let stored = store.single_cell().stored_response(&slot).await.unwrap();
    assert_eq!(stored.unwrap().expose(), "digest: 1");
}
