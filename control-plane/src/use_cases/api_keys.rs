//! API keys.

mod change;
mod fields;
mod listing;
mod rotate;
mod search;

pub(crate) use change::{CommittedKey, KeyChange};
pub(crate) use fields::{FlatLimit, KeyFields, QuotaFields, RateLimitFields};
pub(crate) use listing::{KeyFilter, KeyList, NullableFilter};
pub(crate) use search::SearchRequest;

use gatepost_domain::change::Action;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::KeyId;
use gatepost_domain::key::{self, ChecksumPolicy, Secret};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{Actor, ApiKey, CreationContext, KeyDigest, Metadata, Project, Stamps, Status};
use gatepost_domain::window::Generations;
use gatepost_store::{RecordWrite, Versioned, os_rng};

use super::text;
use crate::ControlPlane;
use crate::caller::{Caller, Visibility};
use crate::commit::{Committed, too_contended};
use crate::failure::{Failure, Result};
use crate::request_context;

/// A key to be made.
#[derive(Default)]
pub(crate) struct NewApiKey {
    pub(crate) project: Option<String>,
    pub(crate) fields: KeyFields,
    pub(crate) context: CreationContext,
}

/// How a path names a key: by its value, which is then echoed, or by its id.
#[derive(Debug, Clone)]
pub(crate) enum KeyRef {
    Value(Secret),
    Id(KeyId),
}

impl KeyRef {
    /// Reads the last part of a path.
    pub(crate) fn parse(text: &str) -> Self {
        match KeyId::parse(text) {
            Ok(id) => KeyRef::Id(id),
            Err(_) => KeyRef::Value(Secret::new(text.to_owned())),
        }
    }

    /// What stands in the answer's `key`.
    pub(crate) fn echoed_key(&self) -> &str {
        match self {
            KeyRef::Value(secret) => secret.expose(),
            KeyRef::Id(id) => id.as_str(),
        }
    }
}

impl ControlPlane {
    /// Makes a key, and answers it with its value: the only time that it is told.
    pub(crate) async fn create_api_key(&self, caller: &Caller, new: NewApiKey) -> Result<(ApiKey, Secret)> {
        caller.require_write()?;
        let project = self.active_project(caller, new.project.as_deref()).await?;
        let secret = chosen_or_generated_value(new.fields.key.clone().into_option().as_deref(), &project)?;
        let (mask, digest) = (key::mask(secret.expose()), self.store.digest(secret.expose()));
        let key = self.build_key(caller.actor(), &project, new, mask, digest)?;
        let writes = vec![RecordWrite::create(key.clone())];
        match self.commit(Action::ApiKeyCreated, &caller.actor(), writes, Some(secret.clone())).await? {
            Committed::At(_) => Ok((key, secret)),
            Committed::Stale => Err(too_contended()),
        }
    }

    /// A key that is not yet in the store.
    pub(super) fn build_key(
        &self,
        by: Actor,
        project: &Project,
        new: NewApiKey,
        mask: String,
        digest: Digest,
    ) -> Result<ApiKey> {
        let mut key = ApiKey {
            id: KeyId::generate(&mut os_rng()),
            account: project.account.clone(),
            project: project.id.clone(),
            env: project.env,
            name: text::parse_name(new.fields.name.clone().into_option())?,
            custom_account_id: None,
            custom_user_id: None,
            metadata: Metadata::default(),
            expires_at: None,
            rate_limit: None,
            quota: None,
            generations: Generations::default(),
            permissions: Vec::new(),
            allowed_domains: Vec::new(),
            allowed_ips: Vec::new(),
            status: Status::Active,
            mask,
            digests: vec![KeyDigest::current(digest)],
            creation_context: CreationContext {
                client_ip: text::check_optional_text("clientIP", new.context.client_ip)?,
                client_user_agent: text::truncate_user_agent(new.context.client_user_agent),
            },
            stamps: Stamps::new(self.now(), by),
        };
        new.fields.apply(&mut key)?;
        Ok(key)
    }

    /// A key that the caller sees, by value or id.
    pub(crate) async fn api_key(&self, caller: &Caller, name: &KeyRef) -> Result<Versioned<ApiKey>> {
        let found = match name {
            KeyRef::Id(id) => self.store.api_key(id).await?,
            KeyRef::Value(value) if key::check_api_key(value.expose(), ChecksumPolicy::Lenient).is_err() => None,
            KeyRef::Value(value) => self.store.api_key_by_digest(&self.store.digest(value.expose())).await?,
        };
        let is_named = |key: &ApiKey| match name {
            KeyRef::Id(_) => true,
            KeyRef::Value(value) => self.accepts(key, value),
        };
        let found = found
            .filter(|found| is_named(&found.record))
            .filter(|found| caller.visibility(&found.record.account, &found.record.project) == Visibility::Visible)
            .ok_or(ErrorCode::InvalidClientKey)?;
        request_context::check_version(found.record.id.as_str(), found.version)?;
        Ok(found)
    }

    /// Whether a value of a key has not ended.
    fn accepts(&self, key: &ApiKey, value: &Secret) -> bool {
        let (digest, now) = (self.store.digest(value.expose()), self.now());
        key.digests.iter().any(|value| value.digest == digest && !value.has_expired(now))
    }
}

/// The value that was chosen, else a new one.
fn chosen_or_generated_value(requested: Option<&str>, project: &Project) -> Result<Secret> {
    requested.map_or_else(|| Ok(key::generate_api_key(project.env, &mut os_rng())), parse_chosen_value)
}

/// A value that a caller chose.
fn parse_chosen_value(text: &str) -> Result<Secret> {
    key::check_api_key(text, ChecksumPolicy::Lenient).map_err(|why| Failure::invalid(format!("key: {why}")))?;
    Ok(Secret::new(text.to_owned()))
}
