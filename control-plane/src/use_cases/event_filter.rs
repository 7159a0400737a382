//! Selection of changes: by kind, project, actor and subject.

use std::str::FromStr;

use gatepost_domain::change::Action;
use gatepost_domain::id::{AccessKeyId, KeyId, ProjectId};
use gatepost_domain::record::Actor;
use gatepost_store::{ChangeMetadata, ChangeSummary};

use crate::caller::{Caller, Visibility};
use crate::control_plane::ControlPlane;
use crate::failure::Result;
use crate::request_context::RequestContext;

/// The changes that a request selects.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Changes of one of these kinds; all if absent.
    actions: Option<Vec<Action>>,
    /// Changes in this project; in all that the caller sees if absent.
    pub project: Option<ProjectId>,
    /// Changes by these actors; by all if absent.
    pub actor: Option<ActorFilter>,
    /// Changes of the resource with this id, or the one that is the event with this id; all if absent.
    pub subject: Option<String>,
}

/// One actor, or all of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorFilter {
    Exactly(Actor),
    /// Any of these: access keys may have the same name.
    OneOf(Vec<Actor>),
    AnyAccessKey,
    /// Keys, by their first use.
    AnyApiKey,
}

/// Error for a text that names no actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of an access key or of a key, ACCESS_KEY, API_KEY, OPERATOR or DELIVERER")]
pub struct ParseActorFilterError;

impl EventFilter {
    /// # Errors
    /// `not-found` if the caller does not see the project.
    pub async fn new(
        control_plane: &ControlPlane,
        context: &RequestContext,
        actions: Option<Vec<Action>>,
        project: Option<&str>,
    ) -> Result<Self> {
        let project = match project {
            Some(named) => Some(control_plane.project(context, named).await?.record.id),
            None => None,
        };
        Ok(Self { actions, project, ..Self::default() })
    }

    /// Selects the changes in a project that the caller sees.
    pub fn of_project(project: ProjectId) -> Self {
        Self { project: Some(project), ..Self::default() }
    }

    /// Selects the changes of a resource that the caller sees in a project.
    pub fn of_subject(project: ProjectId, subject: String) -> Self {
        Self { project: Some(project), subject: Some(subject), ..Self::default() }
    }

    pub(super) fn matches(&self, caller: &Caller, change: ChangeSummary<'_>) -> bool {
        let metadata = change.metadata;
        is_visible(caller, metadata)
            && self.project.as_ref().is_none_or(|project| metadata.project.as_ref() == Some(project))
            && self.actions.as_ref().is_none_or(|actions| actions.contains(&change.action))
            && self.actor.as_ref().is_none_or(|actor| actor.matches(&metadata.actor))
            && self.subject.as_ref().is_none_or(|subject| *subject == metadata.subject || is_event(change, subject))
    }

    /// Returns whether a change is the first of the only resource that is selected, or the only event, so that no older
    /// one is selected.
    pub(super) fn is_first(&self, caller: &Caller, change: ChangeSummary<'_>) -> bool {
        let is_first_of = |subject: &String| {
            (*subject == change.metadata.subject && change.action.is_creation()) || is_event(change, subject)
        };
        self.subject.as_ref().is_some_and(is_first_of) && is_visible(caller, change.metadata)
    }
}

fn is_visible(caller: &Caller, change: &ChangeMetadata) -> bool {
    caller.visibility_in_account(&change.account, change.project.as_ref()) == Visibility::Visible
}

fn is_event(change: ChangeSummary<'_>, id: &str) -> bool {
    change.event.is_some_and(|event| event.as_str() == id)
}

impl ActorFilter {
    fn matches(&self, actor: &Actor) -> bool {
        match self {
            ActorFilter::Exactly(expected) => actor == expected,
            ActorFilter::OneOf(expected) => expected.contains(actor),
            ActorFilter::AnyAccessKey => matches!(actor, Actor::AccessKey(_)),
            ActorFilter::AnyApiKey => matches!(actor, Actor::Key(_)),
        }
    }
}

impl FromStr for ActorFilter {
    type Err = ParseActorFilterError;

    /// Parses an actor as changes show it: its id, or its type.
    fn from_str(text: &str) -> std::result::Result<Self, ParseActorFilterError> {
        let access_key = || AccessKeyId::parse(text).map(Actor::AccessKey);
        let key = || KeyId::parse(text).map(Actor::Key);
        match text {
            "ACCESS_KEY" => Ok(ActorFilter::AnyAccessKey),
            "API_KEY" => Ok(ActorFilter::AnyApiKey),
            "OPERATOR" => Ok(ActorFilter::Exactly(Actor::Operator)),
            "DELIVERER" => Ok(ActorFilter::Exactly(Actor::Deliverer)),
            _ => access_key().or_else(|_| key()).map(ActorFilter::Exactly).map_err(|_| ParseActorFilterError),
        }
    }
}
