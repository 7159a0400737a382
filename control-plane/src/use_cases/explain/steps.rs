//! The steps of an explanation: a sentence about every check, in the order of a gateway.

use gatepost_domain::denial::Denial;
use gatepost_domain::id::ProjectId;
use gatepost_domain::key_facts::KeyFacts;
use gatepost_domain::record::Status;
use gatepost_domain::time::Timestamp;

use super::decision::{Check, CheckResult, ExplainedOutcome, RefusalReason, Step};

/// What is known when the decision is made.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The canonical path, if the request is valid.
    pub path: Option<String>,
    /// The project that the route lists.
    pub project: Option<ProjectId>,
    pub has_wrong_checksum: bool,
    /// The key, and the time of its first use.
    pub key: Option<(KeyFacts, Option<Timestamp>)>,
}

/// Returns all checks with their results.
pub(super) fn steps(outcome: ExplainedOutcome, findings: &Findings) -> Vec<Step> {
    let decisive = match outcome {
        ExplainedOutcome::Forwarded => None,
        ExplainedOutcome::AnsweredByGateway => {
            let sentence = "OPTIONS * is about the gateway itself, which responds with or without a key.".to_owned();
            Some(Step { check: Check::Request, result: CheckResult::Passed, sentence })
        }
        ExplainedOutcome::Refused(_, reason) => Some(refusal(reason, findings)),
    };
    let decisive_check = decisive.as_ref().map(|step| step.check);
    let before = Check::ALL.into_iter().take_while(|check| Some(*check) != decisive_check);
    let passed = before.map(|check| undecisive_step(check, findings));
    let after = Check::ALL.into_iter().skip_while(|check| Some(*check) != decisive_check).skip(1);
    let skipped = after.map(|check| {
        let sentence = "An earlier check has decided.".to_owned();
        Step { check, result: CheckResult::NotChecked, sentence }
    });
    passed.chain(decisive).chain(skipped).collect()
}

fn refusal(reason: RefusalReason, findings: &Findings) -> Step {
    let (check, sentence) = match reason {
        RefusalReason::InvalidRequest(code) => (Check::Request, format!("The request is not valid: {}.", code.title())),
        RefusalReason::Denied(denial) => (Check::of(denial), denial_sentence(denial, findings)),
    };
    Step { check, result: CheckResult::Refused, sentence }
}

fn denial_sentence(denial: Denial, findings: &Findings) -> String {
    let facts = findings.key.as_ref().map(|(facts, _)| facts);
    match denial {
        Denial::Missing => {
            "The request has no key. A route with auth = \"optional\" or \"off\" forwards it.".to_owned()
        }
        Denial::Ambiguous => "The request has two keys.".to_owned(),
        Denial::Malformed => {
            "The value cannot be a key: it is too short or too long, or has characters that no key has.".to_owned()
        }
        Denial::Unknown | Denial::TooManyWrongKeys { .. } if findings.has_wrong_checksum => {
            "No key that you can see has this value. Its checksum is wrong: it was probably mistyped or cut off."
                .to_owned()
        }
        Denial::Unknown | Denial::TooManyWrongKeys { .. } => {
            "No key that you can see has this value: it was mistyped, rotated or never created.".to_owned()
        }
        Denial::Inactive => match facts {
            Some(KeyFacts { status: Status::Active, value_until: Some(until), .. }) => {
                format!("The key has another value since it was rotated; this one was accepted until {until}.")
            }
            Some(_) | None => "The key is revoked.".to_owned(),
        },
        Denial::Expired => match facts.and_then(|facts| facts.expires_at) {
            Some(at) => format!("The key expired at {at}."),
            None => "The key has expired.".to_owned(),
        },
        Denial::ProjectInactive => "The project of the key is deleted.".to_owned(),
        Denial::ForeignProject => "The key belongs to another project than the one that the route lists.".to_owned(),
        Denial::WrongEnv => "The route accepts keys of another environment only.".to_owned(),
        Denial::MissingPermission => "The key lacks a permission that the route requires.".to_owned(),
        Denial::AddressNotAllowed => format!(
            "The key may only be used from {}, and the request comes from none of them, or from an unknown address.",
            facts.map(|facts| joined(&facts.allowed_ips)).unwrap_or_default()
        ),
        Denial::OriginNotAllowed => format!(
            "The key may only be used on pages of {}, and the request has the origin of none of them, or no origin.",
            facts.map(|facts| joined(&facts.allowed_domains)).unwrap_or_default()
        ),
        Denial::RateLimited | Denial::QuotaExceeded(_) => "A limit of the key is used up.".to_owned(),
    }
}

