//! Projects.

use gatepost_domain::change::Action;
use gatepost_domain::id::ProjectId;
use gatepost_domain::key::Env;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{Project, Stamps, Status};
use gatepost_store::{Versioned, os_rng};

use super::pagination::{ListPage, PAGE_SIZE, PageRequest};
use super::patch::Patch;
use super::text;
use super::update_rules::{check_unchanged, next_status};
use crate::caller::{Caller, Visibility};
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result, both};
use crate::pager::Pager;
use crate::request_context::RequestContext;
use crate::update::Edit;

#[derive(Debug)]
pub struct NewProject {
    pub name: Option<String>,
    pub account: Option<String>,
    pub env: Option<String>,
}

/// The projects that a list selects.
#[derive(Debug, Default)]
pub struct ProjectFilter {
    pub account: Option<String>,
    /// Deleted ones are inactive; all if absent.
    pub status: Option<Status>,
    pub env: Option<Env>,
    /// Part of the name, in whatever letter case, or the whole id.
    pub text: Option<String>,
}

impl ProjectFilter {
    fn matches(&self, project: &Project) -> bool {
        self.status.is_none_or(|status| status == project.status)
            && self.env.is_none_or(|env| env == project.env)
            && self.text.as_ref().is_none_or(|text| has_text(project, text))
    }
}

fn has_text(project: &Project, text: &str) -> bool {
    project.name.to_lowercase().contains(&text.to_lowercase()) || project.id.as_str() == text
}

/// Selects the projects that were not deleted.
pub const ACTIVE_PROJECTS: ProjectFilter =
    ProjectFilter { account: None, status: Some(Status::Active), env: None, text: None };

/// A change of a project, perhaps as a copy of the whole project.
#[derive(Debug, Default)]
pub struct ProjectChange {
    pub name: Patch<String>,
    pub status: Option<Status>,
    pub account: Option<String>,
    pub env: Option<String>,
}

impl ControlPlane {
    /// Creates a project in the caller's account.
    pub async fn create_project(&self, context: &RequestContext, new: NewProject) -> Result<Versioned<Project>> {
        let caller = &context.caller;
        caller.require_write()?;
        caller.require_account_scope()?;
        caller.require_own_account(new.account.as_deref())?;
        let env = new.env.as_deref().ok_or_else(|| Failure::invalid("env: is missing; it is live or test"));
        let env = env.and_then(|env| Env::parse(env).ok_or_else(|| Failure::invalid("env: must be live or test")));
        let (name, env) = both(text::parse_name(new.name), env)?;
        let project = Project {
            id: ProjectId::generate_in(caller.account.partition(), &mut os_rng()),
            account: caller.account.clone(),
            name,
            env,
            status: Status::Active,
            stamps: Stamps::new(self.now(), caller.actor()),
        };
        self.create(context, Action::ProjectCreated, project, None, None).await
    }

    /// Returns a part of the list of projects that the caller sees.
    pub async fn projects(
        &self,
        context: &RequestContext,
        filter: &ProjectFilter,
        page_request: &PageRequest,
    ) -> Result<ListPage<Project>> {
        let caller = &context.caller;
        caller.require_own_account(filter.account.as_deref())?;
        let page = |after: String, limit| async move {
            self.store.home(caller.account.partition()).projects(&caller.account, &after, limit).await
        };
        let matches = |project: &Project| is_visible(caller, project) && filter.matches(project);
        self.read_list(context, "projects", page_request, page, matches).await
    }

    /// Returns all projects that the caller sees, deleted ones too, each with its position.
    pub(crate) async fn projects_by_position(&self, caller: &Caller) -> Result<Vec<(String, Project)>> {
        let page = |after: String, limit| async move {
            self.store.home(caller.account.partition()).projects(&caller.account, &after, limit).await
        };
        let all = Pager::new(PAGE_SIZE, page).read_all().await?;
        let projects = all.into_iter().map(|(position, found)| (position, found.record));
        Ok(projects.filter(|(_, project)| is_visible(caller, project)).collect())
    }

