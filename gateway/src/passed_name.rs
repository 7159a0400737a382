//! Names of identity headers that trusted proxies may pass, as `gateway.pass_headers` lists them.

use std::fmt;

use gatepost_domain::header_name::is_folded;

use crate::listed::{self, Kind, Strip};

/// An identity name of the list, or all that begin so, which trusted proxies may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedName(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Whole(String),
    Prefix(String),
}

/// A name that cannot stand in `gateway.pass_headers`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not the name of an identity header, such as \"remote-user\" or \"x-auth-request-*\"")]
pub struct NotAnIdentityName {
    name: String,
}

impl PassedName {
    /// Parses a name, or the beginning of names with a `*` after it, in any case.
    ///
    /// # Errors
    /// If it does not name headers that are taken away as identities, or not as they are spelled there.
    pub fn parse(text: &str) -> Result<Self, NotAnIdentityName> {
        let name = text.to_ascii_lowercase();
        let is_identity = |name: &str| listed::kind(name, Strip::Default) == Some(Kind::Identity);
        let pattern = match name.strip_suffix('*') {
            Some(prefix) if is_folded(prefix) && listed::covers_prefix(prefix, Kind::Identity) => {
                Pattern::Prefix(prefix.to_owned())
            }
            None if is_folded(&name) && is_identity(&name) => Pattern::Whole(name),
            Some(_) | None => return Err(NotAnIdentityName { name: text.to_owned() }),
        };
        Ok(Self(pattern))
    }

    /// Exactly: what only folds to it may come from a client, through a proxy that sets the name itself.
    pub(crate) fn is(&self, name: &str) -> bool {
        match &self.0 {
            Pattern::Whole(whole) => name == whole,
            Pattern::Prefix(prefix) => name.starts_with(prefix) && is_folded(name),
        }
    }
}

impl fmt::Display for PassedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Whole(whole) => f.write_str(whole),
            Pattern::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_identities_may_be_passed_and_only_as_they_are_listed() {
        for name in ["remote-user", "Remote-User", "x-auth-request-user", "x-forwarded-client-cert"] {
            assert_eq!(PassedName::parse(name).map(|passed| passed.to_string()), Ok(name.to_ascii_lowercase()));
        }
        for prefix in ["x-auth-request-*", "X-Auth-Request-Access-*", "x-ms-client-principal*"] {
            assert_eq!(PassedName::parse(prefix).map(|passed| passed.to_string()), Ok(prefix.to_ascii_lowercase()));
        }
        let wrong = ["", "*", "x-*", "x-auth*", "remote-user*", "remote_user", "x-gatepost-env", "x-real-ip", "cookie"];
        for name in wrong.into_iter().chain(["x-forwarded-for", "proxy", "x-forwarded-*", "x_auth-request-*"]) {
            assert!(PassedName::parse(name).is_err(), "{name}");
        }
    }
}
