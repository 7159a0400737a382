//! API keys.

mod change;
mod fields;
mod listing;
mod rotate;
mod search;

pub(crate) use change::{Changed, KeyChange};
pub(crate) use fields::{FlatLimit, KeyFields, QuotaFields, RateLimitFields};
pub(crate) use listing::{KeyFilter, KeyList, Wanted};
pub(crate) use search::Search;

use gatepost_domain::change::Action;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::KeyId;
use gatepost_domain::key::{self, Checksum, Secret};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{Actor, ApiKey, CreationContext, KeyDigest, Metadata, Project, Stamps, Status};
use gatepost_domain::window::Generations;
use gatepost_store::{Versioned, Write, os_rng};

use super::text;
use crate::ControlPlane;
use crate::caller::{Caller, Sight};
use crate::commit::{Committed, too_contended};
use crate::failure::{Failure, Result};
use crate::request;

/// A key to be made.
#[derive(Default)]
pub(crate) struct NewApiKey {
    pub(crate) project: Option<String>,
    pub(crate) fields: KeyFields,
    pub(crate) context: CreationContext,
}

/// How a path names a key: by its value, which is then echoed, or by its id.
#[derive(Debug, Clone)]
pub(crate) enum KeyName {
    Value(Secret),
    Id(KeyId),
}

impl KeyName {
    /// Reads the last part of a path.
    pub(crate) fn parse(text: &str) -> Self {
        match KeyId::parse(text) {
            Ok(id) => KeyName::Id(id),
            Err(_) => KeyName::Value(Secret::new(text.to_owned())),
        }
    }

    /// What stands in the answer's `key`.
    pub(crate) fn shown(&self) -> &str {
        match self {
            KeyName::Value(secret) => secret.expose(),
            KeyName::Id(id) => id.as_str(),
        }
    }
}

impl ControlPlane {
    /// Makes a key, and answers it with its value: the only time that it is told.
    pub(crate) async fn create_api_key(&self, caller: &Caller, new: NewApiKey) -> Result<(ApiKey, Secret)> {
        caller.may_write()?;
        let project = self.active_project(caller, new.project.as_deref()).await?;
        let secret = value(new.fields.key.clone().value().as_deref(), &project)?;
        let (mask, digest) = (key::mask(secret.expose()), self.store.digest(secret.expose()));
        let key = self.key_of(caller.actor(), &project, new, mask, digest)?;
        let writes = vec![Write::create(key.clone())];
        match self.commit(Action::ApiKeyCreated, &caller.actor(), writes, Some(secret.clone())).await? {
            Committed::At(_) => Ok((key, secret)),
            Committed::Stale => Err(too_contended()),
        }
    }

    /// A key that is not yet in the store.
    pub(super) fn key_of(
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
            name: text::name(new.fields.name.clone().value())?,
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
                client_ip: text::optional("clientIP", new.context.client_ip)?,
                client_user_agent: text::cut(new.context.client_user_agent),
            },
            stamps: Stamps::new(self.now(), by),
        };
        new.fields.apply(&mut key)?;
        Ok(key)
    }

    /// A key that the caller sees, by value or id.
    pub(crate) async fn api_key(&self, caller: &Caller, name: &KeyName) -> Result<Versioned<ApiKey>> {
        let found = match name {
            KeyName::Id(id) => self.store.api_key(id).await?,
            KeyName::Value(value) if key::check_api_key(value.expose(), Checksum::Ignored).is_err() => None,
            KeyName::Value(value) => self.store.api_key_by_digest(&self.store.digest(value.expose())).await?,
        };
        let is_named = |key: &ApiKey| match name {
            KeyName::Id(_) => true,
            KeyName::Value(value) => self.accepts(key, value),
        };
        let found = found
            .filter(|found| is_named(&found.record))
            .filter(|found| caller.sees(&found.record.account, &found.record.project) == Sight::Seen)
            .ok_or(ErrorCode::InvalidClientKey)?;
        request::saw(found.record.id.as_str(), found.version)?;
        Ok(found)
    }

    /// Whether a value of a key has not ended.
    fn accepts(&self, key: &ApiKey, value: &Secret) -> bool {
        let (digest, now) = (self.store.digest(value.expose()), self.now());
        key.digests.iter().any(|value| value.digest == digest && !value.has_ended(now))
    }
}

/// The value that was chosen, else a new one.
fn value(given: Option<&str>, project: &Project) -> Result<Secret> {
    given.map_or_else(|| Ok(key::generate_api_key(project.env, &mut os_rng())), chosen)
}

/// A value that a caller chose.
fn chosen(text: &str) -> Result<Secret> {
    key::check_api_key(text, Checksum::Ignored).map_err(|why| Failure::invalid(format!("key: {why}")))?;
    Ok(Secret::new(text.to_owned()))
}
