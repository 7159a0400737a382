//! Encoding a change as the backends apply it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gatepost_domain::digest::Digest;
use gatepost_domain::record::Record;

use crate::change::{Change, RecordWrite, digests_of};
use crate::error::Result;
use crate::index::{IndexEntry, index_of};
use crate::ops::{EntryPayload, RawCommit, RawStoredResponse, RawWrite};
use crate::{audit_entry, schema};

/// The parts of a commit that must be encrypted.
#[derive(Clone, Default)]
pub(crate) struct SealedParts {
    pub(crate) secret: Option<Vec<u8>>,
    pub(crate) stored_responses: Vec<RawStoredResponse>,
}

/// Encodes a change as the backends apply it.
pub(crate) fn encode_commit(change: &Change, address: Option<IpAddr>, sealed: SealedParts) -> Result<RawCommit> {
    let mut raw = RawCommit {
        event: change.event.clone(),
        writes: Vec::with_capacity(change.writes.len()),
        digests_set: Vec::new(),
        digests_drop: Vec::new(),
        index_set: Vec::new(),
        index_drop: Vec::new(),
        account: change.account(),
        limits: None,
        payload: entry_payload(change, address)?,
        sealed: sealed.secret,
        stored_responses: sealed.stored_responses,
        urgency: change.urgency(),
        disables_checksum: change.disables_checksum(),
        format: None,
    };
    for write in &change.writes {
        add_write(&mut raw, write)?;
    }
    Ok(raw)
}

fn entry_payload(change: &Change, address: Option<IpAddr>) -> Result<EntryPayload> {
    let first = change.writes.first();
    let new = first.and_then(|write| write.new.as_ref());
    let image = match new {
        Some(record) => schema::encode_for_stream(record)?,
        None => Vec::new(),
    };
    Ok(EntryPayload {
        action: change.action,
        invalidation: change.invalidation(),
        propagation: change.propagation(),
        metadata: audit_entry::encode_metadata(change, address)?,
        image,
    })
}

fn add_write(raw: &mut RawCommit, write: &RecordWrite) -> Result<()> {
    let old = write.old.as_ref().map(|old| &old.record);
    let Some(subject) = write.new.as_ref().or(old) else { return Ok(()) };
    let name = schema::record_name(subject);
    let digests = |record: Option<&Record>| record.map(digests_of).unwrap_or_default().into_iter().collect();
    let (before, after): (BTreeSet<Digest>, BTreeSet<Digest>) = (digests(old), digests(write.new.as_ref()));
    raw.digests_set.extend(after.difference(&before).map(|digest| (*digest, name.clone())));
    raw.digests_drop.extend(before.difference(&after));
    let (old_member, new_member) = (old.map(index_of), write.new.as_ref().map(index_of));
    if old_member != new_member {
        raw.index_drop.extend(old_member);
        raw.index_set.extend(new_member);
    }
    let unknown = write.old.as_ref().map(|old| old.unknown.clone()).unwrap_or_default();
    raw.writes.push(RawWrite {
        name,
        expected_version: write.old.as_ref().map(|old| old.position.version),
        expected_event: write.old.as_ref().map(|old| old.event.clone()),
        new: write.new.as_ref().map(|record| schema::encode(record, &unknown)).transpose()?,
        index_entry: IndexEntry::of_write(subject, old, write.new.as_ref()),
    });
    Ok(())
}
