//! Bodies of requests, from the options of the command line.

use serde_json::{Map, Value, json};

use crate::cli::{KeyMemberOptions, RateLimitFlag};

/// Body of a request that sets the members that were named. An empty text removes a member.
#[derive(Debug, Default)]
pub(super) struct Body(Map<String, Value>);

impl Body {
    pub(super) fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Adds a text that an empty one removes.
    fn with_text(self, name: &str, text: Option<&str>) -> Self {
        self.with(name, text.map(|text| if text.is_empty() { Value::Null } else { Value::from(text) }))
    }

    /// Adds a list, from one text with commas.
    fn with_list(self, name: &str, text: Option<&str>) -> Self {
        self.with(name, text.map(split_at_commas))
    }

    pub(super) fn with_key_members(self, members: &KeyMemberOptions) -> Self {
        let rate_limit = members.rate_limit.map(|flag| match flag {
            RateLimitFlag::None => Value::Null,
            RateLimitFlag::Requests { limit, window } => json!({"rateLimit": limit, "rateLimitTtl": window.as_secs()}),
        });
        self.with_text("expiry", members.expiry.as_deref())
            .with_text("customAccountId", members.custom_account_id.as_deref())
            .with_text("customUserId", members.custom_user_id.as_deref())
            .with("rateLimitConfigs", rate_limit)
            .with_list("permissions", members.permissions.as_deref())
            .with_list("allowedIps", members.allowed_ips.as_deref())
            .with_list("allowedDomains", members.allowed_domains.as_deref())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

fn split_at_commas(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}
