//! What callers say of a key, read in one way for making and for changing it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use gatepost_domain::origin;
use gatepost_domain::record::{ApiKey, Metadata, Quota, RateLimit};
use gatepost_domain::window::Period;
use ipnet::IpNet;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::use_cases::copies::of_two_names;
use crate::use_cases::given::Given;
use crate::use_cases::text;

/// Bytes of a key's metadata.
const MAX_METADATA_BYTES: usize = 16 * 1024;
/// Requests of a rate limit or a quota.
const MAX_LIMIT: u64 = 1_000_000_000_000;
/// Seconds of a rate limit's window: a year. None is shorter than a second, so that whole seconds name a window.
const MAX_WINDOW_S: f64 = 31_536_000.0;
/// Domains, and networks, to which a key may be locked.
const MAX_LOCKS: usize = 100;
/// Permissions of a key.
const MAX_PERMISSIONS: usize = 100;

/// The members of a key that its maker may choose and change.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct KeyFields {
    pub(crate) name: Given<String>,
    pub(crate) key: Given<String>,
    pub(crate) metadata: Given<Value>,
    pub(crate) custom_account_id: Given<String>,
    pub(crate) custom_user_id: Given<String>,
    pub(crate) expiry: Given<String>,
    /// The same under the name that answers have.
    pub(crate) expires_at: Given<String>,
    pub(crate) rate_limit: Given<RateLimitFields>,
    /// The same where some clients send it.
    pub(crate) flat_limit: FlatLimit,
    pub(crate) quota: Given<QuotaFields>,
    pub(crate) permissions: Given<Vec<String>>,
    pub(crate) allowed_domains: Given<Vec<String>>,
    pub(crate) allowed_ips: Given<Vec<String>>,
}

/// A rate limit as a caller says it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RateLimitFields {
    pub(crate) limit: Option<u64>,
    /// Seconds.
    pub(crate) window_s: Option<f64>,
}

/// A rate limit as some clients send it: its parts stand beside the other members.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FlatLimit {
    pub(crate) limit: Given<u64>,
    /// Seconds.
    pub(crate) window_s: Given<f64>,
}

/// A quota as a caller says it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct QuotaFields {
    pub(crate) limit: Option<u64>,
    pub(crate) period: Option<String>,
}

impl KeyFields {
    /// Changes a key, all but its value.
    pub(super) fn apply(self, key: &mut ApiKey) -> Result<()> {
        match self.name {
            Given::Absent => {}
            Given::Null => return Err(Failure::invalid("name: must not be empty")),
            Given::Value(name) => key.name = text::name(Some(name))?,
        }
        self.metadata.set_or_default(&mut key.metadata, metadata)?;
        self.custom_account_id.set(&mut key.custom_account_id, |id| text::checked("customAccountId", id))?;
        self.custom_user_id.set(&mut key.custom_user_id, |id| text::checked("customUserId", id))?;
        let expiry = [
            self.expiry.try_map(|text| text::moment("expiry", &text))?,
            self.expires_at.try_map(|text| text::moment("expiresAt", &text))?,
        ];
        key.expires_at = of_two_names(["expiry", "expiresAt"], expiry, key.expires_at)?;
        let limits = [self.rate_limit.try_map(rate_limit)?, self.flat_limit.over(key.rate_limit)?];
        let limit = of_two_names(["rateLimitConfigs", "rateLimit and rateLimitTtl"], limits, key.rate_limit)?;
        key.set_rate_limit(limit);
        let mut new_quota = key.quota;
        self.quota.set(&mut new_quota, quota)?;
        key.set_quota(new_quota);
        self.permissions.set_or_default(&mut key.permissions, permissions)?;
        self.allowed_domains.set_or_default(&mut key.allowed_domains, allowed_domains)?;
        self.allowed_ips.set_or_default(&mut key.allowed_ips, allowed_ips)
    }
}

fn metadata(value: Value) -> Result<Metadata> {
    // Stored as one line: a line end inside it would end the record's line.
    let text = value.to_string();
    if text.len() > MAX_METADATA_BYTES {
        return Err(Failure::invalid(format!("customMetaData: has more than {MAX_METADATA_BYTES} bytes")));
    }
    Ok(Metadata(text))
}

