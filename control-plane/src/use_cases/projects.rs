//! Projects.

use gatepost_domain::change::Action;
use gatepost_domain::id::ProjectId;
use gatepost_domain::key::Env;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{Project, Stamps, Status};
use gatepost_domain::time::Version;
use gatepost_store::{RecordWrite, Versioned, os_rng};

use super::lists::{ListPage, PAGE_SIZE, PageRequest};
use super::patch::Patch;
use super::text;
use super::update_rules::{check_unchanged, next_status};
use crate::ControlPlane;
use crate::caller::{Caller, Visibility};
use crate::commit::{Committed, MAX_TRIES, too_contended};
use crate::failure::{Failure, Result};
use crate::request_context;

/// A project to be made.
#[derive(Debug)]
pub(crate) struct NewProject {
    pub(crate) name: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) env: Option<String>,
}

/// A change of a project as a caller asks for it, perhaps as a copy of the whole project.
#[derive(Debug, Default)]
pub(crate) struct ProjectChange {
    pub(crate) name: Patch<String>,
    pub(crate) status: Option<Status>,
    pub(crate) account: Option<String>,
    pub(crate) env: Option<String>,
}

/// A project, and the version at which it is so.
#[derive(Debug)]
pub(crate) struct CommittedProject {
    pub(crate) project: Project,
    pub(crate) version: Version,
}

impl ControlPlane {
    /// Makes a project in the caller's account.
    pub(crate) async fn create_project(&self, caller: &Caller, new: NewProject) -> Result<Project> {
        caller.require_write()?;
        caller.require_account_scope()?;
        caller.require_own_account(new.account.as_deref())?;
        let env = new.env.as_deref().ok_or_else(|| Failure::invalid("env: is missing; it is live or test"))?;
        let project = Project {
            id: ProjectId::generate(&mut os_rng()),
            account: caller.account.clone(),
            name: text::parse_name(new.name)?,
            env: Env::parse(env).ok_or_else(|| Failure::invalid("env: must be live or test"))?,
            status: Status::Active,
            stamps: Stamps::new(self.now(), caller.actor()),
        };
        let writes = vec![RecordWrite::create(project.clone())];
        match self.commit(Action::ProjectCreated, &caller.actor(), writes, None).await? {
            Committed::At(_) => Ok(project),
            Committed::Stale => Err(too_contended()),
        }
    }

    /// A part of the list of projects that the caller sees and that were not deleted.
    pub(crate) async fn projects(
        &self,
        caller: &Caller,
        account: Option<&str>,
        page_request: &PageRequest,
    ) -> Result<ListPage<Project>> {
        caller.require_own_account(account)?;
        let page = |after: String, limit| async move { self.store.projects(&caller.account, &after, limit).await };
        self.read_list(caller, "projects", page_request, page, |project| is_listed(caller, project)).await
    }

