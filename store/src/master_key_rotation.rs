//! Rotation of the master key: for a while the envelope opens with the old and with the new one.

use crate::envelope::{EnvelopeKeys, MasterKey, RotationStep};
use crate::error::{Result, StoreErrorKind};
use crate::options::StoreOptions;
use crate::random::os_rng;
use crate::store::{Store, open_backend};

/// What a step of a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationOutcome {
    /// The store was changed.
    Done,
    /// The store was in this state already.
    NothingToDo,
}

impl Store {
    /// Takes a step of a rotation of the master key in an existing store. `master_key` is the one with which a process is
    /// started now. Pepper and data key stay the same, so running processes go on, and so do all keys and secrets.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Refused`] if `master_key` does not open the store, or is not the one that the step needs;
    /// otherwise those of [`Store::open`], and those of a confirmed write.
    pub async fn rotate_master_key(
        options: &StoreOptions,
        master_key: &MasterKey,
        step: RotationStep<'_>,
    ) -> Result<RotationOutcome> {
        let backend = open_backend(options).await?;
        let header = backend.open().await?;
        let header = header.ok_or_else(|| StoreErrorKind::WrongStore.with("there is no store at this address"))?;
        let mut keys = EnvelopeKeys::parse(&header.id, &header.envelope)?;
        if !keys.rotate(master_key, step, &mut os_rng())? {
            return Ok(RotationOutcome::NothingToDo);
        }
        if backend.swap_envelope(header.envelope, keys.to_bytes()?).await? {
            Ok(RotationOutcome::Done)
        } else {
            Err(StoreErrorKind::Refused
                .with("another command has changed the envelope at the same time: repeat this one"))
        }
    }
}
