//! Explanation of a decision: what a gateway would do with a request and why, without a use of the key.

mod decision;
mod steps;

use std::net::IpAddr;

use gatepost_domain::denial::Denial;
use gatepost_domain::id::ProjectId;
use gatepost_domain::key::{self, ChecksumPolicy, Secret};
use gatepost_domain::key_facts::{KeyFacts, Tenancy};
use gatepost_domain::permit::{self, EnvRule, RequestFacts, Requirement};
use gatepost_domain::time::Timestamp;
use gatepost_edge::{DescribedDestination, DescribedRequest};
use gatepost_store::{FoundKey, Recovery};

pub use decision::{Check, CheckResult, ExplainedOutcome, Explanation, RefusalReason, Step};
use steps::{Findings, steps};

use crate::caller::Visibility;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

/// A request as somebody describes it.
#[derive(Debug, Default)]
pub struct ExplainRequest {
    /// The value that the request presents; absent for a request without one.
    pub key: Option<Secret>,
    /// `GET` if absent.
    pub method: Option<String>,
    /// With its query, if it has one; `/` if absent.
    pub path: Option<String>,
    pub host: Option<String>,
    /// The origin or the referrer of the page that sends the request.
    pub origin: Option<String>,
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// The project that the route lists. Routes are known to gateways only, so without it, any project is accepted.
    pub project: Option<String>,
}

impl ControlPlane {
    /// Explains what a gateway that is live would do with a request. Claims no first use, takes no token of a limit and
    /// counts nothing. A key that the caller does not see is as unknown as one that does not exist.
    ///
    /// # Errors
    /// `not-found` if the caller does not see the project; `store-unavailable` while a store that recovers may have lost
    /// the key.
    pub async fn explain(&self, context: &RequestContext, request: &ExplainRequest) -> Result<Explanation> {
        let project = match request.project.as_deref() {
            Some(named) => Some(self.project(context, named).await?.record.id),
            None => None,
        };
        let described = DescribedRequest {
            method: request.method.as_deref().unwrap_or("GET"),
            target: request.path.as_deref().unwrap_or("/"),
            host: request.host.as_deref(),
        };
        let path = match described.validate() {
            Ok(DescribedDestination::Upstream(path)) => path,
            Ok(DescribedDestination::Gateway) => {
                return Ok(without_key(ExplainedOutcome::AnsweredByGateway, &Findings::default()));
            }
            Err(code) => {
                let outcome = ExplainedOutcome::Refused(code, RefusalReason::InvalidRequest(code));
                return Ok(without_key(outcome, &Findings::default()));
            }
        };
        let findings = Findings { path: Some(path), project: project.clone(), ..Findings::default() };
        let Some(value) = &request.key else { return Ok(without_key(Denial::Missing.into(), &findings)) };
        if key::check_api_key(value.expose(), ChecksumPolicy::Lenient).is_err() {
            return Ok(without_key(Denial::Malformed.into(), &findings));
        }
        let Some(found) = self.find_visible(context, value).await? else {
            let has_wrong_checksum = key::check_api_key(value.expose(), ChecksumPolicy::Strict).is_err();
            return Ok(without_key(Denial::Unknown.into(), &Findings { has_wrong_checksum, ..findings }));
        };
        Ok(explain_found(found, request, project, findings, self.now()))
    }

    async fn find_visible(&self, context: &RequestContext, value: &Secret) -> Result<Option<FoundKey>> {
        let digest = self.store.envelope().digest(value.expose());
        let cell = self.store.home_of_digest(&digest);
        let found = cell.lookup(&digest).await?.found;
        if found.is_none() && cell.recovery() == Recovery::InProgress {
            return Err(Failure::store_recovering());
        }
        let is_visible = |facts: &KeyFacts| context.caller.visibility(&facts.account, &facts.project);
        Ok(found.filter(|found| is_visible(&found.facts) == Visibility::Visible))
    }
}

/// Explains the decision about a request without a key, or without one that is known.
fn without_key(outcome: ExplainedOutcome, findings: &Findings) -> Explanation {
    Explanation { outcome, key: None, steps: steps(outcome, findings) }
}

fn explain_found(
    found: FoundKey,
    request: &ExplainRequest,
    project: Option<ProjectId>,
    findings: Findings,
    now: Timestamp,
) -> Explanation {
    // The tenant is checked by what the caller sees, unless the request names the project of its route.
    let facts = KeyFacts { tenancy: Tenancy::Single, ..found.facts };
    let projects = project.into_iter().collect();
    let requirement = Requirement { projects, env: EnvRule::Any, permissions: Vec::new() };
    let request_facts = RequestFacts { client: request.address, origin: request.origin.as_deref() };
    let outcome = match permit::decide(&facts, &requirement, &request_facts, now) {
        Ok(_) => ExplainedOutcome::Forwarded,
        Err(denial) => denial.into(),
    };
    let key = Some(facts.key.clone());
    let findings = Findings { key: Some((facts, found.first_used_at)), ..findings };
    Explanation { outcome, key, steps: steps(outcome, &findings) }
}
