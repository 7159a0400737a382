//! A change that shuts something off, made anew from its record as it stands.

use gatepost_domain::record::{AccessKey, Account, ApiKey, Project, Record, Stamps, Status};

use crate::act::{RawCommit, RawRecord};
use crate::change::{Change, Versioned, Write};
use crate::error::Result;
use crate::{entry, records, shape};

/// The lost change over a record that others have changed since: all that they gave it is shut off too. None where
/// it is off already.
pub(crate) fn shut_off(lost: &RawCommit, standing: &RawRecord) -> Result<Option<RawCommit>> {
    let Some(write) = lost.writes.first() else { return Ok(None) };
    let decode = |public: &[u8], private: &[u8]| shape::decode(&write.name.0, public, Some(private));
    let (record, unknown) = decode(&standing.image.public, &standing.image.private)?;
    let new = match &write.new {
        None => None,
        Some(image) => {
            let (lost_record, _) = decode(&image.public, &image.private)?;
            match off(&record, stamps(&lost_record)) {
                Some(off) => Some(off),
                None => return Ok(None),
            }
        }
    };
    let old = Versioned {
        record,
        version: standing.version,
        event: standing.event.clone(),
        first_used_at: standing.first_used_at,
        unknown,
    };
    let (head, _) = entry::decode_head(&lost.told.head)?;
    let change = Change {
        event: lost.event.clone(),
        action: lost.told.action,
        actor: head.actor,
        writes: vec![Write { old: Some(old), new }],
        secret: None,
        receipt: None,
    };
    records::raw_commit(&change, head.address, records::SealedParts::default()).map(Some)
}

/// The record shut off; none if it is, or if it is of a kind that is removed instead.
fn off(record: &Record, by: &Stamps) -> Option<Record> {
    let touched = |stamps: &Stamps| stamps.touched(by.updated_at, by.updated_by.clone());
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

fn stamps(record: &Record) -> &Stamps {
    match record {
        Record::Account(account) => &account.stamps,
        Record::Project(project) => &project.stamps,
        Record::ApiKey(key) => &key.stamps,
        Record::AccessKey(key) => &key.stamps,
        Record::Webhook(webhook) => &webhook.stamps,
    }
}
