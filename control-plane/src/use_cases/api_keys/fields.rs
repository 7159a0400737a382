//! The members of a key that callers choose, validated alike when a key is created and updated.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use gatepost_domain::origin;
use gatepost_domain::record::{ApiKey, Metadata, Quota, RateLimit};
use gatepost_domain::window::Period;
use ipnet::IpNet;

use crate::failure::{Failure, Result, all, both};
use crate::use_cases::patch::Patch;
use crate::use_cases::text;
use crate::use_cases::update_rules::merge_aliases;

/// Bytes of a key's metadata.
const MAX_METADATA_BYTES: usize = 16 * 1024;
/// Maximum requests of a rate limit or a quota.
const MAX_LIMIT: u64 = 1_000_000_000_000;
/// Maximum seconds of a rate limit's window: a year. The minimum is 1 s, so that whole seconds describe a window.
const MAX_WINDOW_S: f64 = 31_536_000.0;
/// Domains, and networks, that a key may be restricted to.
const MAX_LOCKS: usize = 100;
/// Permissions of a key.
const MAX_PERMISSIONS: usize = 100;

/// The members of a key that callers may choose and change.
#[derive(Clone, Default, PartialEq)]
pub struct KeyFields {
    pub name: Patch<String>,
    pub key: Patch<String>,
    /// JSON on one line: it is stored as part of a line.
    pub metadata: Patch<String>,
    pub custom_account_id: Patch<String>,
    pub custom_user_id: Patch<String>,
    pub expiry: Patch<String>,
    /// Alias of `expiry`: the name in responses.
    pub expires_at: Patch<String>,
    pub rate_limit: Patch<RateLimitFields>,
    /// Alias of `rate_limit`, as some clients send it.
    pub flat_limit: FlatLimit,
    pub quota: Patch<QuotaFields>,
    pub permissions: Patch<Vec<String>>,
    pub allowed_domains: Patch<Vec<String>>,
    pub allowed_ips: Patch<Vec<String>>,
}

/// A rate limit before validation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateLimitFields {
    pub limit: Option<u64>,
    /// Seconds.
    pub window_s: Option<f64>,
}

/// A rate limit whose parts are members of the key itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlatLimit {
    pub limit: Patch<u64>,
    /// Seconds.
    pub window_s: Patch<f64>,
}

/// A quota before validation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuotaFields {
    pub limit: Option<u64>,
    pub period: Option<String>,
}

impl KeyFields {
    /// Applies all members to a key but its value.
    ///
    /// # Errors
    /// A refusal with all members that are wrong. Then the key has only some of the others.
    pub(super) fn apply(self, key: &mut ApiKey) -> Result<()> {
        let name = match self.name {
            Patch::Absent => Ok(()),
            Patch::Null => Err(Failure::invalid("name: must not be empty")),
            Patch::Value(name) => text::parse_name(Some(name)).map(|name| key.name = name),
        };
        let expiry = both(
            self.expiry.try_map(|text| text::parse_timestamp("expiry", &text)),
            self.expires_at.try_map(|text| text::parse_timestamp("expiresAt", &text)),
        );
        let expiry = expiry.and_then(|(expiry, expires_at)| {
            merge_aliases(["expiry", "expiresAt"], [expiry, expires_at], key.expires_at)
        });
        let limits = both(self.rate_limit.try_map(parse_rate_limit), self.flat_limit.merge_with(key.rate_limit));
        let limit = limits.and_then(|(limit, flat)| {
            merge_aliases(["rateLimitConfigs", "rateLimit and rateLimitTtl"], [limit, flat], key.rate_limit)
        });
        let mut quota = key.quota;
        all([
            name,
            self.metadata.apply_or_default(&mut key.metadata, parse_metadata),
            self.custom_account_id.apply_to(&mut key.custom_account_id, |id| text::check_text("customAccountId", id)),
            self.custom_user_id.apply_to(&mut key.custom_user_id, |id| text::check_text("customUserId", id)),
            expiry.map(|expires_at| key.expires_at = expires_at),
            limit.map(|limit| key.set_rate_limit(limit)),
            self.quota.apply_to(&mut quota, parse_quota).map(|()| key.set_quota(quota)),
            self.permissions.apply_or_default(&mut key.permissions, parse_permissions),
            self.allowed_domains.apply_or_default(&mut key.allowed_domains, parse_allowed_domains),
            self.allowed_ips.apply_or_default(&mut key.allowed_ips, parse_allowed_ips),
        ])
    }
}

fn parse_metadata(text: String) -> Result<Metadata> {
    if text.len() > MAX_METADATA_BYTES {
        return Err(Failure::invalid(format!("customMetaData: has more than {MAX_METADATA_BYTES} bytes")));
    }
    Ok(Metadata(text))
}

