//! Why a request is denied, and what its client and the logs see of it.

use crate::problem::ErrorCode;
use crate::window::Period;

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
