//! Everything that a request brings to a use case, whichever way it came in.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use gatepost_domain::key::Secret;
use gatepost_domain::partition::Position;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::time::Version;
use gatepost_store::Change;

use crate::caller::Caller;
use crate::failure::{Failure, Result};

/// A request and its caller.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub caller: Caller,
    /// The address of the client, which the audit trail shows.
    pub address: Option<IpAddr>,
    /// The id of the request in responses and logs.
    pub request_id: String,
    pub precondition: Precondition,
    pub members: MemberPolicy,
    /// Present if the change must leave a response for repeated requests.
    pub idempotency: Option<Idempotency>,
}

impl RequestContext {
    /// Returns the context for a change of another record than the one that the request is about.
    pub(crate) fn without_precondition(&self) -> Self {
        Self { precondition: Precondition::None, ..self.clone() }
    }

    /// Returns the context for one of many changes, none of which has the response of the whole request.
    pub(crate) fn for_one_of_many(&self) -> Self {
        Self { idempotency: None, ..self.without_precondition() }
    }
}

/// The versions at which a request may change its subject (`If-Match`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Any version.
    #[default]
    None,
    /// One of these; with an empty list, none.
    AnyOf(Vec<Version>),
}

impl Precondition {
    /// Compares the version of the subject with the precondition.
    ///
    /// # Errors
    /// `precondition-failed` if the subject is at another version.
    pub fn check(&self, position: Position) -> Result<()> {
        match self {
            Precondition::AnyOf(any_of) if !any_of.contains(&position.version) => {
                let detail = "the resource is at another version than If-Match names: read it again";
                Err(Failure::refused(ErrorCode::PreconditionFailed, detail))
            }
            Precondition::AnyOf(_) | Precondition::None => Ok(()),
        }
    }
}

/// Handling of request members without effect: unknown ones, and changes of members that are fixed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownMembers {
    /// The request is refused with `validation`.
    #[default]
    Refuse,
    /// The request is processed without them, and the response names them.
    Ignore,
}

/// The handling that one request prefers, and the members that were ignored so far. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemberPolicy {
    handling: UnknownMembers,
    ignored: Arc<Mutex<BTreeSet<String>>>,
}

impl MemberPolicy {
    pub fn new(handling: UnknownMembers) -> Self {
        Self { handling, ignored: Arc::default() }
    }

    /// Records members as ignored where the request prefers that.
    ///
    /// # Errors
    /// `failure` if the request must be refused.
    pub fn refuse_or_ignore(&self, members: Vec<String>, failure: impl FnOnce() -> Failure) -> Result<()> {
        match self.handling {
            UnknownMembers::Refuse => Err(failure()),
            // An update that is retried finds the same members again.
            UnknownMembers::Ignore => {
                self.ignored.lock().unwrap_or_else(PoisonError::into_inner).extend(members);
                Ok(())
            }
        }
    }

    /// Returns the members that were ignored so far.
    pub fn ignored(&self) -> BTreeSet<String> {
        self.ignored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The idempotency slot of a request: where the response to its change is stored for repeated requests.
#[derive(Clone)]
pub struct Idempotency {
    /// The name of the slot.
    pub slot: String,
    /// A digest of the request, to recognise another request with the same key.
    pub request_digest: String,
    pub encoder: Arc<dyn ResponseEncoder>,
}

/// Encodes responses to changes, so that a commit stores the response together with the change.
pub trait ResponseEncoder: Send + Sync {
    /// Returns the bytes to store in the slot of the request with this digest; none if the change has no response of
    /// its own.
    ///
    /// # Errors
    /// If a secret that the response shows cannot be opened.
    fn encode(&self, request_digest: &str, change: &Change) -> Result<Option<Secret>>;
}

impl std::fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.slot)
    }
}
