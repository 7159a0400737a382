//! Entries of `gateway.pass_headers`: identity headers that trusted proxies may pass.

use std::fmt;

use gatepost_domain::header_name::is_normalized;

use crate::header_rules::{self, HeaderCategory, StripMode};

/// Name or prefix of identity headers that trusted proxies may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassHeader(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Prefix(String),
}

/// An entry that `gateway.pass_headers` cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not the name of an identity header, such as \"remote-user\" or \"x-auth-request-*\"")]
pub struct ParsePassHeaderError {
    name: String,
}

impl PassHeader {
    /// Parses a name, or a prefix of names followed by `*`, in any case.
    ///
    /// # Errors
    /// If the name is not one of the identity headers that are removed by default, in the same spelling.
    pub fn parse(text: &str) -> Result<Self, ParsePassHeaderError> {
        let name = text.to_ascii_lowercase();
        let is_identity =
            |name: &str| header_rules::category(name, StripMode::Default) == Some(HeaderCategory::Identity);
        let pattern = match name.strip_suffix('*') {
            Some(prefix) if is_normalized(prefix) && header_rules::covers_prefix(prefix, HeaderCategory::Identity) => {
                Pattern::Prefix(prefix.to_owned())
            }
            None if is_normalized(&name) && is_identity(&name) => Pattern::Exact(name),
            Some(_) | None => return Err(ParsePassHeaderError { name: text.to_owned() }),
        };
        Ok(Self(pattern))
    }

    /// Returns whether a name is the listed one in its exact spelling. A client may have sent another spelling through
    /// a proxy that sets the listed one itself.
    pub(crate) fn matches(&self, name: &str) -> bool {
        match &self.0 {
            Pattern::Exact(whole) => name == whole,
            Pattern::Prefix(prefix) => name.starts_with(prefix) && is_normalized(name),
        }
    }
}

impl fmt::Display for PassHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Exact(whole) => f.write_str(whole),
            Pattern::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_identity_headers_parse() {
        for name in ["remote-user", "Remote-User", "x-auth-request-user", "x-forwarded-client-cert"] {
            assert_eq!(PassHeader::parse(name).map(|passed| passed.to_string()), Ok(name.to_ascii_lowercase()));
        }
        for prefix in ["x-auth-request-*", "X-Auth-Request-Access-*", "x-ms-client-principal*"] {
            assert_eq!(PassHeader::parse(prefix).map(|passed| passed.to_string()), Ok(prefix.to_ascii_lowercase()));
        }
        let wrong = ["", "*", "x-*", "x-auth*", "remote-user*", "remote_user", "x-gatepost-env", "x-real-ip", "cookie"];
        for name in wrong.into_iter().chain(["x-forwarded-for", "proxy", "x-forwarded-*", "x_auth-request-*"]) {
            assert!(PassHeader::parse(name).is_err(), "{name}");
        }
    }
}
