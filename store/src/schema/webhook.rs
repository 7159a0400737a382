//! Stored schema of a webhook.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_domain::change::Topic;
use gatepost_domain::id::{AccountId, ProjectId, WebhookId};
use gatepost_domain::record::{
    Condition, DeliverySettings, KeyValues, MaxInFlight, OldSecret, PublicKey, RatePerSecond, Record, Role, Sealed,
    SigningKey, UserSecret, Webhook, WebhookHealth, WebhookStatus, WebhookUrl, WhenPaused,
};
use gatepost_domain::retry_schedule::RetrySchedule;
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retry_delays_s: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_in_flight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate_per_second: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    omit_secrets: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    keep_when_paused: bool,
    /// Whether there is a static token, and until when old secrets sign: for copies without the private line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_static_token: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    old_secrets_until: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    health: Option<StoredHealth>,
    stamps: StoredStamps,
}

/// Health of the receiver, if it has ever changed.
#[derive(Serialize, Deserialize)]
struct StoredHealth {
    condition: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_notified_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disabled_notified_at: Option<u64>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signing_key: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    old_signing_keys: Vec<StoredOldSecret>,
}

#[derive(Serialize, Deserialize)]
struct StoredOldSecret {
    secret: String,
    until: u64,
}

pub(super) fn public(webhook: &Webhook) -> Public {
    let delivery = &webhook.delivery;
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
        retry_delays_s: delivery.retry_schedule.as_ref().map(RetrySchedule::to_seconds).unwrap_or_default(),
        max_in_flight: delivery.max_in_flight.map(MaxInFlight::get),
        rate_per_second: delivery.rate.map(RatePerSecond::get),
        omit_secrets: delivery.key_values == KeyValues::Omitted,
        public_key: delivery.signing_key.as_ref().map(|key| STANDARD.encode(key.public.0)),
        keep_when_paused: delivery.when_paused == WhenPaused::Keep,
        has_static_token: webhook.static_token.is_some(),
        old_secrets_until: webhook.old_secrets.iter().map(|old| old.until.as_ms()).collect(),
        health: encode_health(&webhook.health),
        stamps: (&webhook.stamps).into(),
    }
}

pub(super) fn private(webhook: &Webhook) -> Private {
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
        signing_key: webhook.delivery.signing_key.as_ref().map(|key| STANDARD.encode(&key.secret.0)),
        old_signing_keys: webhook.delivery.old_signing_keys.iter().map(encode_old_secret).collect(),
    }
}

fn encode_health(health: &WebhookHealth) -> Option<StoredHealth> {
    (*health != WebhookHealth::default()).then(|| StoredHealth {
        condition: health.condition.as_str().to_owned(),
        reason: health.reason.clone(),
        changed_at: health.changed_at.map(Timestamp::as_ms),
        failing_notified_at: health.failing_notified_at.map(Timestamp::as_ms),
        disabled_notified_at: health.disabled_notified_at.map(Timestamp::as_ms),
    })
}

fn encode_old_secret(old: &OldSecret) -> StoredOldSecret {
    StoredOldSecret { secret: STANDARD.encode(&old.secret.0), until: old.until.as_ms() }
}

/// Returns the webhook as the stream repeats it, without URL path, query and header values.
pub(super) fn mask_user_secrets(webhook: &Webhook) -> Webhook {
    let mut masked = webhook.clone();
    masked.url.full = UserSecret::omitted();
    masked.custom_headers.iter_mut().for_each(|(_, value)| *value = UserSecret::omitted());
    masked
}

pub(super) fn decode(public: Public, private: Private) -> Result<Record> {
    let delivery = decode_delivery(&public, &private)?;
    let (old_secrets, static_token) = (decode_old_secrets(&public, &private)?, decode_token(&public, &private)?);
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
        old_secrets,
        static_token,
        delivery,
        health: public.health.map(decode_health).transpose()?.unwrap_or_default(),
        stamps: public.stamps.decode()?,
    }))
}

