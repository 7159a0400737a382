//! Classes of routes that require the same of a request.

use std::collections::BTreeSet;

use gatepost_domain::id::ProjectId;
use gatepost_domain::permit::{EnvRule, Requirement};
use http::StatusCode;
use ipnet::IpNet;

use crate::route_options::{Auth, RouteOptions};

/// Number of a class in a table of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequirementClass(usize);

/// The classes of a table, in the order in which they were met.
#[derive(Debug, Default)]
pub(crate) struct RequirementClasses(Vec<Requirements>);

/// All that a route requires, whatever the order in which its configuration says it. A route that responds by itself
/// lets nothing through.
#[derive(Debug, PartialEq, Eq)]
struct Requirements {
    auth: Auth,
    projects: BTreeSet<ProjectId>,
    env: EnvRule,
    permissions: BTreeSet<String>,
    allow: BTreeSet<IpNet>,
    deny: BTreeSet<IpNet>,
    max_body_bytes: Option<u64>,
    respond: Option<StatusCode>,
}

impl RequirementClasses {
    pub(crate) fn class_of(&mut self, route: &RouteOptions) -> RequirementClass {
        let requirements = Requirements::of(route);
        let known = self.0.iter().position(|known| *known == requirements);
        RequirementClass(known.unwrap_or_else(|| {
            self.0.push(requirements);
            self.0.len() - 1
        }))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Requirements {
    fn of(route: &RouteOptions) -> Self {
        let any = Requirement { projects: Vec::new(), env: EnvRule::Any, permissions: Vec::new() };
        // Where keys are not looked at, they need not be any.
        let key = if route.auth == Auth::Off { &any } else { &route.requirement };
        Self {
            auth: route.auth,
            projects: key.projects.iter().cloned().collect(),
            env: key.env,
            permissions: key.permissions.iter().cloned().collect(),
            allow: route.networks.allow.iter().copied().collect(),
            deny: route.networks.deny.iter().copied().collect(),
            max_body_bytes: route.max_body_bytes,
            respond: route.respond,
        }
    }
}
