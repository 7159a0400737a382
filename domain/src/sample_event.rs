//! Sample events, with which receivers of webhooks are tested: one for each topic, about records that do not exist.

use std::time::Duration;

use crate::change::{Action, Topic};
use crate::digest::Digest;
use crate::id::{AccessKeyId, AccountId, EventId, KeyId, ProjectId, WebhookId};
use crate::key::{self, Env};
use crate::record::{
    AccessKey, Actor, ApiKey, Condition, CreationContext, DeliverySettings, Metadata, Project, RateLimit, Record, Role,
    Sealed, Stamps, Status, UserSecret, Webhook, WebhookHealth, WebhookStatus, WebhookUrl,
};
use crate::shown_key::ShownKey;
use crate::time::Timestamp;
use crate::window::Generations;

/// Values of the sample keys. No store has them.
const SAMPLE_API_KEY: &str = "live_00SaSampleSampleSampleSampleSampleSampleSampleSampleSampleSample";
const SAMPLE_ACCESS_KEY: &str = "live_access_00SaSampleSampleSampleSampleSampleSampleSampleSampleSampleSample";

/// Age of the records of a sample.
const AGE: Duration = Duration::from_secs(24 * 3600);

/// A sample of an event. Its records name themselves samples, and their values do not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleEvent {
    /// Event id, a new one for each sample.
    pub id: EventId,
    /// Topic of the event.
    pub topic: Topic,
    /// Time of the event.
    pub at: Timestamp,
    /// Account of the records.
    pub account: AccountId,
    /// Project of the records. If there is none, that of a key is a sample too.
    pub project: Option<ProjectId>,
    /// What the receiver sees of the value of a new key.
    pub shown_key: ShownKey,
}

impl SampleEvent {
    /// Returns a sample whose account is a sample too, for receivers that no account knows of. They see no values.
    pub fn without_account(id: EventId, topic: Topic, at: Timestamp) -> Self {
        let account = sample_id(AccountId::parse("acc_00SampleSampleSampleSamp"));
        Self { id, topic, at, account, project: None, shown_key: ShownKey::Id }
    }

