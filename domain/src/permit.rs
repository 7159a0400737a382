//! The authentication rule: why a request may pass, or why not.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::digest::Digest;
use crate::id::{AccountId, KeyId, ProjectId};
use crate::key::Env;
use crate::origin::{self, OriginMatch};
use crate::record::{ApiKey, Quota, RateLimit, Status};
use crate::time::Timestamp;
use crate::window::{Generations, Period};

/// What a gateway knows of one value of a key: all that the rule and the identity headers need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// The key.
    pub key: KeyId,
    /// Its project.
    pub project: ProjectId,
    /// Its account.
    pub account: AccountId,
    /// Its env.
    pub env: Env,
    /// Whether the key may be used.
    pub status: Status,
    /// Whether the project's keys may be used.
    pub project_status: Status,
    /// When the key stops to be accepted.
    pub expires_at: Option<Timestamp>,
    /// When this value of it stops to be accepted; absent for the current value.
    pub value_until: Option<Timestamp>,
    /// When another value came in the place of this one; absent for the current value.
    pub value_replaced_at: Option<Timestamp>,
    /// What the key may do.
    pub permissions: Vec<String>,
    /// The domains whose web pages may use it; empty for all.
    pub allowed_domains: Vec<String>,
    /// The networks from which it may be used; empty for all.
    pub allowed_ips: Vec<IpNet>,
    /// How often it may be used.
    pub rate_limit: Option<RateLimit>,
    /// How often it may be used in a day or a month.
    pub quota: Option<Quota>,
    /// Which windows these limits count in.
    pub generations: Generations,
    /// The caller's own id of the customer.
    pub custom_account_id: Option<String>,
    /// The caller's own id of the customer's user.
    pub custom_user_id: Option<String>,
    /// How many accounts the store holds.
    pub tenancy: Tenancy,
}

impl KeyFacts {
    /// The facts of the value with this digest; none if the key has no such value any more.
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

    /// What answers to a request with this value say of its end; none for the current value.
    pub fn sunset(&self) -> Option<Sunset> {
        let until = self.value_until?;
        Some(Sunset { since: self.value_replaced_at.unwrap_or(until), until })
    }
}

/// The end of a value that was replaced and is still accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sunset {
    /// Since when it should not be used.
    pub since: Timestamp,
    /// From when it is refused.
    pub until: Timestamp,
}

impl Sunset {
    /// The value of the header `Deprecation` (RFC 9745).
    pub fn deprecation_header(&self) -> String {
        format!("@{}", self.since.as_seconds())
    }

    /// The value of the header `Sunset` (RFC 8594).
    pub fn sunset_header(&self) -> String {
        self.until.to_http_date()
    }
}

/// How many accounts the store holds: with several, a route must name its projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenancy {
    /// One account.
    Single,
    /// More than one.
    Multiple,
}

/// Which env a key must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvRule {
    /// This one.
    Only(Env),
    /// Any.
    Any,
}

/// What a route asks of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Projects whose keys pass; empty for any project of the only account.
    pub projects: Vec<ProjectId>,
    /// The env that passes.
    pub env: EnvRule,
    /// Permissions that the key must all have.
    pub permissions: Vec<String>,
}

/// What is known of a request beside its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestFacts<'a> {
    /// Where it comes from; absent if that cannot be told.
    pub client: Option<IpAddr>,
    /// The origin or the referrer that a browser told.
    pub origin: Option<&'a str>,
}

/// Proof that [`decide`] let a request pass: nothing else makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit(());

/// Why a request does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// No credential where the route wants one.
    Missing,
    /// Two credentials that differ, or one place repeated.
    Ambiguous,
    /// The credential cannot be a key.
    Malformed,
    /// No such key.
    Unknown,
    /// The key was shut off, or this value of it was.
    Inactive,
    /// The key has expired.
    Expired,
    /// The project was deleted.
    ProjectInactive,
    /// The route is for keys of other projects.
    ForeignProject,
    /// The route is for keys of another env.
    WrongEnv,
    /// The key lacks a permission that the route asks for.
    MissingPermission,
    /// The key is locked to domains, and the request comes from a page of none of them.
    OriginNotAllowed,
    /// The key is locked to networks, and the request comes from none of them.
    AddressNotAllowed,
    /// The client has sent more wrong keys than it may, and this one is not looked up.
    TooManyWrongKeys {
        /// Seconds after which the next one is.
        retry_after_s: u32,
    },
    /// The key was used as often as its rate limit allows.
    RateLimited,
    /// The key was used as often as its quota of a day or a month allows.
    QuotaExceeded(Period),
}

impl Denial {
    /// Its name in metrics and in the access log; clients do not see it.
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

    /// Which answer a client gets.
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

/// The answers to a request that does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialClass {
    /// 401: no valid key.
    Unauthenticated,
    /// 403: a valid key that may not do this.
    Forbidden,
    /// 429: a valid key that was used too often, or one of too many wrong ones.
    TooMany,
}

/// Judges a key that was found. A key that may not be used at all is refused before anything is said
/// about the route, so that a 403 is only ever seen by the holder of a valid key.
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

/// What cannot be told of a request is not allowed where the key is locked.
fn check_restrictions(facts: &KeyFacts, request: &RequestFacts<'_>) -> Result<(), Denial> {
    let is_allowed_address =
        || request.client.is_some_and(|client| facts.allowed_ips.iter().any(|network| network.contains(&client)));
    if !facts.allowed_ips.is_empty() && !is_allowed_address() {
        return Err(Denial::AddressNotAllowed);
    }
    let is_allowed_origin =
        || request.origin.is_some_and(|origin| origin::is_allowed(&facts.allowed_domains, origin) == OriginMatch::Yes);
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
