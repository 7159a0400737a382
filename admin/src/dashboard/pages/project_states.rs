//! Projects of what a list shows: their names, and whether they were deleted.

use std::collections::HashMap;

use gatepost_control_plane::Failure;
use gatepost_domain::id::ProjectId;
use gatepost_domain::record::{Project, Status};

use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Projects by their ids, as far as the visitor sees them.
#[derive(Debug, Default)]
pub(crate) struct ProjectStates(HashMap<ProjectId, Project>);

impl ProjectStates {
    /// Reads projects, each once.
    pub(crate) async fn read(
        state: &DashboardState,
        visitor: &Visitor,
        projects: Vec<ProjectId>,
    ) -> Result<Self, Failure> {
        let mut found = HashMap::new();
        for id in projects {
            if found.contains_key(&id) {
                continue;
            }
            match state.control_plane.project(&visitor.context(), id.as_str()).await {
                Ok(project) => found.insert(id, project.record),
                Err(Failure::Refused(_)) => None,
                Err(failure) => return Err(failure),
            };
        }
        Ok(Self(found))
    }

    pub(crate) fn of_one(project: &Project) -> Self {
        Self(HashMap::from([(project.id.clone(), project.clone())]))
    }

    pub(crate) fn project(&self, id: &ProjectId) -> Option<&Project> {
        self.0.get(id)
    }

    /// Returns the state of a project; that of an active one for what belongs to the whole account.
    pub(crate) fn of(&self, project: Option<&ProjectId>) -> Status {
        project.and_then(|id| self.project(id)).map_or(Status::Active, |project| project.status)
    }
}
