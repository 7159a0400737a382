//! The authorization rule: why a request passes or is denied.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::digest::Digest;
use crate::id::{AccountId, KeyId, ProjectId};
use crate::key::Env;
use crate::origin;
use crate::problem::ErrorCode;
use crate::record::{ApiKey, Quota, RateLimit, Status};
use crate::time::Timestamp;
use crate::window::{Generations, Period};

/// What a gateway knows about one value of a key: everything that authorization and the upstream headers need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// Id of the key.
    pub key: KeyId,
    /// Project of the key.
    pub project: ProjectId,
    /// Account of the project.
    pub account: AccountId,
    /// Environment of the key.
    pub env: Env,
    /// Status of the key.
    pub status: Status,
    /// Status of the project. An inactive project disables all its keys.
    pub project_status: Status,
    /// Expiry time of the key.
    pub expires_at: Option<Timestamp>,
    /// Time from which this value is denied. `None` for the current value.
    pub value_until: Option<Timestamp>,
    /// Time at which a new value replaced this one. `None` for the current value.
    pub value_replaced_at: Option<Timestamp>,
    /// Permissions granted to the key.
    pub permissions: Vec<String>,
    /// Domains whose web pages may use the key. Empty means all.
    pub allowed_domains: Vec<String>,
    /// Networks from which the key may be used. Empty means all.
    pub allowed_ips: Vec<IpNet>,
    /// Rate limit of the key.
    pub rate_limit: Option<RateLimit>,
    /// Daily or monthly quota of the key.
    pub quota: Option<Quota>,
    /// Generations of the rate limit and the quota, which select their windows.
    pub generations: Generations,
    /// The caller's own id for the customer.
    pub custom_account_id: Option<String>,
    /// The caller's own id for the customer's user.
    pub custom_user_id: Option<String>,
    /// Whether the store holds more than one account.
    pub tenancy: Tenancy,
}

impl KeyFacts {
    /// Builds the facts for the value with this digest. Returns `None` if the key no longer has that value.
    pub fn from_record(key: &ApiKey, digest: &Digest, project_status: Status, tenancy: Tenancy) -> Option<Self> {
        let value = key.digests.iter().find(|value| value.digest == *digest)?;
        Some(Self {
            key: key.id.clone(),
            project: key.project.clone(),
            account: key.account.clone(),
            env: key.env,
            status: key.status,
            project_status,
            expires_at: key.expires_at,
            value_until: value.until,
            value_replaced_at: value.replaced_at,
            permissions: key.permissions.clone(),
            allowed_domains: key.allowed_domains.clone(),
            allowed_ips: key.allowed_ips.clone(),
            rate_limit: key.rate_limit,
            quota: key.quota,
            generations: key.generations,
            custom_account_id: key.custom_account_id.clone(),
            custom_user_id: key.custom_user_id.clone(),
            tenancy,
        })
    }

    /// Returns what the `Deprecation` and `Sunset` headers of a response say about this value. `None` for the
    /// current value.
    pub fn sunset(&self) -> Option<Sunset> {
        let until = self.value_until?;
        Some(Sunset { since: self.value_replaced_at.unwrap_or(until), until })
    }
}

/// End of life of a value that was replaced and is still accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sunset {
    /// Time since which the value is deprecated.
    pub since: Timestamp,
    /// Time from which the value is denied.
    pub until: Timestamp,
}

impl Sunset {
    /// Returns the value of the `Deprecation` header (RFC 9745).
    pub fn deprecation_header(&self) -> String {
        format!("@{}", self.since.as_seconds())
    }

    /// Returns the value of the `Sunset` header (RFC 8594).
    pub fn sunset_header(&self) -> String {
        self.until.to_http_date()
    }
}

/// Number of accounts in the store. With more than one, a route must list its projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenancy {
    /// One account.
    Single,
    /// More than one account.
    Multiple,
}

/// Environment that a route accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvRule {
    /// Only keys of this environment.
    Only(Env),
    /// Keys of any environment.
    Any,
}

