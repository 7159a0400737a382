//! Answers that take long: whether their caller may still have them.

use std::time::Duration;

use gatepost_domain::id::ProjectId;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Status;
use tokio::time::Instant;

use crate::control_plane::ControlPlane;
use crate::failure::Result;
use crate::request_context::RequestContext;

/// How old the last check may be. With the wait for an event it makes less than a second.
const RECHECK_INTERVAL: Duration = Duration::from_millis(400);

/// The caller of a long answer.
pub struct LongResponse {
    pub control_plane: ControlPlane,
    pub context: RequestContext,
    /// The project that it is about, if it is about one.
    project: Option<ProjectId>,
    checked_at: Instant,
}

impl LongResponse {
    /// An answer to a caller who has just been admitted.
    pub fn new(control_plane: ControlPlane, context: RequestContext, project: Option<ProjectId>) -> Self {
        Self { control_plane, context, project, checked_at: Instant::now() }
    }

    /// Asks anew what was asked when the answer began, unless that is but a moment ago.
    pub async fn reauthorize(&mut self) -> Result<()> {
        if self.checked_at.elapsed() < RECHECK_INTERVAL {
            return Ok(());
        }
        let (store, caller) = (&self.control_plane.store, &self.context.caller);
        let access_key = store.access_key(&caller.access_key).await?;
        let now = self.control_plane.now();
        let is_active = access_key.is_some_and(|key| key.record.is_usable(now))
            && store.account(&caller.account).await?.is_some_and(|account| account.record.status == Status::Active);
        if !is_active {
            return Err(ErrorCode::InvalidAccessKey.into());
        }
        if let Some(project) = &self.project {
            self.control_plane.project(&self.context, project.as_str()).await?;
        }
        self.checked_at = Instant::now();
        Ok(())
    }
}