    /// All of them, each with its position in the list.
    pub(crate) async fn projects_by_position(&self, caller: &Caller) -> Result<Vec<(String, Project)>> {
        let mut projects = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.store.projects(&caller.account, &after, PAGE_SIZE).await?;
            let found = page.positions.into_iter().zip(page.items.into_iter().map(|found| found.record));
            projects.extend(found.filter(|(_, project)| is_listed(caller, project)));
            match page.next {
                Some(next) => after = next,
                None => return Ok(projects),
            }
        }
    }

    /// A project that the caller sees.
    pub(crate) async fn project(&self, caller: &Caller, id: &str) -> Result<Versioned<Project>> {
        let not_found = || Failure::refused(ErrorCode::NotFound, "there is no such project");
        let id = ProjectId::parse(id).map_err(|_| not_found())?;
        let found = self.store.project(&id).await?.ok_or_else(not_found)?;
        match caller.visibility(&found.record.account, &found.record.id) {
            Visibility::Visible => {
                request_context::check_version(id.as_str(), found.version)?;
                Ok(found)
            }
            Visibility::Hidden => Err(not_found()),
        }
    }

    /// Gives a project another name, or ends it as deleting it does. All else is fixed for its life.
    pub(crate) async fn update_project(
        &self,
        caller: &Caller,
        id: &str,
        change: &ProjectChange,
    ) -> Result<CommittedProject> {
        caller.require_write()?;
        let name = text::parse_changed_name(&change.name, change.status)?;
        self.change_project(caller, id, |found| {
            check_unchanged("accountId", change.account.as_deref(), found.account.as_str())?;
            check_unchanged("env", change.env.as_deref(), found.env.as_str())?;
            let reactivation_hint =
                || "the project was deleted, for good: only keys and access keys have a /reactivate".to_owned();
            let status = next_status(found.status, change.status, reactivation_hint)?;
            if status != found.status {
                caller.require_account_scope()?;
            }
            if name.is_none() && status == found.status {
                return Ok(None);
            }
            if found.status == Status::Inactive && name.as_ref().is_some_and(|name| *name != found.name) {
                return Err(project_deleted());
            }
            let action = if status == found.status { Action::ProjectUpdated } else { Action::ProjectDeleted };
            let name = name.clone().unwrap_or_else(|| found.name.clone());
            Ok(Some((action, Project { name, status, ..found.clone() })))
        })
        .await
    }

    /// Shuts a project off, and with it all its keys, by one change. Answers the version at which they are, also
    /// if they were before.
    pub(crate) async fn deactivate_project(&self, caller: &Caller, id: &str) -> Result<Version> {
        caller.require_write()?;
        let deactivated = self.change_project(caller, id, |found| {
            caller.require_account_scope()?;
            let deactivate = || (Action::ProjectDeleted, Project { status: Status::Inactive, ..found.clone() });
            Ok((found.status == Status::Active).then(deactivate))
        });
        deactivated.await.map(|ended| ended.version)
    }

    /// Reads a project, changes it and writes it, again while others are faster; none leaves it as it is.
    async fn change_project(
        &self,
        caller: &Caller,
        id: &str,
        change: impl Fn(&Project) -> Result<Option<(Action, Project)>>,
    ) -> Result<CommittedProject> {
        for _ in 0..MAX_TRIES {
            let found = self.project(caller, id).await?;
            let Some((action, changed)) = change(&found.record)? else {
                match self.confirm_unchanged(&found).await? {
                    Committed::At(version) => return Ok(CommittedProject { project: found.record, version }),
                    Committed::Stale => continue,
                }
            };
            let stamps = found.record.stamps.updated(self.now(), caller.actor());
            let project = Project { stamps, ..changed };
            let writes = vec![RecordWrite::replace(found, project.clone())];
            if let Committed::At(version) = self.commit(action, &caller.actor(), writes, None).await? {
                return Ok(CommittedProject { project, version });
            }
        }
        Err(too_contended())
    }

    /// Refuses to change what is in a project that was deleted: nothing of it can be used any more. It can still be read,
    /// revoked and deleted.
    pub(crate) async fn refuse_if_deleted(&self, project: &ProjectId) -> Result<()> {
        match self.store.project(project).await?.map(|found| found.record.status) {
            Some(Status::Inactive) => Err(project_deleted()),
            Some(Status::Active) | None => Ok(()),
        }
    }

    /// A project in which something can be made.
    pub(crate) async fn active_project(&self, caller: &Caller, named: Option<&str>) -> Result<Project> {
        let id = caller.project_or_own(named)?;
        let project = self.project(caller, id.as_str()).await?.record;
        match project.status {
            Status::Active => Ok(project),
            Status::Inactive => Err(Failure::refused(ErrorCode::NotFound, "the project was deleted")),
        }
    }
}

fn is_listed(caller: &Caller, project: &Project) -> bool {
    project.status == Status::Active && caller.visibility(&project.account, &project.id) == Visibility::Visible
}

fn project_deleted() -> Failure {
    Failure::refused(ErrorCode::Conflict, "the project was deleted, for good: what is in it cannot be changed any more")
}
