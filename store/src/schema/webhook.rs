//! Stored schema of a webhook.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_domain::change::Topic;
use gatepost_domain::id::{AccountId, ProjectId, WebhookId};
use gatepost_domain::record::{OldSecret, Record, Role, Sealed, UserSecret, Webhook, WebhookStatus, WebhookUrl};
use gatepost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::stored_fields::{StoredStamps, invalid_field, parse_id};
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status_changed_at: Option<u64>,
    made_by: String,
    stamps: StoredStamps,
}

/// Custom headers are private because users put credentials into them. From format 2 on they and the URL are sealed; in
/// the first format headers are stored here in plaintext, and the public line has the full URL.
#[derive(Serialize, Deserialize)]
pub(super) struct Private {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    custom_headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_url: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sealed_headers: Vec<(String, String)>,
    #[serde(default)]
    secret: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    old_secrets: Vec<StoredOldSecret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    static_token: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredOldSecret {
    secret: String,
    until: u64,
}

pub(super) fn public(webhook: &Webhook) -> Public {
    Public {
        id: webhook.id.to_string(),
        account: webhook.account.to_string(),
        project: webhook.project.as_ref().map(ToString::to_string),
        name: webhook.name.clone(),
        url: match &webhook.url.full {
            UserSecret::Plaintext(whole) => whole.expose().to_owned(),
            UserSecret::Sealed(_) => webhook.url.masked.clone(),
        },
        topics: webhook.topics.iter().map(|topic| topic.as_str().to_owned()).collect(),
        method: webhook.method.clone(),
        status: webhook.status.as_str().to_owned(),
        status_changed_at: webhook.status_changed_at.map(Timestamp::as_ms),
        made_by: webhook.url_set_by.as_str().to_owned(),
        stamps: (&webhook.stamps).into(),
    }
}

pub(super) fn private(webhook: &Webhook) -> Private {
    let encode_old_secret =
        |old: &OldSecret| StoredOldSecret { secret: STANDARD.encode(&old.secret.0), until: old.until.as_ms() };
    let (mut custom_headers, mut sealed_headers) = (Vec::new(), Vec::new());
    for (name, value) in &webhook.custom_headers {
        match value {
            UserSecret::Plaintext(value) => custom_headers.push((name.clone(), value.expose().to_owned())),
            UserSecret::Sealed(value) => sealed_headers.push((name.clone(), STANDARD.encode(&value.0))),
        }
    }
    Private {
        custom_headers,
        sealed_url: match &webhook.url.full {
            UserSecret::Plaintext(_) => None,
            UserSecret::Sealed(whole) => Some(STANDARD.encode(&whole.0)),
        },
        sealed_headers,
        secret: STANDARD.encode(&webhook.secret.0),
        old_secrets: webhook.old_secrets.iter().map(encode_old_secret).collect(),
        static_token: webhook.static_token.as_ref().map(|token| STANDARD.encode(&token.0)),
    }
}

/// Returns the webhook as the stream repeats it, without URL path, query and header values.
pub(super) fn mask_user_secrets(webhook: &Webhook) -> Webhook {
    let mut masked = webhook.clone();
    masked.url.full = UserSecret::omitted();
    masked.custom_headers.iter_mut().for_each(|(_, value)| *value = UserSecret::omitted());
    masked
}

pub(super) fn decode(public: Public, private: Private) -> Result<Record> {
    let url = match &private.sealed_url {
        Some(whole) => WebhookUrl { masked: public.url, full: UserSecret::Sealed(decode_sealed(whole)?) },
        None if public.url.ends_with(WebhookUrl::MASK) => {
            WebhookUrl { masked: public.url, full: UserSecret::omitted() }
        }
        None => WebhookUrl::new(public.url),
    };
    let plaintext_headers = private.custom_headers.into_iter().map(|(name, value)| Ok((name, UserSecret::new(value))));
    let sealed_headers = private.sealed_headers.into_iter();
    let sealed_headers = sealed_headers.map(|(name, value)| Ok((name, UserSecret::Sealed(decode_sealed(&value)?))));
    let custom_headers = plaintext_headers.chain(sealed_headers).collect::<Result<_>>()?;
    let decode_old_secret = |old: &StoredOldSecret| {
        Ok(OldSecret { secret: decode_sealed(&old.secret)?, until: Timestamp::from_ms(old.until) })
    };
    Ok(Record::Webhook(Webhook {
        id: parse_id(WebhookId::parse, &public.id)?,
        account: parse_id(AccountId::parse, &public.account)?,
        project: public.project.map(|text| parse_id(ProjectId::parse, &text)).transpose()?,
        name: public.name,
        url,
        topics: public.topics.iter().map(|text| parse_topic(text)).collect::<Result<_>>()?,
        method: public.method,
        custom_headers,
        status: WebhookStatus::parse(&public.status).ok_or_else(|| invalid_field("status", &public.status))?,
        status_changed_at: public.status_changed_at.map(Timestamp::from_ms),
        url_set_by: Role::parse(&public.made_by).ok_or_else(|| invalid_field("role", &public.made_by))?,
        secret: decode_sealed(&private.secret)?,
        old_secrets: private.old_secrets.iter().map(decode_old_secret).collect::<Result<_>>()?,
        static_token: private.static_token.as_deref().map(decode_sealed).transpose()?,
        stamps: public.stamps.decode()?,
    }))
}

fn decode_sealed(text: &str) -> Result<Sealed> {
    STANDARD.decode(text).map(Sealed).map_err(|_| invalid_field("secret", "(unreadable)"))
}

fn parse_topic(text: &str) -> Result<Topic> {
    Topic::parse(text).ok_or_else(|| invalid_field("topic", text))
}
