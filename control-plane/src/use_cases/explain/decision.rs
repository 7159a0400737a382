//! Explanations: an outcome, and the checks that led to it.

use gatepost_domain::denial::Denial;
use gatepost_domain::id::KeyId;
use gatepost_domain::problem::ErrorCode;

/// What a gateway would do with a request, and why.
#[derive(Debug)]
pub struct Explanation {
    pub outcome: ExplainedOutcome,
    /// The key, if the caller sees one with this value.
    pub key: Option<KeyId>,
    /// Every check, in the order of the gateway.
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainedOutcome {
    /// The request goes upstream, unless a route or a limit refuses it.
    Forwarded,
    /// The gateway itself responds, with or without a key.
    AnsweredByGateway,
    /// The client gets this error.
    Refused(ErrorCode, RefusalReason),
}

/// Cause of a refusal, which clients do not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    InvalidRequest(ErrorCode),
    Denied(Denial),
}

impl RefusalReason {
    /// Returns the name that the access log has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalReason::InvalidRequest(code) => code.code(),
            RefusalReason::Denied(denial) => denial.as_str(),
        }
    }
}

impl From<Denial> for ExplainedOutcome {
    fn from(denial: Denial) -> Self {
        ExplainedOutcome::Refused(denial.code(), RefusalReason::Denied(denial))
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub check: Check,
    pub result: CheckResult,
    /// For people.
    pub sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    Passed,
    Refused,
    /// An earlier check has decided, or only a gateway can check it.
    NotChecked,
}

/// The checks of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The form of the request.
    Request,
    Route,
    /// The form of the value.
    Credential,
    /// Whether a key has the value.
    Key,
    Revocation,
    Expiry,
    Project,
    /// The projects that the route lists.
    RouteProjects,
    Environment,
    Permissions,
    Address,
    Origin,
    Limits,
    FirstUse,
}

impl Check {
    /// All checks, in the order of the gateway.
    pub const ALL: [Check; 14] = [
        Check::Request,
        Check::Route,
        Check::Credential,
        Check::Key,
        Check::Revocation,
        Check::Expiry,
        Check::Project,
        Check::RouteProjects,
        Check::Environment,
        Check::Permissions,
        Check::Address,
        Check::Origin,
        Check::Limits,
        Check::FirstUse,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Check::Request => "request",
            Check::Route => "route",
            Check::Credential => "credential",
            Check::Key => "key",
            Check::Revocation => "revocation",
            Check::Expiry => "expiry",
            Check::Project => "project",
            Check::RouteProjects => "routeProjects",
            Check::Environment => "environment",
            Check::Permissions => "permissions",
            Check::Address => "address",
            Check::Origin => "origin",
            Check::Limits => "limits",
            Check::FirstUse => "firstUse",
        }
    }

    /// Returns the check that refuses with a denial.
    pub(super) fn of(denial: Denial) -> Self {
        match denial {
            Denial::Missing | Denial::Ambiguous | Denial::Malformed => Check::Credential,
            Denial::Unknown | Denial::TooManyWrongKeys { .. } => Check::Key,
            Denial::Inactive => Check::Revocation,
            Denial::Expired => Check::Expiry,
            Denial::ProjectInactive => Check::Project,
            Denial::ForeignProject => Check::RouteProjects,
            Denial::WrongEnv => Check::Environment,
            Denial::MissingPermission => Check::Permissions,
            Denial::AddressNotAllowed => Check::Address,
            Denial::OriginNotAllowed => Check::Origin,
            Denial::RateLimited | Denial::QuotaExceeded(_) => Check::Limits,
        }
    }
}