/// Returns the step of a check that comes before the decisive one, or that decides nothing here.
fn undecisive_step(check: Check, findings: &Findings) -> Step {
    let (result, sentence) = match (check, &findings.key) {
        (Check::Request, _) => {
            let path = findings.path.as_deref().unwrap_or("/");
            (CheckResult::Passed, format!("The request is valid; its path is {path}."))
        }
        (Check::Route, _) => {
            let sentence =
                "Only gateways know their routes. A request without a route gets 404, with another method 405.";
            (CheckResult::NotChecked, sentence.to_owned())
        }
        (Check::Credential, _) => (CheckResult::Passed, "The value can be a key.".to_owned()),
        (_, Some((facts, first_used_at))) => key_step(check, facts, *first_used_at, findings.project.as_ref()),
        // Without a key, one of the checks above has decided.
        (_, None) => (CheckResult::NotChecked, "There is no key to check.".to_owned()),
    };
    Step { check, result, sentence }
}

fn key_step(
    check: Check,
    facts: &KeyFacts,
    first_used_at: Option<Timestamp>,
    project: Option<&ProjectId>,
) -> (CheckResult, String) {
    let passed = |sentence: String| (CheckResult::Passed, sentence);
    let not_checked = |sentence: &str| (CheckResult::NotChecked, sentence.to_owned());
    match check {
        Check::Request | Check::Route | Check::Credential | Check::Key => {
            passed(format!("The value belongs to {}.", facts.key))
        }
        Check::Revocation => passed(match facts.value_until {
            Some(until) => format!("The key is not revoked. This value was replaced, and is accepted until {until}."),
            None => "The key is not revoked.".to_owned(),
        }),
        Check::Expiry => passed(match facts.expires_at {
            Some(at) => format!("The key expires at {at}."),
            None => "The key does not expire.".to_owned(),
        }),
        Check::Project => passed(format!("The project {} is active.", facts.project)),
        Check::RouteProjects => match project {
            Some(project) => passed(format!("The key belongs to {project}.")),
            None => not_checked("A route may list projects; name one as projectId to check it."),
        },
        Check::Environment => {
            not_checked(&format!("A route may require an environment; this is a {} key.", facts.env.as_str()))
        }
        Check::Permissions if facts.permissions.is_empty() => {
            not_checked("A route may require permissions; this key has none.")
        }
        Check::Permissions => {
            not_checked(&format!("A route may require permissions; this key has {}.", joined(&facts.permissions)))
        }
        Check::Address if facts.allowed_ips.is_empty() => passed("The key may be used from any address.".to_owned()),
        Check::Address => passed(format!("The address is in {}.", joined(&facts.allowed_ips))),
        Check::Origin if facts.allowed_domains.is_empty() => passed("The key may be used on any page.".to_owned()),
        Check::Origin => passed(format!("The origin is a page of {}.", joined(&facts.allowed_domains))),
        Check::Limits => limits_step(facts),
        Check::FirstUse => passed(match first_used_at {
            Some(at) => format!("The key was first used at {at}."),
            None => "The key was never used: this request would be its first use.".to_owned(),
        }),
    }
}

/// Only taking a token shows what is left of a limit, so that is not checked.
fn limits_step(facts: &KeyFacts) -> (CheckResult, String) {
    let rate = facts.rate_limit.map(|rate| format!("{} requests in {} s", rate.limit, rate.window.as_secs()));
    let quota = facts.quota.map(|quota| format!("{} requests a {}", quota.limit, quota.period.as_str()));
    let limits: Vec<String> = rate.into_iter().chain(quota).collect();
    if limits.is_empty() {
        return (CheckResult::Passed, "The key has no limits.".to_owned());
    }
    let limits = limits.join(" and ");
    (CheckResult::NotChecked, format!("The key may send {limits}. What is left of that is not checked."))
}

fn joined(parts: &[impl ToString]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