impl FlatLimit {
    /// The rate limit that the parts make with those of the one that the key has.
    fn over(self, own: Option<RateLimit>) -> Result<Given<RateLimit>> {
        let (limit, window_s) = match (self.limit, self.window_s) {
            (Given::Absent, Given::Absent) => return Ok(Given::Absent),
            (Given::Absent | Given::Null, Given::Null) | (Given::Null, Given::Absent) => return Ok(Given::Null),
            (Given::Value(limit), Given::Value(window_s)) => (Some(limit), Some(window_s)),
            (Given::Value(limit), Given::Absent) => (Some(limit), own.map(|own| own.window.as_secs_f64())),
            (Given::Absent, Given::Value(window_s)) => (own.map(|own| own.limit), Some(window_s)),
            (Given::Value(limit), Given::Null) => (Some(limit), None),
            (Given::Null, Given::Value(window_s)) => (None, Some(window_s)),
        };
        rate_limit(RateLimitFields { limit, window_s }).map(Given::Value)
    }
}

fn rate_limit(fields: RateLimitFields) -> Result<RateLimit> {
    let window_s = fields.window_s.filter(|window_s| (1.0..=MAX_WINDOW_S).contains(window_s)).ok_or_else(|| {
        Failure::invalid(format!("rateLimitTtl: must be a number of seconds from 1 to {MAX_WINDOW_S}"))
    })?;
    Ok(RateLimit {
        limit: limit("rateLimit", fields.limit)?,
        window: Duration::from_millis(Duration::from_secs_f64(window_s).as_millis() as u64),
    })
}

fn quota(fields: QuotaFields) -> Result<Quota> {
    let period = fields.period.as_deref().and_then(Period::parse);
    let period = period.ok_or_else(|| Failure::invalid("quota.period: must be day or month"))?;
    Ok(Quota { limit: limit("quota.limit", fields.limit)?, period })
}

fn limit(field: &str, limit: Option<u64>) -> Result<u64> {
    limit
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| Failure::invalid(format!("{field}: must be a whole number from 1 to {MAX_LIMIT}")))
}

fn allowed_domains(texts: Vec<String>) -> Result<Vec<String>> {
    check_count("allowedDomains", texts.len())?;
    let parsed = texts.iter().map(|text| {
        origin::domain(&in_ascii(text)).ok_or_else(|| {
            Failure::invalid(format!(
                "allowedDomains: {text:?} is no domain such as example.com, or *.example.com for those below it"
            ))
        })
    });
    Ok(parsed.collect::<Result<BTreeSet<_>>>()?.into_iter().collect())
}

/// A domain as browsers send it (RFC 5891): `exämple.com` is `xn--exmple-cua.com`. What is no domain stays as it is.
fn in_ascii(text: &str) -> Cow<'_, str> {
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

/// Networks, or single addresses.
fn allowed_ips(texts: Vec<String>) -> Result<Vec<IpNet>> {
    check_count("allowedIps", texts.len())?;
    let parsed = texts.iter().map(|text| {
        let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        let network = text.parse::<IpNet>().map(|network| network.trunc());
        network.or(address).map_err(|_| {
            Failure::invalid(format!("allowedIps: {text:?} is no address and no network such as 192.0.2.0/24"))
        })
    });
    Ok(parsed.collect::<Result<BTreeSet<_>>>()?.into_iter().collect())
}

fn check_count(field: &str, count: usize) -> Result<()> {
    if count > MAX_LOCKS {
        return Err(Failure::invalid(format!("{field}: has more than {MAX_LOCKS}")));
    }
    Ok(())
}

fn permissions(names: Vec<String>) -> Result<Vec<String>> {
    if names.len() > MAX_PERMISSIONS {
        return Err(Failure::invalid(format!("permissions: has more than {MAX_PERMISSIONS}")));
    }
    if names.iter().any(|name| name.trim().is_empty()) {
        return Err(Failure::invalid("permissions: must not hold an empty one"));
    }
    let checked: BTreeSet<String> =
        names.into_iter().map(|name| text::checked("permissions", name)).collect::<Result<_>>()?;
    Ok(checked.into_iter().collect())
}
