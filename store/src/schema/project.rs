//! Stored schema of a project.

use gatepost_domain::id::{AccountId, ProjectId};
use gatepost_domain::key::Env;
use gatepost_domain::record::{Project, Record};
use serde::{Deserialize, Serialize};

use super::stored_fields::{StoredStamps, format_status, invalid_field, parse_id, parse_status};
use crate::error::Result;

#[derive(Serialize, Deserialize)]
pub(super) struct Public {
    id: String,
    account: String,
    name: String,
    env: String,
    status: String,
    stamps: StoredStamps,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Private {}

pub(super) fn public(project: &Project) -> Public {
    Public {
        id: project.id.to_string(),
        account: project.account.to_string(),
        name: project.name.clone(),
        env: project.env.as_str().to_owned(),
        status: format_status(project.status),
        stamps: (&project.stamps).into(),
    }
}

pub(super) fn decode(public: Public, _: Private) -> Result<Record> {
    Ok(Record::Project(Project {
        id: parse_id(ProjectId::parse, &public.id)?,
        account: parse_id(AccountId::parse, &public.account)?,
        name: public.name,
        env: Env::parse(&public.env).ok_or_else(|| invalid_field("env", &public.env))?,
        status: parse_status(&public.status)?,
        stamps: public.stamps.decode()?,
    }))
}
