//! API keys.

use gatepost_domain::change::Action;
use gatepost_domain::id::{KeyId, ProjectId};
use gatepost_domain::key::{self, Checksum, Secret};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{ApiKey, CreationContext, KeyDigest, Metadata, Project, Stamps, Status};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_store::act::CursorState;
use gatepost_store::{Versioned, Write, os_rng};
use serde_json::value::RawValue;

use super::text;
use crate::ControlPlane;
use crate::caller::{Caller, Sight};
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};

/// Bytes of a key's metadata.
pub(crate) const MAX_METADATA_BYTES: usize = 16 * 1024;

/// A key to be made.
#[derive(Debug, Default)]
pub(crate) struct NewApiKey {
    pub(crate) name: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) metadata: Option<Box<RawValue>>,
    pub(crate) custom_account_id: Option<String>,
    pub(crate) custom_user_id: Option<String>,
    pub(crate) expiry: Option<String>,
    pub(crate) context: CreationContext,
}

/// Which keys of a list are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyFilter {
    pub(crate) name: Option<String>,
    pub(crate) custom_account_id: Option<Wanted>,
    pub(crate) custom_user_id: Option<Wanted>,
    pub(crate) status: Option<Status>,
}

/// What a filter wants of a member that may be null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Null,
    Text(String),
}

impl KeyFilter {
    /// Whether a key is wanted. Names are compared without case, as clients expect.
    pub(crate) fn wants(&self, key: &ApiKey) -> bool {
        let matches = |wanted: &Option<Wanted>, value: &Option<String>| match wanted {
            None => true,
            Some(Wanted::Null) => value.is_none(),
            Some(Wanted::Text(text)) => value.as_deref() == Some(text),
        };
        self.name.as_deref().is_none_or(|name| name.to_lowercase() == key.name.to_lowercase())
            && self.status.is_none_or(|status| status == key.status)
            && matches(&self.custom_account_id, &key.custom_account_id)
            && matches(&self.custom_user_id, &key.custom_user_id)
    }
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
        let secret = value(new.key.as_deref(), &project)?;
        let key = self.key_of(caller, &project, new, &secret)?;
        let writes = vec![Write::create(key.clone())];
        match self.commit(Action::ApiKeyCreated, &caller.actor(), writes, Some(secret.clone())).await? {
            Committed::At(_) => Ok((key, secret)),
            Committed::Stale => Err(too_contended()),
        }
    }

    fn key_of(&self, caller: &Caller, project: &Project, new: NewApiKey, secret: &Secret) -> Result<ApiKey> {
        Ok(ApiKey {
            id: KeyId::generate(&mut os_rng()),
            account: project.account.clone(),
            project: project.id.clone(),
            env: project.env,
            name: text::name(new.name)?,
            custom_account_id: text::optional("customAccountId", new.custom_account_id)?,
            custom_user_id: text::optional("customUserId", new.custom_user_id)?,
            metadata: metadata(new.metadata)?,
            expires_at: new.expiry.as_deref().map(expiry).transpose()?,
            rate_limit: None,
            permissions: Vec::new(),
            status: Status::Active,
            mask: key::mask(secret.expose()),
            digests: vec![KeyDigest { digest: self.store.digest(secret.expose()), until: None }],
            creation_context: CreationContext {
                client_ip: text::optional("clientIP", new.context.client_ip)?,
                client_user_agent: text::optional("clientUserAgent", new.context.client_user_agent)?,
            },
            stamps: Stamps::new(self.now(), caller.actor()),
        })
    }

    /// A key that the caller sees, by value or id.
    pub(crate) async fn api_key(&self, caller: &Caller, name: &KeyName) -> Result<Versioned<ApiKey>> {
        let found = match name {
            KeyName::Id(id) => self.store.api_key(id).await?,
            KeyName::Value(value) if key::check_api_key(value.expose(), Checksum::Ignored).is_err() => None,
            KeyName::Value(value) => self.store.api_key_by_digest(&self.store.digest(value.expose())).await?,
        };
        found
            .filter(|found| caller.sees(&found.record.account, &found.record.project) == Sight::Seen)
            .ok_or(ErrorCode::InvalidClientKey.into())
    }

    /// Shuts a key off. Answers the version at which it is off, also if it was before.
    pub(crate) async fn deactivate_api_key(&self, caller: &Caller, name: &KeyName) -> Result<Version> {
        caller.may_write()?;
        for _ in 0..MAX_TRIES {
            let found = self.api_key(caller, name).await?;
            if found.record.status == Status::Inactive {
                match self.store.confirm(found.version, &found.event).await?.state {
                    CursorState::Present | CursorState::Trimmed => return Ok(found.version),
                    CursorState::Foreign => continue,
                }
            }
            let off = ApiKey {
                status: Status::Inactive,
                stamps: found.record.stamps.touched(self.now(), caller.actor()),
                ..found.record.clone()
            };
            let writes = vec![Write::replace(found, off)];
            if let Committed::At(version) = self.commit(Action::ApiKeyDeleted, &caller.actor(), writes, None).await? {
                return Ok(version);
            }
        }
        Err(too_contended())
    }

    /// One page of a project's keys.
    pub(crate) async fn api_keys_page(
        &self,
        project: &ProjectId,
        after: &str,
        limit: u32,
    ) -> Result<gatepost_store::Page<ApiKey>> {
        Ok(self.store.api_keys(project, after, limit).await?)
    }

    /// The projects whose keys a list holds.
    pub(crate) async fn projects_of_list(&self, caller: &Caller, named: Option<&str>) -> Result<Vec<ProjectId>> {
        if let Some(named) = named {
            return Ok(vec![self.project(caller, named).await?.record.id]);
        }
        if let Some(own) = &caller.project {
            return Ok(vec![own.clone()]);
        }
        Ok(self.projects(caller, None).await?.into_iter().map(|project| project.id).collect())
    }
}

/// The value that was chosen, else a new one.
fn value(chosen: Option<&str>, project: &Project) -> Result<Secret> {
    let Some(chosen) = chosen else { return Ok(key::generate_api_key(project.env, &mut os_rng())) };
    key::check_api_key(chosen, Checksum::Ignored).map_err(|why| Failure::invalid(format!("key: {why}")))?;
    Ok(Secret::new(chosen.to_owned()))
}

fn metadata(raw: Option<Box<RawValue>>) -> Result<Metadata> {
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Ok(Metadata::default()) };
    // Stored as one line: a line end inside it would end the record's line.
    let value: serde_json::Value =
        serde_json::from_str(raw.get()).map_err(|error| Failure::invalid(format!("customMetaData: {error}")))?;
    let text = value.to_string();
    if text.len() > MAX_METADATA_BYTES {
        return Err(Failure::invalid(format!("customMetaData: has more than {MAX_METADATA_BYTES} bytes")));
    }
    Ok(Metadata(text))
}

fn expiry(text: &str) -> Result<Timestamp> {
    Timestamp::parse(text).map_err(|error| Failure::invalid(format!("expiry: {error}")))
}
