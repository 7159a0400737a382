//! Changes: the immutable records of every write, and the subset of them that webhooks may ask for.

use crate::digest::Digest;
use crate::id::ProjectId;

macro_rules! string_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// Its name everywhere outside.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }

            /// Reads what `as_str` writes.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }
    };
}

string_enum! {
    /// The names under which webhooks ask for events.
    Topic {
        /// A key was made.
        ApiKeyCreated = "api-key.created",
        /// A key was shut off.
        ApiKeyDeleted = "api-key.deleted",
        /// A key was changed, renamed, rotated or reactivated.
        ApiKeyUpdated = "api-key.updated",
        /// A key was used for the first time.
        ApiKeyFirstUsed = "api-key.firstUsed",
        /// An access key was made.
        AccessKeyCreated = "access-key.created",
        /// An access key was changed.
        AccessKeyUpdated = "access-key.updated",
        /// An access key was shut off.
        AccessKeyDeleted = "access-key.deleted",
        /// A project was changed.
        ProjectUpdated = "project.updated",
    }
}

string_enum! {
    /// What a change did.
    Action {
        /// An account was made.
        AccountCreated = "account.created",
        /// An account was changed.
        AccountUpdated = "account.updated",
        /// An account was shut off, after all its projects.
        AccountDeleted = "account.deleted",
        /// A project was made.
        ProjectCreated = "project.created",
        /// A project was changed.
        ProjectUpdated = "project.updated",
        /// A project and all its keys were shut off.
        ProjectDeleted = "project.deleted",
        /// A key was made.
        ApiKeyCreated = "api-key.created",
        /// A key was brought in from elsewhere, without telling webhooks.
        ApiKeyImported = "api-key.imported",
        /// A key that was shut off was removed for good.
        ApiKeyPurged = "api-key.purged",
        /// A key was changed.
        ApiKeyUpdated = "api-key.updated",
        /// A key was shut off.
        ApiKeyDeleted = "api-key.deleted",
        /// A key was used for the first time.
        ApiKeyFirstUsed = "api-key.firstUsed",
        /// An access key was made.
        AccessKeyCreated = "access-key.created",
        /// An access key was changed.
        AccessKeyUpdated = "access-key.updated",
        /// An access key was shut off.
        AccessKeyDeleted = "access-key.deleted",
        /// An access key that was shut off was removed for good.
        AccessKeyPurged = "access-key.purged",
        /// A webhook was made.
        WebhookCreated = "webhook.created",
        /// A webhook was changed.
        WebhookUpdated = "webhook.updated",
        /// A webhook was removed.
        WebhookDeleted = "webhook.deleted",
    }
}

impl Action {
    /// The topic of the event that this change is, if it is one. There is no topic of its own for a deleted
    /// project: webhooks see it as one that was changed and is no longer active.
    pub fn topic(self) -> Option<Topic> {
        if self == Action::ProjectDeleted { Some(Topic::ProjectUpdated) } else { Topic::parse(self.as_str()) }
    }
}

/// Which cached entries and look-ups a change makes worthless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalidation {
    /// None: nothing that a gateway caches has changed.
    None,
    /// Those of these key values.
    Digests(Vec<Digest>),
    /// Those of this project's keys.
    Project(ProjectId),
    /// All.
    All,
}

/// Whether a change may shut a key off, so that an answer may have to wait for every gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// It may.
    Fenced,
    /// It cannot.
    Relaxed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_the_topic_of_the_action_of_its_name() {
        for topic in Topic::ALL {
            let action = Action::parse(topic.as_str()).unwrap();
            assert_eq!(action.topic(), Some(*topic));
        }
        assert_eq!(Action::ProjectDeleted.topic(), Some(Topic::ProjectUpdated));
        assert_eq!(Action::ProjectCreated.topic(), None);
    }
}
