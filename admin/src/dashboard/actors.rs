//! Who made a change: the names behind the ids of access keys.

use std::collections::HashMap;

use gatepost_control_plane::{AccessKeyFilter, AccessKeyRef, ActorFilter, Failure, PageRequest};
use gatepost_domain::id::AccessKeyId;
use gatepost_domain::record::Actor;
use maud::{Markup, html};

use super::root::ROOT;
use super::state::DashboardState;
use super::visitor::Visitor;

/// Names of access keys, as far as the visitor sees them.
#[derive(Debug, Default)]
pub(crate) struct ActorNames(HashMap<AccessKeyId, String>);

impl ActorNames {
    /// Reads the names of the access keys among actors, each once. A page has few: most of its changes have one author.
    pub(crate) async fn read(state: &DashboardState, visitor: &Visitor, actors: &[&Actor]) -> Result<Self, Failure> {
        let mut names = HashMap::new();
        for actor in actors {
            let Actor::AccessKey(id) = actor else { continue };
            if names.contains_key(id) {
                continue;
            }
            let key_ref = AccessKeyRef::Id(id.clone());
            let name = match state.control_plane.access_key(&visitor.context(), &key_ref).await {
                Ok(found) => found.record.name,
                // It is one of the account and the visitor sees a project, or it was purged.
                Err(Failure::Refused(_)) => id.to_string(),
                Err(failure) => return Err(failure),
            };
            names.insert(id.clone(), name);
        }
        Ok(Self(names))
    }

    /// Returns the name of an access key, or its id if the visitor does not see it.
    pub(crate) fn name<'a>(&'a self, actor: &'a Actor) -> Option<&'a str> {
        match actor {
            Actor::AccessKey(id) => Some(self.0.get(id).map_or(id.as_str(), String::as_str)),
            Actor::Key(_) | Actor::Operator | Actor::Deliverer => None,
        }
    }

    /// Shows an actor by its name.
    pub(crate) fn label(&self, actor: &Actor) -> Markup {
        match actor {
            Actor::AccessKey(id) => {
                html! { span title={ "Access key " (id) } { (self.name(actor).unwrap_or_default()) } }
            }
            Actor::Key(id) => html! { a href={ (ROOT) "/keys/" (id) } { "the key itself" } },
            Actor::Operator => html! { span title="On the command line" { "Operator" } },
            Actor::Deliverer => html! { "Deliverer" },
        }
    }
}

/// Parses the author in a filter: as changes name it, or the name of an access key that the visitor sees, in any case.
///
/// # Errors
/// `validation` if nobody has this name.
pub(crate) async fn parse_filter(
    state: &DashboardState,
    visitor: &Visitor,
    text: &str,
) -> Result<ActorFilter, Failure> {
    if let Ok(filter) = text.parse().or_else(|_| text.to_uppercase().parse()) {
        return Ok(filter);
    }
    let filter = AccessKeyFilter::default();
    let keys = state.control_plane.access_keys(&visitor.context(), &filter, &PageRequest::default()).await?.items;
    let name = text.to_lowercase();
    let named: Vec<Actor> =
        keys.into_iter().filter(|key| key.name.to_lowercase() == name).map(|key| Actor::AccessKey(key.id)).collect();
    if named.is_empty() {
        return Err(Failure::invalid(
            "actor: must be the name or the ID of an access key, the ID of a key, operator or deliverer",
        ));
    }
    Ok(ActorFilter::OneOf(named))
}

/// Returns the text that a filter has for an actor.
pub(crate) fn filter_text(actor: &Actor) -> &str {
    match actor {
        Actor::AccessKey(id) => id.as_str(),
        Actor::Key(id) => id.as_str(),
        Actor::Operator => "OPERATOR",
        Actor::Deliverer => "DELIVERER",
    }
}
