//! Accounts, projects and webhooks as JSON.

use std::collections::BTreeMap;

use gatepost_domain::record::{Account, Project, Status, UserSecret, Webhook};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{actor_members, rfc3339};

/// An account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountBody {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it counts.
    pub is_active: bool,
    /// By whom it was made.
    pub created_by: Option<String>,
    /// What `createdBy` is the id of.
    pub created_by_type: Option<String>,
    /// By whom it was last changed.
    pub last_changed_by: Option<String>,
    /// What `lastChangedBy` is the id of.
    pub last_changed_by_type: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

impl From<&Account> for AccountBody {
    fn from(account: &Account) -> Self {
        let (created_by, created_by_type) = actor_members(&account.stamps.created_by);
        let (last_changed_by, last_changed_by_type) = actor_members(&account.stamps.updated_by);
        Self {
            id: account.id.to_string(),
            name: account.name.clone(),
            is_active: account.status == Status::Active,
            created_by,
            created_by_type,
            last_changed_by,
            last_changed_by_type,
            created_at: rfc3339(account.stamps.created_at),
            updated_at: rfc3339(account.stamps.updated_at),
        }
    }
}

/// A project.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectBody {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The account that owns it.
    pub account_id: String,
    /// `live` or `test`, fixed for its life.
    pub env: String,
    /// Whether its keys may be used.
    pub is_active: bool,
    /// By whom it was made.
    pub created_by: Option<String>,
    /// What `createdBy` is the id of.
    pub created_by_type: Option<String>,
    /// By whom it was last changed.
    pub last_changed_by: Option<String>,
    /// What `lastChangedBy` is the id of.
    pub last_changed_by_type: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

impl From<&Project> for ProjectBody {
    fn from(project: &Project) -> Self {
        let (created_by, created_by_type) = actor_members(&project.stamps.created_by);
        let (last_changed_by, last_changed_by_type) = actor_members(&project.stamps.updated_by);
        Self {
            id: project.id.to_string(),
            name: project.name.clone(),
            account_id: project.account.to_string(),
            env: project.env.as_str().to_owned(),
            is_active: project.status == Status::Active,
            created_by,
            created_by_type,
            last_changed_by,
            last_changed_by_type,
            created_at: rfc3339(project.stamps.created_at),
            updated_at: rfc3339(project.stamps.updated_at),
        }
    }
}

/// A webhook.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookBody {
    /// Its id.
    pub id: String,
    /// The account whose events it gets.
    pub account_id: String,
    /// The only project whose events it gets; null for the whole account.
    pub project_id: Option<String>,
    /// Its name.
    pub name: String,
    /// Where events are sent. Viewers see `scheme://host:port/…`.
    pub url: String,
    /// What it asked for.
    pub topics: Vec<String>,
    /// The HTTP method that the receiver wants.
    pub http_method: String,
    /// Headers that the receiver wants. Viewers see `…` in the place of values.
    pub custom_headers: BTreeMap<String, String>,
    /// `live` or `paused`.
    pub status: String,
    /// Always true: a deleted webhook is gone.
    pub is_active: bool,
    /// The signing secret, only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Until when requests are signed with an old secret as well; null if they are not.
    pub old_secret_until: Option<String>,
    /// Whether a static token is sent as `theauthapi-signature`, as the hosted product does.
    pub theauthapi_signature: bool,
    /// That token, only in the answer that set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theauthapi_token: Option<String>,
    /// By whom it was made.
    pub created_by: Option<String>,
    /// What `createdBy` is the id of.
    pub created_by_type: Option<String>,
    /// By whom it was last changed.
    pub last_changed_by: Option<String>,
    /// What `lastChangedBy` is the id of.
    pub last_changed_by_type: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

impl WebhookBody {
    /// The webhook without its secrets, and with the URL and the values of its headers masked.
    pub fn new(webhook: &Webhook) -> Self {
        let (created_by, created_by_type) = actor_members(&webhook.stamps.created_by);
        let (last_changed_by, last_changed_by_type) = actor_members(&webhook.stamps.updated_by);
        Self {
            id: webhook.id.to_string(),
            account_id: webhook.account.to_string(),
            project_id: webhook.project.as_ref().map(ToString::to_string),
            name: webhook.name.clone(),
            url: webhook.url.masked.clone(),
            topics: webhook.topics.iter().map(|topic| topic.as_str().to_owned()).collect(),
            http_method: webhook.method.clone(),
            custom_headers: webhook.custom_headers.iter().map(|(name, _)| (name.clone(), masked_value())).collect(),
            status: webhook.status.as_str().to_owned(),
            is_active: true,
            secret: None,
            old_secret_until: webhook.old_secrets.first().map(|old| rfc3339(old.until)),
            theauthapi_signature: webhook.static_token.is_some(),
            theauthapi_token: None,
            created_by,
            created_by_type,
            last_changed_by,
            last_changed_by_type,
            created_at: rfc3339(webhook.stamps.created_at),
            updated_at: rfc3339(webhook.stamps.updated_at),
        }
    }
}

fn masked_value() -> String {
    UserSecret::MASK.to_owned()
}
