//! Creating keys.

use gatepost_domain::change::Action;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::KeyId;
use gatepost_domain::key;
use gatepost_domain::partition::Partition;
use gatepost_domain::record::{Actor, ApiKey, CreationContext, KeyDigest, Metadata, Project, Stamps, Status};
use gatepost_domain::window::Generations;
use gatepost_store::os_rng;

use super::fields::KeyFields;
use super::new_value::chosen_or_generated_value;
use crate::control_plane::ControlPlane;
use crate::failure::Result;
use crate::request_context::RequestContext;
use crate::use_cases::created_with_secret::CreatedWithSecret;
use crate::use_cases::text;

#[derive(Default)]
pub struct NewApiKey {
    pub project: Option<String>,
    pub fields: KeyFields,
    pub context: CreationContext,
}

impl ControlPlane {
    /// Creates a key, and returns it with its value: the only time that the value is shown.
    pub async fn create_api_key(&self, context: &RequestContext, new: NewApiKey) -> Result<CreatedWithSecret<ApiKey>> {
        context.caller.require_write()?;
        let project = self.active_project(context, new.project.as_deref()).await?;
        let secret = chosen_or_generated_value(new.fields.key.clone().into_option().as_deref(), &project)?;
        let (mask, digest) = (key::mask(secret.expose()), self.store.envelope().digest(secret.expose()));
        let key = self.build_key(context.caller.actor(), &project, new, mask, digest)?;
        let record = self.create(context, Action::ApiKeyCreated, key, None, Some(secret.clone())).await?;
        Ok(CreatedWithSecret { record, secret })
    }

    /// Builds a key that is not yet in the store.
    pub(crate) fn build_key(
        &self,
        by: Actor,
        project: &Project,
        new: NewApiKey,
        mask: String,
        digest: Digest,
    ) -> Result<ApiKey> {
        let mut key = ApiKey {
            id: KeyId::generate_in(Partition::of_digest(&digest), &mut os_rng()),
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
}