/// What a route requires of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Projects whose keys are accepted. Empty accepts any project of a single-account store.
    pub projects: Vec<ProjectId>,
    /// Environment that is accepted.
    pub env: EnvRule,
    /// Permissions that the key must have, all of them.
    pub permissions: Vec<String>,
}

/// What is known about a request in addition to its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestFacts<'a> {
    /// Client address. `None` if it cannot be determined.
    pub client: Option<IpAddr>,
    /// `Origin` or `Referer` header that the browser sent.
    pub origin: Option<&'a str>,
}

/// Proof that [`decide`] allowed a request. Nothing else can create one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit(());

/// Why a request is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// The route requires a credential and there is none.
    Missing,
    /// The request has two different credentials, or one location, such as a header, twice.
    Ambiguous,
    /// The credential cannot be a key.
    Malformed,
    /// The key does not exist.
    Unknown,
    /// The key, or this value of it, is revoked.
    Inactive,
    /// The key has expired.
    Expired,
    /// The project is deleted.
    ProjectInactive,
    /// The route accepts only keys of other projects.
    ForeignProject,
    /// The route accepts only keys of another environment.
    WrongEnv,
    /// The key lacks a permission that the route requires.
    MissingPermission,
    /// The key is restricted to domains, and the request does not come from a page of one of them.
    OriginNotAllowed,
    /// The key is restricted to networks, and the client address is in none of them.
    AddressNotAllowed,
    /// The client has exceeded its limit of wrong keys, so this key is not looked up.
    TooManyWrongKeys {
        /// Seconds until a key of this client is looked up again.
        retry_after_s: u32,
    },
    /// The key has reached its rate limit.
    RateLimited,
    /// The key has reached its daily or monthly quota.
    QuotaExceeded(Period),
}

impl Denial {
    /// Returns the name used in metrics and in the access log. Clients do not see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Denial::Missing => "missing",
            Denial::Ambiguous => "ambiguous",
            Denial::Malformed => "malformed",
            Denial::Unknown => "unknown",
            Denial::Inactive => "inactive",
            Denial::Expired => "expired",
            Denial::ProjectInactive => "project-inactive",
            Denial::ForeignProject => "foreign-project",
            Denial::WrongEnv => "wrong-env",
            Denial::MissingPermission => "missing-permission",
            Denial::OriginNotAllowed => "origin-not-allowed",
            Denial::AddressNotAllowed => "address-not-allowed",
            Denial::TooManyWrongKeys { .. } => "too-many-wrong-keys",
            Denial::RateLimited => "rate-limited",
            Denial::QuotaExceeded(Period::Day) => "daily-quota-used-up",
            Denial::QuotaExceeded(Period::Month) => "monthly-quota-used-up",
        }
    }

    /// Returns the error code that the client gets. It does not disclose why a key is refused.
    pub fn code(self) -> ErrorCode {
        match (self.class(), self) {
            (DenialClass::Forbidden, Denial::OriginNotAllowed) => ErrorCode::OriginNotAllowed,
            (DenialClass::Forbidden, Denial::AddressNotAllowed) => ErrorCode::AddressNotAllowed,
            (DenialClass::Forbidden, _) => ErrorCode::Forbidden,
            (DenialClass::TooMany, Denial::QuotaExceeded(Period::Day)) => ErrorCode::DailyQuotaExceeded,
            (DenialClass::TooMany, Denial::QuotaExceeded(Period::Month)) => ErrorCode::MonthlyQuotaExceeded,
            (DenialClass::TooMany, _) => ErrorCode::RateLimited,
            (DenialClass::Unauthenticated, Denial::Missing) => ErrorCode::MissingKey,
            (DenialClass::Unauthenticated, _) => ErrorCode::InvalidKey,
        }
    }

    /// Returns the class of the response that the client gets.
    pub fn class(self) -> DenialClass {
        match self {
            Denial::Missing
            | Denial::Ambiguous
            | Denial::Malformed
            | Denial::Unknown
            | Denial::Inactive
            | Denial::Expired
            | Denial::ProjectInactive => DenialClass::Unauthenticated,
            Denial::ForeignProject
            | Denial::WrongEnv
            | Denial::MissingPermission
            | Denial::OriginNotAllowed
            | Denial::AddressNotAllowed => DenialClass::Forbidden,
            Denial::TooManyWrongKeys { .. } | Denial::RateLimited | Denial::QuotaExceeded(_) => DenialClass::TooMany,
        }
    }
}

