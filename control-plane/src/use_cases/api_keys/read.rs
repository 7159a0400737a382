//! Reading one key by its value or id.

use gatepost_domain::key::{self, ChecksumPolicy, Secret};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::ApiKey;
use gatepost_store::Versioned;

use super::key_ref::KeyRef;
use crate::caller::Visibility;
use crate::control_plane::ControlPlane;
use crate::failure::Result;
use crate::request_context::RequestContext;

impl ControlPlane {
    /// Reads a key that the caller can see.
    ///
    /// # Errors
    /// `invalid-client-key` if there is none.
    pub async fn api_key(&self, context: &RequestContext, key_ref: &KeyRef) -> Result<Versioned<ApiKey>> {
        let found = match key_ref {
            KeyRef::Id(id) => self.store.home(id.partition()).api_key(id).await?,
            KeyRef::Value(value) if key::check_api_key(value.expose(), ChecksumPolicy::Lenient).is_err() => None,
            KeyRef::Value(value) => {
                let digest = self.store.envelope().digest(value.expose());
                self.store.home_of_digest(&digest).api_key_by_digest(&digest).await?
            }
        };
        let is_named = |key: &ApiKey| match key_ref {
            KeyRef::Id(_) => true,
            KeyRef::Value(value) => self.is_valid_value(key, value),
        };
        let caller = &context.caller;
        let is_visible = |key: &ApiKey| caller.visibility(&key.account, &key.project) == Visibility::Visible;
        let found = found.filter(|found| is_named(&found.record)).filter(|found| is_visible(&found.record));
        Ok(found.ok_or(ErrorCode::InvalidClientKey)?)
    }

    /// Returns whether a value of a key has not expired.
    fn is_valid_value(&self, key: &ApiKey, value: &Secret) -> bool {
        let (digest, now) = (self.store.envelope().digest(value.expose()), self.now());
        key.digests.iter().any(|value| value.digest == digest && !value.has_expired(now))
    }
}