impl FlatLimit {
    /// Completes the parts with those of the current rate limit.
    fn merge_with(self, current: Option<RateLimit>) -> Result<Patch<RateLimit>> {
        let (limit, window_s) = match (self.limit, self.window_s) {
            (Patch::Absent, Patch::Absent) => return Ok(Patch::Absent),
            (Patch::Absent | Patch::Null, Patch::Null) | (Patch::Null, Patch::Absent) => return Ok(Patch::Null),
            (Patch::Value(limit), Patch::Value(window_s)) => (Some(limit), Some(window_s)),
            (Patch::Value(limit), Patch::Absent) => (Some(limit), current.map(|own| own.window.as_secs_f64())),
            (Patch::Absent, Patch::Value(window_s)) => (current.map(|own| own.limit), Some(window_s)),
            (Patch::Value(limit), Patch::Null) => (Some(limit), None),
            (Patch::Null, Patch::Value(window_s)) => (None, Some(window_s)),
        };
        parse_rate_limit(RateLimitFields { limit, window_s }).map(Patch::Value)
    }
}

fn parse_rate_limit(fields: RateLimitFields) -> Result<RateLimit> {
    let window_s = fields
        .window_s
        .filter(|window_s| (1.0..=MAX_WINDOW_S).contains(window_s))
        .ok_or_else(|| Failure::invalid(format!("rateLimitTtl: must be a number of seconds from 1 to {MAX_WINDOW_S}")));
    let (limit, window_s) = both(parse_limit("rateLimit", fields.limit), window_s)?;
    let window = Duration::from_millis(Duration::from_secs_f64(window_s).as_millis() as u64);
    Ok(RateLimit { limit, window })
}

fn parse_quota(fields: QuotaFields) -> Result<Quota> {
    let period = fields.period.as_deref().and_then(Period::parse);
    let period = period.ok_or_else(|| Failure::invalid("quota.period: must be day or month"));
    let (limit, period) = both(parse_limit("quota.limit", fields.limit), period)?;
    Ok(Quota { limit, period })
}

fn parse_limit(field: &str, limit: Option<u64>) -> Result<u64> {
    limit
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| Failure::invalid(format!("{field}: must be a whole number from 1 to {MAX_LIMIT}")))
}

fn parse_allowed_domains(texts: Vec<String>) -> Result<Vec<String>> {
    check_lock_count("allowedDomains", texts.len())?;
    let parsed = texts.iter().map(|text| {
        origin::normalize_domain(&to_ascii_domain(text)).ok_or_else(|| {
            Failure::invalid(format!(
                "allowedDomains: {text:?} is no domain such as example.com, or *.example.com for its subdomains"
            ))
        })
    });
    Ok(all::<_, BTreeSet<_>>(parsed)?.into_iter().collect())
}

/// Returns a domain as browsers send it (RFC 5891): `exämple.com` is `xn--exmple-cua.com`. Other texts are unchanged.
fn to_ascii_domain(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', '\\', ':']).next().unwrap_or_default();
    let (wildcard, name) = host.strip_prefix("*.").map_or(("", host), |name| ("*.", name));
    match url::Host::parse(name) {
        Ok(url::Host::Domain(domain)) => Cow::Owned(format!("{wildcard}{domain}")),
        Ok(url::Host::Ipv4(_) | url::Host::Ipv6(_)) | Err(_) => Cow::Borrowed(text),
    }
}

/// Validates networks and single addresses.
fn parse_allowed_ips(texts: Vec<String>) -> Result<Vec<IpNet>> {
    check_lock_count("allowedIps", texts.len())?;
    let parsed = texts.iter().map(|text| {
        let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        let network = text.parse::<IpNet>().map(|network| network.trunc());
        network.or(address).map_err(|_| {
            Failure::invalid(format!("allowedIps: {text:?} is no address and no network such as 192.0.2.0/24"))
        })
    });
    Ok(all::<_, BTreeSet<_>>(parsed)?.into_iter().collect())
}

fn check_lock_count(field: &str, count: usize) -> Result<()> {
    if count > MAX_LOCKS {
        return Err(Failure::invalid(format!("{field}: has more than {MAX_LOCKS}")));
    }
    Ok(())
}

fn parse_permissions(names: Vec<String>) -> Result<Vec<String>> {
    if names.len() > MAX_PERMISSIONS {
        return Err(Failure::invalid(format!("permissions: has more than {MAX_PERMISSIONS}")));
    }
    if names.iter().any(|name| name.trim().is_empty()) {
        return Err(Failure::invalid("permissions: must not hold an empty one"));
    }
    let checked: BTreeSet<String> = all(names.into_iter().map(|name| text::check_text("permissions", name)))?;
    Ok(checked.into_iter().collect())
}