/// Response classes of a denied request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialClass {
    /// 401: no valid key.
    Unauthenticated,
    /// 403: a valid key that is not allowed to make this request.
    Forbidden,
    /// 429: a valid key over its limit, or a client that has sent too many wrong keys.
    TooMany,
}

/// Decides whether a key that was found may make a request. The key itself is checked before the route, so that
/// only the holder of a usable key ever sees a 403.
///
/// # Errors
/// Returns the first reason to deny, in this order: the key (401), the route (403), the restrictions of the key
/// (403). Rate limits and quotas are not checked here.
pub fn decide(
    facts: &KeyFacts,
    requirement: &Requirement,
    request: &RequestFacts<'_>,
    now: Timestamp,
) -> Result<Permit, Denial> {
    check_key(facts, now)?;
    check_route(facts, requirement)?;
    check_restrictions(facts, request)?;
    Ok(Permit(()))
}

fn check_key(facts: &KeyFacts, now: Timestamp) -> Result<(), Denial> {
    if facts.status == Status::Inactive || has_passed(facts.value_until, now) {
        return Err(Denial::Inactive);
    }
    if has_passed(facts.expires_at, now) {
        return Err(Denial::Expired);
    }
    match facts.project_status {
        Status::Inactive => Err(Denial::ProjectInactive),
        Status::Active => Ok(()),
    }
}

fn check_route(facts: &KeyFacts, requirement: &Requirement) -> Result<(), Denial> {
    if !is_project_allowed(facts, &requirement.projects) {
        return Err(Denial::ForeignProject);
    }
    match requirement.env {
        EnvRule::Only(env) if env != facts.env => return Err(Denial::WrongEnv),
        EnvRule::Only(_) | EnvRule::Any => {}
    }
    if requirement.permissions.iter().all(|required| facts.permissions.contains(required)) {
        Ok(())
    } else {
        Err(Denial::MissingPermission)
    }
}

/// Denies a request whose client address or origin is unknown if the key is restricted by it.
fn check_restrictions(facts: &KeyFacts, request: &RequestFacts<'_>) -> Result<(), Denial> {
    let is_allowed_address =
        || request.client.is_some_and(|client| facts.allowed_ips.iter().any(|network| network.contains(&client)));
    if !facts.allowed_ips.is_empty() && !is_allowed_address() {
        return Err(Denial::AddressNotAllowed);
    }
    let is_allowed_origin = || request.origin.is_some_and(|origin| origin::is_allowed(&facts.allowed_domains, origin));
    if !facts.allowed_domains.is_empty() && !is_allowed_origin() {
        return Err(Denial::OriginNotAllowed);
    }
    Ok(())
}

fn is_project_allowed(facts: &KeyFacts, projects: &[ProjectId]) -> bool {
    if projects.is_empty() {
        return facts.tenancy == Tenancy::Single;
    }
    projects.contains(&facts.project)
}

