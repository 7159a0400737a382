//! Long responses: their callers are authorized again while they last.

use std::time::Duration;

use gatepost_domain::id::ProjectId;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Status;
use tokio::time::Instant;

use crate::control_plane::ControlPlane;
use crate::failure::Result;
use crate::request_context::RequestContext;

/// Maximum age of the last check. Together with the wait for an event it is less than a second.
const RECHECK_INTERVAL: Duration = Duration::from_millis(400);

/// A long response and its caller.
pub struct LongResponse {
    pub control_plane: ControlPlane,
    pub context: RequestContext,
    /// The project that the response is limited to.
    project: Option<ProjectId>,
    checked_at: Instant,
}

impl LongResponse {
    /// Starts a response to a caller that has just been authorized.
    pub fn new(control_plane: ControlPlane, context: RequestContext, project: Option<ProjectId>) -> Self {
        Self { control_plane, context, project, checked_at: Instant::now() }
    }

    /// Authorizes the caller again, unless the last check was less than 400 ms ago.
    ///
    /// # Errors
    /// `invalid-access-key` if the access key or its account is no longer active, `not-found` if the project is hidden.
    pub async fn reauthorize(&mut self) -> Result<()> {
        if self.checked_at.elapsed() < RECHECK_INTERVAL {
            return Ok(());
        }
        let (store, caller) = (&self.control_plane.store, &self.context.caller);
        let access_key = store.home(caller.access_key.partition()).access_key(&caller.access_key).await?;
        let now = self.control_plane.now();
        let is_active = access_key.is_some_and(|key| key.record.is_usable(now))
            && store
                .home(caller.account.partition())
                .account(&caller.account)
                .await?
                .is_some_and(|account| account.record.status == Status::Active);
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