    /// Reads a project that the caller sees.
    ///
    /// # Errors
    /// `not-found` if there is none.
    pub async fn project(&self, context: &RequestContext, id: &str) -> Result<Versioned<Project>> {
        let caller = &context.caller;
        let not_found = || Failure::refused(ErrorCode::NotFound, "there is no such project");
        let id = ProjectId::parse(id).map_err(|_| not_found())?;
        let found = self.store.home(id.partition()).project(&id).await?.ok_or_else(not_found)?;
        match caller.visibility(&found.record.account, &found.record.id) {
            Visibility::Visible => Ok(found),
            Visibility::Hidden => Err(not_found()),
        }
    }

    /// Renames a project, or deletes it as [`ControlPlane::deactivate_project`] does. Its other members are fixed.
    pub async fn update_project(
        &self,
        context: &RequestContext,
        id: &str,
        change: &ProjectChange,
    ) -> Result<Versioned<Project>> {
        let caller = &context.caller;
        caller.require_write()?;
        let name = text::parse_changed_name(&change.name, change.status)?;
        let edit = |found: &Project| {
            let members = &context.members;
            check_unchanged(members, "accountId", change.account.as_deref(), found.account.as_str())?;
            check_unchanged(members, "env", change.env.as_deref(), found.env.as_str())?;
            let reactivation_hint =
                || "the project was deleted, for good: only keys and access keys have a /reactivate".to_owned();
            let status = next_status(found.status, change.status, reactivation_hint)?;
            if status != found.status {
                caller.require_account_scope()?;
            }
            if name.is_none() && status == found.status {
                return Ok(Edit::Unchanged);
            }
            if found.status == Status::Inactive && name.as_ref().is_some_and(|name| *name != found.name) {
                return Err(project_deleted());
            }
            let action = if status == found.status { Action::ProjectUpdated } else { Action::ProjectDeleted };
            let name = name.clone().unwrap_or_else(|| found.name.clone());
            Ok(Edit::replace(action, Project { name, status, ..found.clone() }))
        };
        self.update(context.into(), || self.project(context, id), edit).await
    }

    /// Deletes a project and all its keys in one change. The returned position is the one from which gateways refuse the
    /// keys, also if the project was deleted before.
    pub async fn deactivate_project(&self, context: &RequestContext, id: &str) -> Result<Versioned<Project>> {
        let caller = &context.caller;
        caller.require_write()?;
        let edit = |found: &Project| {
            caller.require_account_scope()?;
            Ok(match found.status {
                Status::Active => {
                    Edit::replace(Action::ProjectDeleted, Project { status: Status::Inactive, ..found.clone() })
                }
                Status::Inactive => Edit::Unchanged,
            })
        };
        self.update(context.into(), || self.project(context, id), edit).await
    }

    /// Refuses changes in a deleted project: what is in it can only be read, revoked and deleted.
    pub async fn refuse_if_deleted(&self, project: &ProjectId) -> Result<()> {
        match self.store.home(project.partition()).project(project).await?.map(|found| found.record.status) {
            Some(Status::Inactive) => Err(project_deleted()),
            Some(Status::Active) | None => Ok(()),
        }
    }

    /// Returns the project in which a request creates something.
    pub async fn active_project(&self, context: &RequestContext, named: Option<&str>) -> Result<Project> {
        let caller = &context.caller;
        let id = caller.project_or_own(named)?;
        let project = self.project(context, id.as_str()).await?.record;
        match project.status {
            Status::Active => Ok(project),
            Status::Inactive => Err(Failure::refused(ErrorCode::NotFound, "the project was deleted")),
        }
    }
}

fn is_visible(caller: &Caller, project: &Project) -> bool {
    caller.visibility(&project.account, &project.id) == Visibility::Visible
}

fn project_deleted() -> Failure {
    Failure::refused(ErrorCode::Conflict, "the project was deleted, for good: what is in it can no longer be changed")
}
