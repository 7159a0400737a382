//! What is known of the request that is being answered, for use cases and answers alike: so that every endpoint keeps
//! the habits of the API without words of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::time::Version;

use crate::failure::{Failure, Result};
use crate::kept::Slot;
use crate::members::UnknownMembers;

/// Versions of records that one request may have seen and written; of more, the oldest are forgotten.
const MAX_VERSIONS: usize = 32;

tokio::task_local! {
    static CURRENT: Arc<Request>;
}

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its id, in answers and in the log.
    pub(crate) id: String,
    /// From where it came.
    pub(crate) address: Option<IpAddr>,
    /// What it presents as a credential, which no answer and no log line repeats.
    pub(crate) presented: Vec<Secret>,
    /// On which versions of its resource it insists.
    pub(crate) condition: Condition,
    /// How members of its body that are not known are handled.
    pub(crate) unknown_members: UnknownMembers,
    noted: Mutex<Noted>,
}

/// What came of it so far.
#[derive(Debug, Default)]
struct Noted {
    versions: Vec<(String, Version)>,
    slot: Option<Slot>,
    ignored: BTreeSet<String>,
}

/// `If-Match` of a request that changes a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    /// None.
    #[default]
    None,
    /// Resources whose id begins so must be at one of these versions.
    Versions { prefix: &'static str, any_of: Vec<Version> },
}

impl Request {
    pub(crate) fn new(
        id: String,
        presented: Vec<Secret>,
        address: Option<IpAddr>,
        condition: Condition,
        unknown_members: UnknownMembers,
    ) -> Arc<Self> {
        Arc::new(Self { id, presented, address, condition, unknown_members, noted: Mutex::default() })
    }

    /// The version of a record that was last seen or written.
    pub(crate) fn version_of(&self, id: &str) -> Option<Version> {
        self.noted().versions.iter().rev().find(|(seen, _)| seen == id).map(|(_, version)| *version)
    }

    /// From now on changes keep their answer there.
    pub(crate) fn keep_answer(&self, slot: Slot) {
        self.noted().slot = Some(slot);
    }

    /// Where changes keep their answer.
    pub(crate) fn slot(&self) -> Option<Slot> {
        self.noted().slot.clone()
    }

    /// The members of the body that were ignored.
    pub(crate) fn ignored(&self) -> BTreeSet<String> {
        self.noted().ignored.clone()
    }

    fn note(&self, id: &str, version: Version) {
        let mut noted = self.noted();
        if noted.versions.len() >= MAX_VERSIONS {
            noted.versions.remove(0);
        }
        noted.versions.push((id.to_owned(), version));
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a request within its scope.
pub(crate) async fn scope<F: Future>(request: Arc<Request>, answering: F) -> F::Output {
    CURRENT.scope(request, answering).await
}

/// The request that is being answered; none in the operator's commands.
pub(crate) fn current() -> Option<Arc<Request>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Notes the version of a resource that a use case has read, and refuses it if the request insists on another.
pub(crate) fn saw(id: &str, version: Version) -> Result<()> {
    let Some(request) = current() else { return Ok(()) };
    request.note(id, version);
    match &request.condition {
        Condition::Versions { prefix, any_of } if id.starts_with(prefix) && !any_of.contains(&version) => {
            let detail = "the resource is at another version than If-Match names: read it anew";
            Err(Failure::refused(ErrorCode::PreconditionFailed, detail))
        }
        Condition::Versions { .. } | Condition::None => Ok(()),
    }
}

/// Notes the version at which a record was written.
pub(crate) fn wrote(id: &str, version: Version) {
    if let Some(request) = current() {
        request.note(id, version);
    }
}

/// Refuses a request for what is wrong with members of its body, or notes that they are ignored, as it prefers.
pub(crate) fn refuse_or_ignore(members: Vec<String>, failure: impl FnOnce() -> Failure) -> Result<()> {
    let request = current().filter(|request| request.unknown_members == UnknownMembers::Ignore);
    let Some(request) = request else { return Err(failure()) };
    // A change that is tried again finds the same members.
    request.noted().ignored.extend(members);
    Ok(())
}
