//! What is known of the request that is being answered, for use cases and answers alike: so that every endpoint keeps
//! the habits of the API without words of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::time::Version;

use crate::failure::{Failure, Result};
use crate::members::UnknownMembers;
use crate::stored_response::IdempotencySlot;

/// Versions of records that one request may have seen and written; of more, the oldest are forgotten.
const MAX_VERSIONS: usize = 32;

tokio::task_local! {
    static CURRENT: Arc<RequestContext>;
}

/// A request.
#[derive(Debug)]
pub(crate) struct RequestContext {
    /// Its id, in answers and in the log.
    pub(crate) id: String,
    /// From where it came.
    pub(crate) address: Option<IpAddr>,
    /// What it presents as a credential, which no answer and no log line repeats.
    pub(crate) presented_credentials: Vec<Secret>,
    /// On which versions of its resource it insists.
    pub(crate) precondition: Precondition,
    /// How members of its body that are not known are handled.
    pub(crate) unknown_members: UnknownMembers,
    state: Mutex<RequestState>,
}

/// What came of it so far.
#[derive(Debug, Default)]
struct RequestState {
    versions: Vec<(String, Version)>,
    slot: Option<IdempotencySlot>,
    ignored_members: BTreeSet<String>,
}

/// `If-Match` of a request that changes a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// None.
    #[default]
    None,
    /// Resources whose id begins so must be at one of these versions.
    Versions { prefix: &'static str, any_of: Vec<Version> },
}

impl RequestContext {
    pub(crate) fn new(
        id: String,
        presented_credentials: Vec<Secret>,
        address: Option<IpAddr>,
        precondition: Precondition,
        unknown_members: UnknownMembers,
    ) -> Arc<Self> {
        Arc::new(Self { id, presented_credentials, address, precondition, unknown_members, state: Mutex::default() })
    }

    /// The version of a record that was last seen or written.
    pub(crate) fn version_of(&self, id: &str) -> Option<Version> {
        self.lock_state().versions.iter().rev().find(|(seen, _)| seen == id).map(|(_, version)| *version)
    }

    /// From now on changes keep their answer there.
    pub(crate) fn set_slot(&self, slot: IdempotencySlot) {
        self.lock_state().slot = Some(slot);
    }

    /// Where changes keep their answer.
    pub(crate) fn slot(&self) -> Option<IdempotencySlot> {
        self.lock_state().slot.clone()
    }

    /// The members of the body that were ignored.
    pub(crate) fn ignored_members(&self) -> BTreeSet<String> {
        self.lock_state().ignored_members.clone()
    }

    fn record_version(&self, id: &str, version: Version) {
        let mut state = self.lock_state();
        if state.versions.len() >= MAX_VERSIONS {
            state.versions.remove(0);
        }
        state.versions.push((id.to_owned(), version));
    }

    fn lock_state(&self) -> MutexGuard<'_, RequestState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a request within its scope.
pub(crate) async fn scope<F: Future>(request: Arc<RequestContext>, handler: F) -> F::Output {
    CURRENT.scope(request, handler).await
}

/// The request that is being answered; none in the operator's commands.
pub(crate) fn current() -> Option<Arc<RequestContext>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Notes the version of a resource that a use case has read, and refuses it if the request insists on another.
pub(crate) fn check_version(id: &str, version: Version) -> Result<()> {
    let Some(request) = current() else { return Ok(()) };
    request.record_version(id, version);
    match &request.precondition {
        Precondition::Versions { prefix, any_of } if id.starts_with(prefix) && !any_of.contains(&version) => {
            let detail = "the resource is at another version than If-Match names: read it anew";
            Err(Failure::refused(ErrorCode::PreconditionFailed, detail))
        }
        Precondition::Versions { .. } | Precondition::None => Ok(()),
    }
}

/// Notes the version at which a record was written.
pub(crate) fn record_write(id: &str, version: Version) {
    if let Some(request) = current() {
        request.record_version(id, version);
    }
}

/// Refuses a request for what is wrong with members of its body, or notes that they are ignored, as it prefers.
pub(crate) fn refuse_or_ignore(members: Vec<String>, failure: impl FnOnce() -> Failure) -> Result<()> {
    let request = current().filter(|request| request.unknown_members == UnknownMembers::Ignore);
    let Some(request) = request else { return Err(failure()) };
    // A change that is tried again finds the same members.
    request.lock_state().ignored_members.extend(members);
    Ok(())
}
