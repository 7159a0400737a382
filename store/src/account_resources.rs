//! Resources of accounts that have a limit.

/// Limits that apply to every account. At a limit nothing more can be created; existing records stay, and can be
/// changed and revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountLimits {
    /// API keys, including revoked ones until they are purged.
    pub api_keys: u64,
    /// Projects that are not deleted.
    pub projects: u64,
    /// Access keys that are not revoked.
    pub access_keys: u64,
    /// Bytes of all records of the account; 0 for no limit. Updates of existing records may exceed it by a quarter.
    pub bytes: u64,
}

impl AccountLimits {
    /// The limits that apply unless others are configured.
    pub const DEFAULT: Self = Self { api_keys: 10_000_000, projects: 10_000, access_keys: 10_000, bytes: 0 };

    /// Returns the limit of a resource; `None` if it has none.
    pub(crate) fn limit_of(&self, resource: AccountResource) -> Option<u64> {
        match resource {
            AccountResource::ApiKeys => Some(self.api_keys),
            AccountResource::Projects => Some(self.projects),
            AccountResource::AccessKeys => Some(self.access_keys),
            AccountResource::Bytes => (self.bytes > 0).then_some(self.bytes),
        }
    }
}

/// How much of a resource an account has, and may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceUsage {
    /// The resource.
    pub resource: AccountResource,
    /// How much the account has.
    pub used: u64,
    /// How much it may have; `None` without a limit.
    pub limit: Option<u64>,
}

/// A limited resource of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountResource {
    /// Number of API keys.
    ApiKeys,
    /// Number of projects.
    Projects,
    /// Number of access keys.
    AccessKeys,
    /// Bytes of records.
    Bytes,
}

impl AccountResource {
    /// All resources.
    pub const ALL: [Self; 4] = [Self::ApiKeys, Self::Projects, Self::AccessKeys, Self::Bytes];

    /// Returns the name in the store. For records it is also the prefix of the names of their indexes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKeys => "api-keys",
            Self::Projects => "projects",
            Self::AccessKeys => "access-keys",
            Self::Bytes => "bytes",
        }
    }

    /// Parses a name returned by [`AccountResource::as_str`].
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.as_str() == name)
    }
}
