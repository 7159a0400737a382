//! What all lists have in common: how many are read at a time, and for whom.

use std::time::Duration;

use gatepost_domain::problem::ErrorCode;

use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::shares::Place;

/// Parts of lists that are read from the store at a time in one process.
pub(crate) const MAX_LISTS: usize = 16;
/// Of these, kept for accounts that read none.
pub(crate) const LISTS_KEPT: usize = 4;
/// How long a list waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

impl ControlPlane {
    /// A place to read a part of a list.
    pub(crate) async fn list_place(&self, caller: &Caller) -> Result<Place> {
        if let Some(place) = self.lists.take(&caller.account, PATIENCE).await {
            return Ok(place);
        }
        self.metrics.no_place("lists");
        Err(Failure::refused(ErrorCode::Overloaded, "too many lists are being read: try again later"))
    }
}
