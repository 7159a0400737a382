//! Webhooks and their secrets.

use super::access_key::Role;
use super::delivery_settings::DeliverySettings;
use super::sealed::{OldSecret, Sealed};
use super::stamps::Stamps;
use super::webhook_health::{Condition, WebhookHealth};
use crate::change::Topic;
use crate::id::{AccountId, ProjectId, WebhookId};
use crate::key::Secret;
use crate::time::Timestamp;

/// A secret set by a user: plaintext until the store writes it, sealed when read back. Records of v0.1.0 hold
/// it in plaintext until `gatepost store upgrade`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserSecret {
    /// As set by the user.
    Plaintext(Secret),
    /// As stored.
    Sealed(Sealed),
}

impl UserSecret {
    /// Replacement for the value of a custom header. No header value equals it because it is not ASCII.
    pub const MASK: &str = "…";

    /// Wraps a plaintext secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Plaintext(Secret::new(text.into()))
    }

    /// Returns the placeholder for copies of a record without secrets, such as those in the stream.
    pub fn omitted() -> Self {
        Self::Sealed(Sealed(Vec::new()))
    }
}

/// URL of a webhook. It is treated as a secret because people put credentials into paths, queries and user
/// information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    /// Part that may be shown: `scheme://host:port/…`.
    pub masked: String,
    /// The full URL.
    pub full: UserSecret,
}

impl WebhookUrl {
    /// Last character of every masked URL.
    pub const MASK: char = '…';

    /// Creates the masked and the full form from a URL that was already parsed and normalized.
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

/// Whether a webhook receives events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookStatus {
    /// Events are sent.
    Live,
    /// Nothing is sent.
    Paused,
}

impl WebhookStatus {
    /// Returns the name used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            WebhookStatus::Live => "live",
            WebhookStatus::Paused => "paused",
        }
    }

    /// Parses the output of [`WebhookStatus::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [WebhookStatus::Live, WebhookStatus::Paused].into_iter().find(|s| s.as_str() == text)
    }
}

/// What people see of a webhook: its status, and the health of its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookState {
    /// Events are sent.
    Live,
    /// Events are sent, but the attempts fail.
    Failing,
    /// Nothing is sent, because someone paused the webhook.
    Paused,
    /// Nothing is sent, because the receiver failed for too long or responded with 410.
    Disabled,
}

impl WebhookState {
    /// Returns the name used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            WebhookState::Live => "live",
            WebhookState::Failing => "failing",
            WebhookState::Paused => "paused",
            WebhookState::Disabled => "disabled",
        }
    }
}

/// A subscription to events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Id of the webhook.
    pub id: WebhookId,
    /// Account whose events it receives.
    pub account: AccountId,
    /// The only project whose events it receives. `None` for the whole account.
    pub project: Option<ProjectId>,
    /// Display name.
    pub name: String,
    /// Receiver of the events.
    pub url: WebhookUrl,
    /// Topics that it subscribes to.
    pub topics: Vec<Topic>,
    /// HTTP method of the requests.
    pub method: String,
    /// Additional headers of the requests, by name. Values are secrets: people put credentials into them.
    pub custom_headers: Vec<(String, UserSecret)>,
    /// Whether events are sent.
    pub status: WebhookStatus,
    /// Time at which the webhook was last paused or resumed. `None` if its status has never changed.
    pub status_changed_at: Option<Timestamp>,
    /// Role of the access key that set the URL. Only webhooks whose URL an admin set receive key values.
    pub url_set_by: Role,
    /// The signing secret, sealed and bound to the webhook's id.
    pub secret: Sealed,
    /// Replaced signing secrets, the latest first.
    pub old_secrets: Vec<OldSecret>,
    /// Token sent as `theauthapi-signature`, sealed, for receivers of the hosted product. `None` if the header
    /// is not sent.
    pub static_token: Option<Sealed>,
    /// How its deliveries are made.
    pub delivery: DeliverySettings,
    /// Health of its receiver.
    pub health: WebhookHealth,
    /// Creation and last update.
    pub stamps: Stamps,
}

impl Webhook {
    /// Returns its state.
    pub fn state(&self) -> WebhookState {
        match (self.status, self.health.condition) {
            (WebhookStatus::Live, Condition::Working | Condition::Disabled) => WebhookState::Live,
            (WebhookStatus::Live, Condition::Failing) => WebhookState::Failing,
            (WebhookStatus::Paused, Condition::Working | Condition::Failing) => WebhookState::Paused,
            (WebhookStatus::Paused, Condition::Disabled) => WebhookState::Disabled,
        }
    }

    /// Returns why it is failing or disabled, for people.
    pub fn state_reason(&self) -> Option<&str> {
        match self.state() {
            WebhookState::Failing | WebhookState::Disabled => self.health.reason.as_deref(),
            WebhookState::Live | WebhookState::Paused => None,
        }
    }

    /// Returns the time since which it has been in its state.
    pub fn state_since(&self) -> Timestamp {
        let changes = [self.status_changed_at, self.health.changed_at];
        changes.into_iter().flatten().max().unwrap_or(self.stamps.created_at)
    }

    /// Returns the webhook after a change of its receiver's condition at `now`. A disabled one is paused.
    pub fn with_condition(&self, condition: Condition, reason: Option<String>, now: Timestamp) -> Self {
        let mut webhook = self.clone();
        webhook.health = self.health.changed_to(condition, reason, now);
        if condition == Condition::Disabled && self.status == WebhookStatus::Live {
            webhook.status = WebhookStatus::Paused;
            webhook.status_changed_at = Some(now);
        }
        webhook
    }

    /// Returns the webhook after someone set its status at `now`. A disabled one that becomes live gets a fresh start.
    pub fn with_status(&self, status: WebhookStatus, now: Timestamp) -> Self {
        let mut webhook = self.clone();
        if status == self.status {
            return webhook;
        }
        webhook.status = status;
        webhook.status_changed_at = Some(now);
        if self.health.condition == Condition::Disabled {
            webhook.health = self.health.changed_to(Condition::Working, None, now);
        }
        webhook
    }

    /// Returns the time until which requests are also signed with a replaced secret. `None` if none signs any more.
    pub fn old_secrets_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.old_secrets.iter().map(|old| old.until).filter(|until| now < *until).max()
    }
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
