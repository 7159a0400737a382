//! The first project of a store, so that keys can be created in a new one at once.

use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, ProjectId};
use gatepost_domain::key::Env;
use gatepost_domain::record::{Actor, Project, Stamps, Status};
use gatepost_store::{Change, RecordWrite, os_rng};

use crate::commit::{Committed, Initiator};
use crate::control_plane::ControlPlane;
use crate::failure::Result;

/// The name of the project.
const FIRST_PROJECT: &str = "default";

impl ControlPlane {
    /// Creates a project in a store with one account that has never had a project. Returns its id if it was created.
    /// Concurrent calls create one project: they claim the same id.
    pub async fn create_first_project(&self) -> Result<Option<ProjectId>> {
        let accounts = self.store.single_cell().accounts("", 2).await?.items;
        let [only] = accounts.as_slice() else { return Ok(None) };
        let account = &only.record;
        let home = self.store.home(account.id.partition());
        // The list has deleted projects too.
        if account.status != Status::Active || !home.projects(&account.id, "", 1).await?.items.is_empty() {
            return Ok(None);
        }
        let project = Project {
            id: ProjectId::first_of(&account.id),
            account: account.id.clone(),
            name: FIRST_PROJECT.to_owned(),
            env: Env::Live,
            status: Status::Active,
            stamps: Stamps::new(self.now(), Actor::Operator),
        };
        let change = Change {
            event: EventId::generate_in(project.id.partition(), &mut os_rng()),
            action: Action::ProjectCreated,
            actor: Actor::Operator,
            writes: vec![RecordWrite::create(project.clone())],
            secret: None,
            stored_response: None,
        };
        Ok(match self.commit(Initiator::Operator, change).await? {
            Committed::At(_) => Some(project.id),
            Committed::Stale => None,
        })
    }
}
