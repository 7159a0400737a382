//! Webhooks, and the secrets in them.

use crate::change::Topic;
use crate::id::{AccountId, ProjectId, WebhookId};
use crate::key::Secret;
use crate::record::{Role, Stamps};
use crate::time::Timestamp;

/// A secret that only the store's envelope can open.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// A secret that a user gave: in clear until the store writes it, sealed when it was read back. Records of v0.1.0 hold it
/// in clear until `gatepost store upgrade`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserSecret {
    /// As it was given.
    Plaintext(Secret),
    /// As it is stored.
    Sealed(Sealed),
}

impl UserSecret {
    /// What callers see in place of a value that is masked. No header value equals it: it is not ASCII.
    pub const MASK: &str = "…";

    /// A secret as it was given.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Plaintext(Secret::new(text.into()))
    }

    /// What stands in copies of a record that hold no secrets, such as those in the stream.
    pub fn omitted() -> Self {
        Self::Sealed(Sealed(Vec::new()))
    }
}

/// The address of a webhook. People put credentials into paths, queries and user information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    /// What may be shown: `scheme://host:port/…`.
    pub masked: String,
    /// The whole URL.
    pub full: UserSecret,
}

impl WebhookUrl {
    /// The end of every masked URL.
    pub const MASK: char = '…';

    /// An address as it was given, a URL as the parser wrote it.
    pub fn new(full: impl Into<String>) -> Self {
        let full = full.into();
        Self { masked: mask_url(&full), full: UserSecret::new(full) }
    }
}

fn mask_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}/{}", WebhookUrl::MASK)
}

/// A signing secret that was replaced, and until when requests are still signed with it as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSecret {
    /// The secret, sealed and bound to the webhook's id.
    pub secret: Sealed,
    /// The moment from which it is no longer used.
    pub until: Timestamp,
}

/// Whether a webhook gets its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookStatus {
    /// Events are sent.
    Live,
    /// Nothing is sent.
    Paused,
}

impl WebhookStatus {
    /// As it stands in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            WebhookStatus::Live => "live",
            WebhookStatus::Paused => "paused",
        }
    }

    /// Reads what [`WebhookStatus::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [WebhookStatus::Live, WebhookStatus::Paused].into_iter().find(|s| s.as_str() == text)
    }
}

/// A subscription to events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// The account whose events it gets.
    pub account: AccountId,
    /// The only project whose events it gets; absent for the whole account.
    pub project: Option<ProjectId>,
    /// Its name.
    pub name: String,
    /// Where events are sent.
    pub url: WebhookUrl,
    /// What it asked for.
    pub topics: Vec<Topic>,
    /// The HTTP method that the receiver wants.
    pub method: String,
    /// Headers that the receiver wants, by name. Values are secrets: people put credentials into them.
    pub custom_headers: Vec<(String, UserSecret)>,
    /// Whether it gets its events.
    pub status: WebhookStatus,
    /// When it was last paused or went on; absent if it has always been as it is.
    pub status_changed_at: Option<Timestamp>,
    /// The role of the access key that chose where its events go: only an admin's webhook sees keys in clear.
    pub url_set_by: Role,
    /// The signing secret, sealed and bound to the webhook's id.
    pub secret: Sealed,
    /// Secrets that it had before, the latest first.
    pub old_secrets: Vec<OldSecret>,
    /// What is sent as `theauthapi-signature`, sealed, for receivers of the hosted product; absent if nothing is.
    pub static_token: Option<Sealed>,
    /// Who and when.
    pub stamps: Stamps,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_port_of_a_url_are_shown() {
        for (url, shown) in [
            ("https://example.com/hook?token=abc", "https://example.com/…"),
            ("https://example.com/", "https://example.com/…"),
            ("https://example.com", "https://example.com/…"),
            ("https://example.com?token=abc", "https://example.com/…"),
            ("http://127.0.0.1:8080/a/b", "http://127.0.0.1:8080/…"),
            ("https://user:pass@[2001:db8::1]:8443/x@y", "https://[2001:db8::1]:8443/…"),
            ("https://a@b@example.com/", "https://example.com/…"),
        ] {
            assert_eq!(WebhookUrl::new(url).masked, shown);
        }
        assert!(!format!("{:?}", WebhookUrl::new("https://a/secret")).contains("secret"));
    }
}
