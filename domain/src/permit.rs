//! The authorization rule: whether a request passes.

use std::net::IpAddr;

use crate::denial::Denial;
use crate::id::ProjectId;
use crate::key::Env;
use crate::key_facts::{KeyFacts, Tenancy};
use crate::origin;
use crate::record::Status;
use crate::time::Timestamp;

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
    use crate::denial::DenialClass;
    use crate::id::{AccountId, KeyId};
    use crate::window::Generations;
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
