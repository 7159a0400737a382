//! Stored schema of an API key.

use std::time::Duration;

use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccountId, KeyId, ProjectId};
use gatepost_domain::key::Env;
use gatepost_domain::record::{ApiKey, CreationContext, KeyDigest, Metadata, Quota, RateLimit, Record};
use gatepost_domain::time::Timestamp;
use gatepost_domain::window::{Generation, Generations, Period};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stored_fields::{StoredStamps, format_status, invalid_field, parse_id, parse_status};
use crate::error::{Result, StoreErrorKind};

#[derive(Serialize, Deserialize)]
pub(super) struct Public {
    id: String,
    account: String,
    project: String,
    env: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    custom_account_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    custom_user_id: Option<String>,
    metadata: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate_limit: Option<StoredRateLimit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quota: Option<StoredQuota>,
    #[serde(default, skip_serializing_if = "is_first")]
    rate_limit_generation: Generation,
    #[serde(default, skip_serializing_if = "is_first")]
    quota_generation: Generation,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allowed_domains: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allowed_ips: Vec<String>,
    status: String,
    mask: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_user_agent: Option<String>,
    stamps: StoredStamps,
}

#[derive(Serialize, Deserialize)]
struct StoredRateLimit {
    limit: u64,
    window_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredQuota {
    limit: u64,
    period: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Private {
    #[serde(default)]
    digests: Vec<StoredDigest>,
}

#[derive(Serialize, Deserialize)]
struct StoredDigest {
    digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced_at: Option<u64>,
}

pub(super) fn public(key: &ApiKey) -> Result<Public> {
    Ok(Public {
        id: key.id.to_string(),
        account: key.account.to_string(),
        project: key.project.to_string(),
        env: key.env.as_str().to_owned(),
        name: key.name.clone(),
        custom_account_id: key.custom_account_id.clone(),
        custom_user_id: key.custom_user_id.clone(),
        metadata: serde_json::from_str(&key.metadata.0).map_err(|error| StoreErrorKind::Corrupt.with(error))?,
        expires_at: key.expires_at.map(Timestamp::as_ms),
        rate_limit: key.rate_limit.map(|rate| StoredRateLimit {
            limit: rate.limit,
            window_ms: u64::try_from(rate.window.as_millis()).unwrap_or(u64::MAX),
        }),
        quota: key.quota.map(|quota| StoredQuota { limit: quota.limit, period: quota.period.as_str().to_owned() }),
        rate_limit_generation: key.generations.rate_limit,
        quota_generation: key.generations.quota,
        permissions: key.permissions.clone(),
        allowed_domains: key.allowed_domains.clone(),
        allowed_ips: key.allowed_ips.iter().map(ToString::to_string).collect(),
        status: format_status(key.status),
        mask: key.mask.clone(),
        client_ip: key.creation_context.client_ip.clone(),
        client_user_agent: key.creation_context.client_user_agent.clone(),
        stamps: (&key.stamps).into(),
    })
}

pub(super) fn private(key: &ApiKey) -> Private {
    let stored = |value: &KeyDigest| StoredDigest {
        digest: value.digest.to_hex(),
        until: value.until.map(Timestamp::as_ms),
        replaced_at: value.replaced_at.map(Timestamp::as_ms),
    };
    Private { digests: key.digests.iter().map(stored).collect() }
}

pub(super) fn decode(public: Public, private: Private) -> Result<Record> {
    Ok(Record::ApiKey(ApiKey {
        id: parse_id(KeyId::parse, &public.id)?,
        account: parse_id(AccountId::parse, &public.account)?,
        project: parse_id(ProjectId::parse, &public.project)?,
        env: Env::parse(&public.env).ok_or_else(|| invalid_field("env", &public.env))?,
        name: public.name,
        custom_account_id: public.custom_account_id,
        custom_user_id: public.custom_user_id,
        metadata: Metadata(public.metadata.to_string()),
        expires_at: public.expires_at.map(Timestamp::from_ms),
        rate_limit: public
            .rate_limit
            .map(|rate| RateLimit { limit: rate.limit, window: Duration::from_millis(rate.window_ms) }),
        quota: public.quota.map(decode_quota).transpose()?,
        generations: Generations { rate_limit: public.rate_limit_generation, quota: public.quota_generation },
        permissions: public.permissions,
        allowed_domains: public.allowed_domains,
        allowed_ips: public.allowed_ips.iter().map(|text| parse_network(text)).collect::<Result<_>>()?,
        status: parse_status(&public.status)?,
        mask: public.mask,
        digests: private.digests.iter().map(decode_digest).collect::<Result<_>>()?,
        creation_context: CreationContext { client_ip: public.client_ip, client_user_agent: public.client_user_agent },
        stamps: public.stamps.decode()?,
    }))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(generation: &Generation) -> bool {
    *generation == 0
}

fn parse_network(text: &str) -> Result<IpNet> {
    text.parse().map_err(|_| invalid_field("network", text))
}

fn decode_quota(stored: StoredQuota) -> Result<Quota> {
    let period = Period::parse(&stored.period).ok_or_else(|| invalid_field("period", &stored.period))?;
    Ok(Quota { limit: stored.limit, period })
}

fn decode_digest(stored: &StoredDigest) -> Result<KeyDigest> {
    let digest = Digest::from_hex(&stored.digest).ok_or_else(|| invalid_field("digest", "(unreadable)"))?;
    Ok(KeyDigest {
        digest,
        until: stored.until.map(Timestamp::from_ms),
        replaced_at: stored.replaced_at.map(Timestamp::from_ms),
    })
}
