//! Stored schema of an account.

use gatepost_domain::id::AccountId;
use gatepost_domain::record::{Account, Record};
use serde::{Deserialize, Serialize};

use super::stored_fields::{StoredStamps, format_status, parse_id, parse_status};
use crate::error::Result;

#[derive(Serialize, Deserialize)]
pub(super) struct Public {
    id: String,
    name: String,
    status: String,
    stamps: StoredStamps,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Private {}

pub(super) fn public(account: &Account) -> Public {
    Public {
        id: account.id.to_string(),
        name: account.name.clone(),
        status: format_status(account.status),
        stamps: (&account.stamps).into(),
    }
}

pub(super) fn decode(public: Public, _: Private) -> Result<Record> {
    Ok(Record::Account(Account {
        id: parse_id(AccountId::parse, &public.id)?,
        name: public.name,
        status: parse_status(&public.status)?,
        stamps: public.stamps.decode()?,
    }))
}
