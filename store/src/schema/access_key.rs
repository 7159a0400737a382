//! Stored schema of an access key.

use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccessKeyId, AccountId, ProjectId};
use gatepost_domain::record::{AccessKey, Record, Role};
use gatepost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::stored_fields::{StoredStamps, format_status, invalid_field, parse_id, parse_status};
use crate::error::Result;

#[derive(Serialize, Deserialize)]
pub(super) struct Public {
    id: String,
    account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    role: String,
    name: String,
    status: String,
    mask: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    stamps: StoredStamps,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Private {
    #[serde(default)]
    digest: Option<String>,
}

pub(super) fn public(key: &AccessKey) -> Public {
    Public {
        id: key.id.to_string(),
        account: key.account.to_string(),
        project: key.project.as_ref().map(ToString::to_string),
        role: key.role.as_str().to_owned(),
        name: key.name.clone(),
        status: format_status(key.status),
        mask: key.mask.clone(),
        expires_at: key.expires_at.map(Timestamp::as_ms),
        stamps: (&key.stamps).into(),
    }
}

pub(super) fn private(key: &AccessKey) -> Private {
    Private { digest: Some(key.digest.to_hex()) }
}

pub(super) fn decode(public: Public, private: Private) -> Result<Record> {
    let digest = match private.digest {
        None => Digest::from_bytes([0; 32]),
        Some(hex) => Digest::from_hex(&hex).ok_or_else(|| invalid_field("digest", "(unreadable)"))?,
    };
    Ok(Record::AccessKey(AccessKey {
        id: parse_id(AccessKeyId::parse, &public.id)?,
        account: parse_id(AccountId::parse, &public.account)?,
        project: public.project.map(|text| parse_id(ProjectId::parse, &text)).transpose()?,
        role: Role::parse(&public.role).ok_or_else(|| invalid_field("role", &public.role))?,
        name: public.name,
        status: parse_status(&public.status)?,
        mask: public.mask,
        digest,
        expires_at: public.expires_at.map(Timestamp::from_ms),
        stamps: public.stamps.decode()?,
    }))
}
