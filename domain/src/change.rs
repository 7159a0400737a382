//! Changes: the immutable records of every write, and the subset of them that webhooks can subscribe to.

use crate::digest::Digest;
use crate::id::ProjectId;

macro_rules! string_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// All variants, in declaration order.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// Returns the name used in the API, in events and in stored records.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }

            /// Parses a name as written by [`as_str`](Self::as_str).
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }
    };
}

string_enum! {
    /// Event names that webhooks can subscribe to.
    Topic {
        /// A key was created.
        ApiKeyCreated = "api-key.created",
        /// A key was revoked.
        ApiKeyDeleted = "api-key.deleted",
        /// A key was changed, renamed, rotated or reactivated.
        ApiKeyUpdated = "api-key.updated",
        /// A key was used for the first time.
        ApiKeyFirstUsed = "api-key.firstUsed",
        /// An access key was created.
        AccessKeyCreated = "access-key.created",
        /// An access key was changed.
        AccessKeyUpdated = "access-key.updated",
        /// An access key was revoked.
        AccessKeyDeleted = "access-key.deleted",
        /// A project was changed.
        ProjectUpdated = "project.updated",
        /// The attempts of another webhook fail.
        WebhookFailing = "webhook.failing",
        /// Another webhook was paused because its attempts failed for too long or its receiver responded with 410.
        WebhookDisabled = "webhook.disabled",
    }
}

string_enum! {
    /// Kind of write that a change records.
    Action {
        /// An account was created.
        AccountCreated = "account.created",
        /// An account was changed.
        AccountUpdated = "account.updated",
        /// An account was deactivated, after all its projects.
        AccountDeleted = "account.deleted",
        /// A project was created.
        ProjectCreated = "project.created",
        /// A project was changed.
        ProjectUpdated = "project.updated",
        /// A project was deactivated, and its keys with it.
        ProjectDeleted = "project.deleted",
        /// A key was created.
        ApiKeyCreated = "api-key.created",
        /// A key was imported without notifying webhooks.
        ApiKeyImported = "api-key.imported",
        /// A revoked key was removed permanently.
        ApiKeyPurged = "api-key.purged",
        /// A key was changed.
        ApiKeyUpdated = "api-key.updated",
        /// A key was revoked.
        ApiKeyDeleted = "api-key.deleted",
        /// A key was used for the first time.
        ApiKeyFirstUsed = "api-key.firstUsed",
        /// An access key was created.
        AccessKeyCreated = "access-key.created",
        /// An access key was changed.
        AccessKeyUpdated = "access-key.updated",
        /// An access key was revoked.
        AccessKeyDeleted = "access-key.deleted",
        /// A revoked access key was removed permanently.
        AccessKeyPurged = "access-key.purged",
        /// A webhook was created.
        WebhookCreated = "webhook.created",
        /// A webhook was changed.
        WebhookUpdated = "webhook.updated",
        /// A webhook was removed.
        WebhookDeleted = "webhook.deleted",
        /// The attempts of a webhook fail.
        WebhookFailing = "webhook.failing",
        /// The attempts of a webhook succeed again.
        WebhookRecovered = "webhook.recovered",
        /// A webhook was paused because its attempts failed for too long or its receiver responded with 410.
        WebhookDisabled = "webhook.disabled",
    }
}

impl Topic {
    /// Returns whether the events are about other webhooks. Stores of the first format have no such events.
    pub fn is_of_webhooks(self) -> bool {
        match self {
            Topic::WebhookFailing | Topic::WebhookDisabled => true,
            Topic::ApiKeyCreated
            | Topic::ApiKeyDeleted
            | Topic::ApiKeyUpdated
            | Topic::ApiKeyFirstUsed
            | Topic::AccessKeyCreated
            | Topic::AccessKeyUpdated
            | Topic::AccessKeyDeleted
            | Topic::ProjectUpdated => false,
        }
    }
}

impl Action {
    /// Returns whether this is the first change of its subject.
    pub fn is_creation(self) -> bool {
        match self {
            Action::AccountCreated
            | Action::ProjectCreated
            | Action::ApiKeyCreated
            | Action::ApiKeyImported
            | Action::AccessKeyCreated
            | Action::WebhookCreated => true,
            Action::AccountUpdated
            | Action::AccountDeleted
            | Action::ProjectUpdated
            | Action::ProjectDeleted
            | Action::ApiKeyPurged
            | Action::ApiKeyUpdated
            | Action::ApiKeyDeleted
            | Action::ApiKeyFirstUsed
            | Action::AccessKeyUpdated
            | Action::AccessKeyDeleted
            | Action::AccessKeyPurged
            | Action::WebhookUpdated
            | Action::WebhookDeleted
            | Action::WebhookFailing
            | Action::WebhookRecovered
            | Action::WebhookDisabled => false,
        }
    }

    /// Returns the topic under which webhooks receive this change, if any. A deleted project has no topic of
    /// its own: webhooks receive it as an updated project with `isActive: false`.
    pub fn topic(self) -> Option<Topic> {
        if self == Action::ProjectDeleted { Some(Topic::ProjectUpdated) } else { Topic::parse(self.as_str()) }
    }
}

/// Cached keys and fetches in flight that a change invalidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalidation {
    /// Nothing that a gateway caches has changed.
    None,
    /// The entries of these key values.
    Digests(Vec<Digest>),
    /// The entries of all keys of this project.
    Project(ProjectId),
    /// All entries.
    All,
}

/// Whether the response to a change waits until every gateway has applied it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// The change may revoke a key, so the response may have to wait for all gateways.
    Fenced,
    /// The change cannot revoke a key, so nothing waits.
    Relaxed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_belongs_to_the_action_of_the_same_name() {
        for topic in Topic::ALL {
            let action = Action::parse(topic.as_str()).unwrap();
            assert_eq!(action.topic(), Some(*topic));
        }
        assert_eq!(Action::ProjectDeleted.topic(), Some(Topic::ProjectUpdated));
        assert_eq!(Action::ProjectCreated.topic(), None);
    }
}
