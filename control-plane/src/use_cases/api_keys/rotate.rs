//! Rotation: a key gets a new value, and the old one is refused at once or after an overlap.
//!
//! A client that lost the response repeats the request with the old value, which may no longer be valid. So the response
//! is stored, sealed, under the digest of the old value.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::KeyId;
use gatepost_domain::key::{self, Env, Secret};
use gatepost_domain::partition::Partition;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{ApiKey, KeyDigest, Status};
use gatepost_store::{StoredResponse, os_rng};

use super::change::UpdatedKey;
use super::key_ref::KeyRef;
use crate::caller::{Caller, Visibility};
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;
use crate::update::{Edit, Replacement};

/// The longest overlap in seconds: 90 days.
const MAX_OVERLAP_S: u64 = 90 * 24 * 3600;
/// Old values that are valid at a time; beyond, the oldest one is refused at once.
const MAX_OLD_VALUES: usize = 4;
/// Time for which a repeated rotation gets the same response.
const RESPONSE_TTL: Duration = Duration::from_secs(600);

impl ControlPlane {
    /// Gives a key a new value. The old one is refused at once, or after `overlap_s` seconds.
    pub async fn rotate_api_key(
        &self,
        context: &RequestContext,
        key_ref: &KeyRef,
        overlap_s: u64,
    ) -> Result<UpdatedKey> {
        context.caller.require_write()?;
        if overlap_s > MAX_OVERLAP_S {
            return Err(Failure::invalid(format!("overlapSeconds: must be a number from 0 to {MAX_OVERLAP_S}")));
        }
        if let KeyRef::Value(old) = key_ref
            && let Some(rotated) = self.replay_rotation(&context.caller, old).await?
        {
            return Ok(rotated);
        }
        let overlap = Duration::from_secs(overlap_s);
        self.change_api_key(context, key_ref, |found| self.plan_rotation(found, key_ref, overlap)).await
    }

    fn plan_rotation(&self, found: &ApiKey, key_ref: &KeyRef, overlap: Duration) -> Result<Edit<ApiKey>> {
        if found.status == Status::Inactive {
            return Err(Failure::refused(ErrorCode::Conflict, "the key is revoked; reactivate it first"));
        }
        let [current, old @ ..] = found.digests.as_slice() else {
            return Err(Failure::refused(ErrorCode::Conflict, "the key has no value"));
        };
        if matches!(key_ref, KeyRef::Value(value) if self.store.envelope().digest(value.expose()) != current.digest) {
            let detail = "this value was replaced before; name the key by its current value or by its id";
            return Err(Failure::refused(ErrorCode::Conflict, detail));
        }
        let (value, digest) = self.generate_value_in(home_partition(found, current), found.env);
        let mut digests = vec![KeyDigest::current(digest)];
        if !overlap.is_zero() {
            let now = self.now();
            digests.push(KeyDigest { until: Some(now.plus(overlap)), replaced_at: Some(now), ..*current });
            digests.extend(old.iter().take(MAX_OLD_VALUES - 1));
        }
        let stored_response = rotation_response(current, found, &value);
        let record = ApiKey { mask: key::mask(value.expose()), digests, ..found.clone() };
        let (action, stored_response) = (Action::ApiKeyUpdated, Some(stored_response));
        Ok(Edit::Replace(Box::new(Replacement { action, record, secret: Some(value), stored_response })))
    }

    /// Generates values until one belongs to a partition: 256 on average, which takes less than a millisecond.
    fn generate_value_in(&self, partition: Partition, env: Env) -> (Secret, Digest) {
        loop {
            let value = key::generate_api_key(env, &mut os_rng());
            let digest = self.store.envelope().digest(value.expose());
            if Partition::of_digest(&digest) == partition {
                return (value, digest);
            }
        }
    }

    /// Returns the outcome of the rotation that replaced this value, while its response is stored and its new value is
    /// current.
    async fn replay_rotation(&self, caller: &Caller, old: &Secret) -> Result<Option<UpdatedKey>> {
        let name = rotation_response_name(&KeyDigest::current(self.store.envelope().digest(old.expose())));
        let Some(stored) = self.store.single_cell().stored_response(&name).await? else { return Ok(None) };
        let Some((id, value)) = stored.expose().split_once(' ') else { return Ok(None) };
        let Ok(id) = KeyId::parse(id) else { return Ok(None) };
        let Some(found) = self.store.home(id.partition()).api_key(&id).await? else { return Ok(None) };
        let digest = self.store.envelope().digest(value);
        let is_current = found.record.digests.first().is_some_and(|current| current.digest == digest);
        let visibility = caller.visibility(&found.record.account, &found.record.project);
        if visibility == Visibility::Hidden || !is_current {
            return Ok(None);
        }
        let value = Some(Secret::new(value.to_owned()));
        Ok(Some(UpdatedKey { key: found, value }))
    }
}

/// Returns the partition in which a key stays. Ids of earlier versions all carry the first one: such a key stays in the
/// partition of its current value.
fn home_partition(key: &ApiKey, current: &KeyDigest) -> Partition {
    match key.id.partition() {
        carried if carried != Partition::default() => carried,
        _ => Partition::of_digest(&current.digest),
    }
}

/// Returns the response to store: id and value, neither of which contains a space.
fn rotation_response(current: &KeyDigest, key: &ApiKey, value: &Secret) -> StoredResponse {
    StoredResponse {
        name: rotation_response_name(current),
        response: Secret::new(format!("{} {}", key.id, value.expose())),
        ttl: RESPONSE_TTL,
    }
}

fn rotation_response_name(old: &KeyDigest) -> String {
    format!("rotation:{}", old.digest.to_hex())
}