    /// Returns the value of the key that the change created, if it created one.
    pub fn new_value(&self) -> Option<&'static str> {
        match self.topic {
            Topic::ApiKeyCreated => Some(SAMPLE_API_KEY),
            Topic::AccessKeyCreated => Some(SAMPLE_ACCESS_KEY),
            Topic::ApiKeyDeleted
            | Topic::ApiKeyUpdated
            | Topic::ApiKeyFirstUsed
            | Topic::AccessKeyUpdated
            | Topic::AccessKeyDeleted
            | Topic::ProjectUpdated
            | Topic::WebhookFailing
            | Topic::WebhookDisabled => None,
        }
    }

    /// Returns the action that has the topic.
    pub fn action(&self) -> Action {
        match self.topic {
            Topic::ApiKeyCreated => Action::ApiKeyCreated,
            Topic::ApiKeyDeleted => Action::ApiKeyDeleted,
            Topic::ApiKeyUpdated => Action::ApiKeyUpdated,
            Topic::ApiKeyFirstUsed => Action::ApiKeyFirstUsed,
            Topic::AccessKeyCreated => Action::AccessKeyCreated,
            Topic::AccessKeyUpdated => Action::AccessKeyUpdated,
            Topic::AccessKeyDeleted => Action::AccessKeyDeleted,
            Topic::ProjectUpdated => Action::ProjectUpdated,
            Topic::WebhookFailing => Action::WebhookFailing,
            Topic::WebhookDisabled => Action::WebhookDisabled,
        }
    }

    /// Returns the record after the change.
    pub fn record(&self) -> Record {
        match self.topic {
            Topic::ApiKeyCreated | Topic::ApiKeyDeleted | Topic::ApiKeyUpdated | Topic::ApiKeyFirstUsed => {
                Record::ApiKey(self.api_key())
            }
            Topic::AccessKeyCreated | Topic::AccessKeyUpdated | Topic::AccessKeyDeleted => {
                Record::AccessKey(self.access_key())
            }
            Topic::ProjectUpdated => Record::Project(self.project_record()),
            Topic::WebhookFailing | Topic::WebhookDisabled => Record::Webhook(self.webhook()),
        }
    }

    /// Returns the project of the record. An access key or a webhook of a whole account has none.
    pub fn record_project(&self) -> Option<ProjectId> {
        match self.topic {
            Topic::AccessKeyCreated
            | Topic::AccessKeyUpdated
            | Topic::AccessKeyDeleted
            | Topic::WebhookFailing
            | Topic::WebhookDisabled => self.project.clone(),
            Topic::ApiKeyCreated
            | Topic::ApiKeyDeleted
            | Topic::ApiKeyUpdated
            | Topic::ApiKeyFirstUsed
            | Topic::ProjectUpdated => Some(self.project_id()),
        }
    }

    fn api_key(&self) -> ApiKey {
        ApiKey {
            id: sample_id(KeyId::parse("key_00SampleSampleSampleSamp")),
            account: self.account.clone(),
            project: self.project_id(),
            env: Env::Live,
            name: "Sample key".to_owned(),
            custom_account_id: Some("sample-customer".to_owned()),
            custom_user_id: Some("sample-user@example.com".to_owned()),
            metadata: Metadata(r#"{"sample":true}"#.to_owned()),
            expires_at: None,
            rate_limit: Some(RateLimit { limit: 100, window: Duration::from_secs(60) }),
            quota: None,
            generations: Generations::default(),
            permissions: vec!["read".to_owned()],
            allowed_domains: Vec::new(),
            allowed_ips: Vec::new(),
            status: self.status(),
            mask: key::mask(SAMPLE_API_KEY),
            digests: Vec::new(),
            creation_context: CreationContext::default(),
            stamps: self.stamps(),
        }
    }

    fn access_key(&self) -> AccessKey {
        AccessKey {
            id: sample_id(AccessKeyId::parse("ak_00SampleSampleSampleKey")),
            account: self.account.clone(),
            project: self.project.clone(),
            role: Role::User,
            name: "Sample access key".to_owned(),
            status: self.status(),
            mask: key::mask(SAMPLE_ACCESS_KEY),
            digest: Digest::from_bytes([0; 32]),
            expires_at: None,
            stamps: self.stamps(),
        }
    }

    fn project_record(&self) -> Project {
        Project {
            id: self.project_id(),
            account: self.account.clone(),
            name: "Sample project".to_owned(),
            env: Env::Live,
            status: self.status(),
            stamps: self.stamps(),
        }
    }

    /// Returns another webhook, in the state that the topic names.
    fn webhook(&self) -> Webhook {
        let working = Webhook {
            id: sample_id(WebhookId::parse("wh_00SampleSampleSampleSamp")),
            account: self.account.clone(),
            project: self.project.clone(),
            name: "Sample webhook".to_owned(),
            url: WebhookUrl { masked: "https://example.com/…".to_owned(), full: UserSecret::omitted() },
            topics: vec![Topic::ApiKeyCreated],
            method: "POST".to_owned(),
            custom_headers: Vec::new(),
            status: WebhookStatus::Live,
            status_changed_at: None,
            url_set_by: Role::User,
            secret: Sealed(Vec::new()),
            old_secrets: Vec::new(),
            static_token: None,
            delivery: DeliverySettings::default(),
            health: WebhookHealth::default(),
            stamps: self.stamps(),
        };
        let (condition, reason) = if self.topic == Topic::WebhookDisabled {
            (Condition::Disabled, "the receiver responded with 410")
        } else {
            let reason = "5 attempts in a row failed in 12 minutes; the last one: the receiver responded with 500";
            (Condition::Failing, reason)
        };
        working.with_condition(condition, Some(reason.to_owned()), self.at)
    }

    fn project_id(&self) -> ProjectId {
        self.project.clone().unwrap_or_else(|| sample_id(ProjectId::parse("prj_00SampleSampleSampleSamp")))
    }

    fn status(&self) -> Status {
        match self.topic {
            Topic::ApiKeyDeleted | Topic::AccessKeyDeleted => Status::Inactive,
            Topic::ApiKeyCreated
            | Topic::ApiKeyUpdated
            | Topic::ApiKeyFirstUsed
            | Topic::AccessKeyCreated
            | Topic::AccessKeyUpdated
            | Topic::ProjectUpdated
            | Topic::WebhookFailing
            | Topic::WebhookDisabled => Status::Active,
        }
    }

    /// Returns the times of the record: a new one was created now, and a first use changes nothing.
    fn stamps(&self) -> Stamps {
        let author = Actor::AccessKey(sample_id(AccessKeyId::parse("ak_00SampleSampleSampleSamp")));
        let created_at = Timestamp::from_ms(self.at.as_ms().saturating_sub(AGE.as_millis() as u64));
        match self.topic {
            Topic::ApiKeyCreated | Topic::AccessKeyCreated => Stamps::new(self.at, author),
            Topic::ApiKeyFirstUsed | Topic::WebhookFailing | Topic::WebhookDisabled => Stamps::new(created_at, author),
            Topic::ApiKeyDeleted
            | Topic::ApiKeyUpdated
            | Topic::AccessKeyUpdated
            | Topic::AccessKeyDeleted
            | Topic::ProjectUpdated => Stamps::new(created_at, author.clone()).updated(self.at, author),
        }
    }
}

/// Returns an id that is written in this file.
fn sample_id<T, E: std::fmt::Debug>(parsed: Result<T, E>) -> T {
    parsed.expect("a sample id has the prefix of its kind, and base 62 digits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::Partition;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn every_topic_has_a_sample_of_its_own_action() {
        let mut rng = StdRng::seed_from_u64(1);
        for topic in Topic::ALL {
            let id = EventId::generate_in(Partition::default(), &mut rng);
            let sample = SampleEvent::without_account(id, *topic, Timestamp::from_ms(1_800_000_000_000));
            assert_eq!(sample.action().topic(), Some(*topic));
            let project = match sample.record() {
                Record::ApiKey(key) => Some(key.project),
                Record::AccessKey(key) => key.project,
                Record::Project(project) => Some(project.id),
                Record::Webhook(webhook) => webhook.project,
                Record::Account(_) => panic!("no topic is about it"),
            };
            assert_eq!(project, sample.record_project());
        }
    }
}