/// Decodes what is stored only where it differs from the default.
fn decode_delivery(public: &Public, private: &Private) -> Result<DeliverySettings> {
    let delays_s = Some(&public.retry_delays_s).filter(|delays_s| !delays_s.is_empty());
    let schedule = delays_s.map(|delays_s| {
        RetrySchedule::from_seconds(delays_s).map_err(|_| invalid_field("retry schedule", &format!("{delays_s:?}")))
    });
    let max_in_flight = public
        .max_in_flight
        .map(|count| MaxInFlight::new(count).ok_or_else(|| invalid_field("maximum in flight", &count.to_string())));
    let rate = public
        .rate_per_second
        .map(|rate| RatePerSecond::new(rate).ok_or_else(|| invalid_field("rate", &rate.to_string())));
    let signing_key = public.public_key.as_ref().map(|text| decode_signing_key(text, private.signing_key.as_deref()));
    Ok(DeliverySettings {
        retry_schedule: schedule.transpose()?,
        max_in_flight: max_in_flight.transpose()?,
        rate: rate.transpose()?,
        key_values: if public.omit_secrets { KeyValues::Omitted } else { KeyValues::Sent },
        signing_key: signing_key.transpose()?,
        old_signing_keys: private.old_signing_keys.iter().map(decode_old_secret).collect::<Result<_>>()?,
        when_paused: if public.keep_when_paused { WhenPaused::Keep } else { WhenPaused::Drop },
    })
}

fn decode_health(stored: StoredHealth) -> Result<WebhookHealth> {
    Ok(WebhookHealth {
        condition: Condition::parse(&stored.condition).ok_or_else(|| invalid_field("condition", &stored.condition))?,
        reason: stored.reason,
        changed_at: stored.changed_at.map(Timestamp::from_ms),
        failing_notified_at: stored.failing_notified_at.map(Timestamp::from_ms),
        disabled_notified_at: stored.disabled_notified_at.map(Timestamp::from_ms),
    })
}

/// Decodes a key pair. Copies of a record without its private line have no secret key.
fn decode_signing_key(public: &str, secret: Option<&str>) -> Result<SigningKey> {
    let bytes = STANDARD.decode(public).ok().and_then(|bytes| bytes.try_into().ok());
    let public = bytes.map(PublicKey).ok_or_else(|| invalid_field("public key", public))?;
    Ok(SigningKey { public, secret: decode_sealed(secret.unwrap_or_default())? })
}

/// Decodes the old secrets. Copies of a record without its private line have only their ends.
fn decode_old_secrets(public: &Public, private: &Private) -> Result<Vec<OldSecret>> {
    if private.old_secrets.is_empty() {
        let ends = public.old_secrets_until.iter();
        return Ok(ends.map(|until| OldSecret { secret: omitted(), until: Timestamp::from_ms(*until) }).collect());
    }
    private.old_secrets.iter().map(decode_old_secret).collect()
}

/// Decodes the static token. Copies of a record without its private line only know that there is one.
fn decode_token(public: &Public, private: &Private) -> Result<Option<Sealed>> {
    match &private.static_token {
        Some(token) => decode_sealed(token).map(Some),
        None => Ok(public.has_static_token.then(omitted)),
    }
}

/// Stands for a secret of the private line.
fn omitted() -> Sealed {
    Sealed(Vec::new())
}

fn decode_old_secret(old: &StoredOldSecret) -> Result<OldSecret> {
    Ok(OldSecret { secret: decode_sealed(&old.secret)?, until: Timestamp::from_ms(old.until) })
}

fn decode_sealed(text: &str) -> Result<Sealed> {
    STANDARD.decode(text).map(Sealed).map_err(|_| invalid_field("secret", "(unreadable)"))
}

fn parse_topic(text: &str) -> Result<Topic> {
    Topic::parse(text).ok_or_else(|| invalid_field("topic", text))
}
