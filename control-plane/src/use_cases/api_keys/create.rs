//! Creating keys.

use gatepost_domain::change::Action;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::KeyId;
use gatepost_domain::key::{self, Secret};
use gatepost_domain::partition::Partition;
use gatepost_domain::record::{Actor, ApiKey, CreationContext, KeyDigest, Metadata, Project, Stamps, Status};
use gatepost_domain::window::Generations;
use gatepost_store::os_rng;

use super::fields::KeyFields;
use super::new_value::chosen_or_generated_value;
use crate::control_plane::ControlPlane;
use crate::failure::{Result, both};
use crate::request_context::RequestContext;
use crate::use_cases::created_with_secret::CreatedWithSecret;
use crate::use_cases::text;

#[derive(Clone, Default)]
pub struct NewApiKey {
    pub project: Option<String>,
    pub fields: KeyFields,
    pub context: CreationContext,
}

impl ControlPlane {
    /// Creates a key, and returns it with its value: the only time that the value is shown.
    pub async fn create_api_key(&self, context: &RequestContext, new: NewApiKey) -> Result<CreatedWithSecret<ApiKey>> {
        let (key, secret) = self.build_new_key(context, new).await?;
        let record = self.create(context, Action::ApiKeyCreated, key, None, Some(secret.clone())).await?;
        Ok(CreatedWithSecret { record, secret })
    }

    /// Checks a key without creating it.
    ///
    /// # Errors
    /// Those of [`ControlPlane::create_api_key`] that are about its members: all at once.
    pub async fn check_new_key(&self, context: &RequestContext, new: NewApiKey) -> Result<()> {
        self.build_new_key(context, new).await.map(drop)
    }

    async fn build_new_key(&self, context: &RequestContext, new: NewApiKey) -> Result<(ApiKey, Secret)> {
        context.caller.require_write()?;
        let project = self.active_project(context, new.project.as_deref()).await?;
        let secret = chosen_or_generated_value(new.fields.key.clone().into_option().as_deref(), &project);
        // With a value that is refused, the key is only built to find what else is wrong.
        let value = secret.as_ref().map_or("", Secret::expose);
        let (mask, digest) = (key::mask(value), self.store.envelope().digest(value));
        both(self.build_key(context.caller.actor(), &project, new, mask, digest), secret)
    }

    /// Builds a key that is not yet in the store.
    pub(crate) fn build_key(
        &self,
        by: Actor,
        project: &Project,
        mut new: NewApiKey,
        mask: String,
        digest: Digest,
    ) -> Result<ApiKey> {
        let name = text::parse_name(std::mem::take(&mut new.fields.name).into_option());
        let client_ip = text::check_optional_text("clientIP", new.context.client_ip);
        let mut key = ApiKey {
            id: KeyId::generate_in(Partition::of_digest(&digest), &mut os_rng()),
            account: project.account.clone(),
            project: project.id.clone(),
            env: project.env,
            name: String::new(),
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
                client_ip: None,
                client_user_agent: text::truncate_user_agent(new.context.client_user_agent),
            },
            stamps: Stamps::new(self.now(), by),
        };
        let members = both(name, new.fields.apply(&mut key));
        let ((name, ()), client_ip) = both(members, client_ip)?;
        key.name = name;
        key.creation_context.client_ip = client_ip;
        Ok(key)
    }
}
