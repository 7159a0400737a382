//! The stored shape of a webhook.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_domain::change::Topic;
use gatepost_domain::id::{AccountId, ProjectId, WebhookId};
use gatepost_domain::record::{Record, Role, Sealed, Webhook, WebhookStatus};
use serde::{Deserialize, Serialize};

use super::parts::{StoredStamps, id, invalid};
use crate::error::Result;

#[derive(Serialize, Deserialize)]
pub(super) struct Public {
    id: String,
    account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    name: String,
    url: String,
    topics: Vec<String>,
    method: String,
    status: String,
    made_by: String,
    stamps: StoredStamps,
}

/// Custom headers are private: people put credentials into them.
#[derive(Serialize, Deserialize)]
pub(super) struct Private {
    #[serde(default)]
    custom_headers: Vec<(String, String)>,
    #[serde(default)]
    secret: String,
}

pub(super) fn public(webhook: &Webhook) -> Public {
    Public {
        id: webhook.id.to_string(),
        account: webhook.account.to_string(),
        project: webhook.project.as_ref().map(ToString::to_string),
        name: webhook.name.clone(),
        url: webhook.url.clone(),
        topics: webhook.topics.iter().map(|topic| topic.as_str().to_owned()).collect(),
        method: webhook.method.clone(),
        status: webhook.status.as_str().to_owned(),
        made_by: webhook.made_by.as_str().to_owned(),
        stamps: (&webhook.stamps).into(),
    }
}

pub(super) fn private(webhook: &Webhook) -> Private {
    Private { custom_headers: webhook.custom_headers.clone(), secret: STANDARD.encode(&webhook.secret.0) }
}

pub(super) fn decode(public: Public, private: Private) -> Result<Record> {
    let secret = STANDARD.decode(&private.secret).map_err(|_| invalid("secret", "(unreadable)"))?;
    Ok(Record::Webhook(Webhook {
        id: id(WebhookId::parse, &public.id)?,
        account: id(AccountId::parse, &public.account)?,
        project: public.project.map(|text| id(ProjectId::parse, &text)).transpose()?,
        name: public.name,
        url: public.url,
        topics: public.topics.iter().map(|text| topic(text)).collect::<Result<_>>()?,
        method: public.method,
        custom_headers: private.custom_headers,
        status: WebhookStatus::parse(&public.status).ok_or_else(|| invalid("status", &public.status))?,
        made_by: Role::parse(&public.made_by).ok_or_else(|| invalid("role", &public.made_by))?,
        secret: Sealed(secret),
        stamps: public.stamps.decode()?,
    }))
}

fn topic(text: &str) -> Result<Topic> {
    Topic::parse(text).ok_or_else(|| invalid("topic", text))
}