fn has_passed(deadline: Option<Timestamp>, now: Timestamp) -> bool {
    deadline.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn project(name: &str) -> ProjectId {
        ProjectId::parse(&format!("prj_00{name}")).unwrap()
    }

    prop_compose! {
        fn any_facts()(
            own in "[ab]", active: bool, project_active: bool, live: bool, is_multi_tenant: bool,
            expires in proptest::option::of(0..100_u64), until in proptest::option::of(0..100_u64),
            permissions in proptest::collection::vec("[rw]", 0..3),
        ) -> KeyFacts {
            let status = |on| if on { Status::Active } else { Status::Inactive };
            KeyFacts {
                key: KeyId::parse("key_001").unwrap(),
                project: project(&own),
                account: AccountId::parse("acc_001").unwrap(),
                env: if live { Env::Live } else { Env::Test },
                status: status(active),
                project_status: status(project_active),
                expires_at: expires.map(Timestamp::from_ms),
                value_until: until.map(Timestamp::from_ms),
                value_replaced_at: None,
                permissions,
                allowed_domains: Vec::new(),
                allowed_ips: Vec::new(),
                rate_limit: None,
                quota: None,
                generations: Generations::default(),
                custom_account_id: None,
                custom_user_id: None,
                tenancy: if is_multi_tenant { Tenancy::Multiple } else { Tenancy::Single },
            }
        }
    }

    prop_compose! {
        fn any_requirement()(
            projects in proptest::collection::vec("[ab]", 0..2), env in 0..3,
            permissions in proptest::collection::vec("[rw]", 0..2),
        ) -> Requirement {
            Requirement {
                projects: projects.iter().map(|name| project(name)).collect(),
                env: match env { 0 => EnvRule::Any, 1 => EnvRule::Only(Env::Live), _ => EnvRule::Only(Env::Test) },
                permissions,
            }
        }
    }

    fn facts() -> KeyFacts {
        KeyFacts {
            key: KeyId::parse("key_001").unwrap(),
            project: project("a"),
            account: AccountId::parse("acc_001").unwrap(),
            env: Env::Live,
            status: Status::Active,
            project_status: Status::Active,
            expires_at: None,
            value_until: None,
            value_replaced_at: None,
            permissions: Vec::new(),
            allowed_domains: Vec::new(),
            allowed_ips: Vec::new(),
            rate_limit: None,
            quota: None,
            generations: Generations::default(),
            custom_account_id: None,
            custom_user_id: None,
            tenancy: Tenancy::Single,
        }
    }

    #[test]
    fn a_locked_key_passes_only_from_its_networks_and_pages() {
        let requirement = Requirement { projects: Vec::new(), env: EnvRule::Any, permissions: Vec::new() };
        let locked = |ips: &[&str], domains: &[&str]| KeyFacts {
            allowed_ips: ips.iter().map(|network| network.parse().unwrap()).collect(),
            allowed_domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
            ..facts()
        };
        let address = |text: &str| Some(text.parse().unwrap());
        let (both, networks) = (locked(&["10.0.0.0/8"], &["a.example"]), locked(&["10.0.0.0/8", "2001:db8::/32"], &[]));
        for (facts, client, origin, expected) in [
            (&facts(), None, None, None),
            (&networks, address("10.1.2.3"), None, None),
            (&networks, address("2001:db8::1"), None, None),
            (&networks, address("11.0.0.1"), None, Some(Denial::AddressNotAllowed)),
            (&networks, None, None, Some(Denial::AddressNotAllowed)),
            (&both, address("10.1.2.3"), Some("https://a.example"), None),
            (&both, address("10.1.2.3"), Some("https://b.example"), Some(Denial::OriginNotAllowed)),
            (&both, address("10.1.2.3"), None, Some(Denial::OriginNotAllowed)),
            (&both, address("11.1.2.3"), Some("https://a.example"), Some(Denial::AddressNotAllowed)),
        ] {
            let decision = decide(facts, &requirement, &RequestFacts { client, origin }, Timestamp::from_ms(1));
            assert_eq!(decision.err(), expected, "{client:?} {origin:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn only_active_unexpired_and_fitting_keys_are_permitted(
            facts in any_facts(), requirement in any_requirement(), now in 0..100_u64,
        ) {
            let now = Timestamp::from_ms(now);
            let usable = facts.status == Status::Active && facts.project_status == Status::Active
                && facts.expires_at.is_none_or(|at| now < at) && facts.value_until.is_none_or(|at| now < at);
            let own = if requirement.projects.is_empty() { facts.tenancy == Tenancy::Single }
                else { requirement.projects.contains(&facts.project) };
            let env = match requirement.env { EnvRule::Any => true, EnvRule::Only(env) => env == facts.env };
            let allowed = requirement.permissions.iter().all(|p| facts.permissions.contains(p));
            let decision = decide(&facts, &requirement, &RequestFacts::default(), now);
            prop_assert_eq!(decision.is_ok(), usable && own && env && allowed);
            if let Err(denial) = decision {
                prop_assert_eq!(denial.class() == DenialClass::Forbidden, usable);
            }
        }
    }
}
