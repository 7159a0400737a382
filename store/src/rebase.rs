//! Rebasing a lost revocation onto the current record.

use gatepost_domain::partition::{Cell, Position};
use gatepost_domain::record::{AccessKey, Account, ApiKey, Project, Record, Stamps, Status};

use crate::change::{Change, RecordWrite, Versioned};
use crate::commit_encoding::{SealedParts, encode_commit};
use crate::error::Result;
use crate::ops::{RawCommit, RawRecord};
use crate::{audit_entry, schema};

/// Rebases a lost revocation onto a record that others have changed since, so that their changes are revoked as well.
/// `None` if the record is already revoked.
pub(crate) fn rebase_revocation(cell: Cell, lost: &RawCommit, current: &RawRecord) -> Result<Option<RawCommit>> {
    let Some(write) = lost.writes.first() else { return Ok(None) };
    let decode = |public: &[u8], private: &[u8]| schema::decode(&write.name.0, public, Some(private));
    let (record, unknown) = decode(&current.image.public, &current.image.private)?;
    let new = match &write.new {
        None => None,
        Some(image) => {
            let (lost_record, _) = decode(&image.public, &image.private)?;
            match deactivated(&record, stamps_of(&lost_record)) {
                Some(new_record) => Some(new_record),
                None => return Ok(None),
            }
        }
    };
    let old = Versioned {
        record,
        position: Position { cell, version: current.version },
        event: current.event.clone(),
        first_used_at: current.first_used_at,
        unknown,
    };
    let (metadata, _) = audit_entry::decode_metadata(&lost.payload.metadata)?;
    let change = Change {
        event: lost.event.clone(),
        action: lost.payload.action,
        actor: metadata.actor,
        writes: vec![RecordWrite { old: Some(old), new }],
        secret: None,
        stored_response: None,
    };
    encode_commit(&change, metadata.address, SealedParts::default()).map(Some)
}

/// Returns the record deactivated; `None` if it already is, or if records of its kind are removed instead.
fn deactivated(record: &Record, change_stamps: &Stamps) -> Option<Record> {
    let touched = |stamps: &Stamps| stamps.updated(change_stamps.updated_at, change_stamps.updated_by.clone());
    let status = Status::Inactive;
    match record {
        Record::ApiKey(key) if key.status != status => {
            Some(ApiKey { status, stamps: touched(&key.stamps), ..key.clone() }.into())
        }
        Record::AccessKey(key) if key.status != status => {
            Some(AccessKey { status, stamps: touched(&key.stamps), ..key.clone() }.into())
        }
        Record::Project(project) if project.status != status => {
            Some(Project { status, stamps: touched(&project.stamps), ..project.clone() }.into())
        }
        Record::Account(account) if account.status != status => {
            Some(Account { status, stamps: touched(&account.stamps), ..account.clone() }.into())
        }
        Record::ApiKey(_) | Record::AccessKey(_) | Record::Project(_) | Record::Account(_) | Record::Webhook(_) => None,
    }
}

fn stamps_of(record: &Record) -> &Stamps {
    match record {
        Record::Account(account) => &account.stamps,
        Record::Project(project) => &project.stamps,
        Record::ApiKey(key) => &key.stamps,
        Record::AccessKey(key) => &key.stamps,
        Record::Webhook(webhook) => &webhook.stamps,
    }
}
