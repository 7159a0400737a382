//! Lists of keys: of one project, or of all projects that the caller sees, one after the other.

use gatepost_domain::id::ProjectId;
use gatepost_domain::record::{ApiKey, Project, Status};
use gatepost_store::Page;
use gatepost_store::SortOrder;

use crate::control_plane::ControlPlane;
use crate::failure::Result;
use crate::request_context::RequestContext;
use crate::use_cases::long_response::LongResponse;
use crate::use_cases::pagination::Selection;
use crate::use_cases::scan_time::ScanTime;

/// The keys that a list selects.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    pub name: Option<String>,
    pub custom_account_id: Option<NullableFilter>,
    pub custom_user_id: Option<NullableFilter>,
    pub status: Option<Status>,
}

/// The projects whose keys a list has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyScope {
    /// One project, also a deleted one.
    Project(String),
    /// All projects that the caller sees, without deleted ones; the caller's own one if it has one.
    ActiveProjects,
    /// All projects that the caller sees, with deleted ones.
    AllProjects,
}

/// A filter for a member that may be null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NullableFilter {
    Null,
    Text(String),
}

impl KeyFilter {
    /// Returns whether a key is selected. Names are compared without case, as clients expect.
    pub fn matches(&self, key: &ApiKey) -> bool {
        let field_matches = |filter: &Option<NullableFilter>, value: &Option<String>| match filter {
            None => true,
            Some(NullableFilter::Null) => value.is_none(),
            Some(NullableFilter::Text(text)) => value.as_deref() == Some(text),
        };
        self.name.as_deref().is_none_or(|name| name.to_lowercase() == key.name.to_lowercase())
            && self.status.is_none_or(|status| status == key.status)
            && field_matches(&self.custom_account_id, &key.custom_account_id)
            && field_matches(&self.custom_user_id, &key.custom_user_id)
    }
}

/// The keys of some projects as one list. A position in it consists of those of a project and of one of its keys.
#[derive(Debug)]
pub struct KeyList {
    /// The name that its cursors are bound to.
    pub name: String,
    /// The project that the request names, if it names one.
    pub requested_project: Option<ProjectId>,
    order: SortOrder,
    /// In the order of the list, each with its position among the projects of the account; a single project has none.
    projects: Vec<(String, ProjectId)>,
}

impl KeyList {
    /// Returns whether the list has keys of a project.
    pub fn contains_project(&self, project: &ProjectId) -> bool {
        self.projects.iter().any(|(_, listed)| listed == project)
    }

    /// Returns the index of the project at a position, or of the next one if it was deleted.
    fn project_index(&self, project: &str) -> usize {
        self.projects.partition_point(|(position, _)| match self.order {
            SortOrder::OldestFirst => position.as_str() < project,
            SortOrder::NewestFirst => !project.is_empty() && position.as_str() > project,
        })
    }
}

impl ControlPlane {
    /// Returns the list of keys of a scope.
    pub async fn key_list(&self, context: &RequestContext, scope: &KeyScope, order: SortOrder) -> Result<KeyList> {
        let caller = &context.caller;
        let named = match scope {
            KeyScope::Project(named) => Some(self.project(context, named).await?.record.id),
            KeyScope::ActiveProjects | KeyScope::AllProjects => None,
        };
        let only = named.clone().or_else(|| caller.project.clone());
        let mut projects = match &only {
            Some(only) => vec![(String::new(), only.clone())],
            None => {
                let _turn = self.acquire_list_permit(context).await?;
                let is_listed = |project: &Project| *scope == KeyScope::AllProjects || project.status == Status::Active;
                let projects = self.projects_by_position(caller).await?.into_iter();
                projects.filter(|(_, project)| is_listed(project)).map(|(at, project)| (at, project.id)).collect()
            }
        };
        if order == SortOrder::NewestFirst {
            projects.reverse();
        }
        let name = format!("api-keys/{}/{}", caller.account, only.as_ref().map_or("", ProjectId::as_str));
        Ok(KeyList { name, requested_project: named, order, projects })
    }

    /// Counts the keys of a project that the caller has read, with revoked ones until they are purged, up to
    /// [`MAX_COUNTED`](gatepost_store::MAX_COUNTED).
    pub async fn api_key_count(&self, project: &Project) -> Result<u32> {
        Ok(self.store.home(project.id.partition()).api_key_count(&project.id).await?)
    }

    /// Reads keys after a position. A page has keys of one project only, so it may be empty without being the last.
    pub async fn keys_page(&self, list: &KeyList, position: &str, limit: u32) -> Result<Page<ApiKey>> {
        let (at, after) = position.split_once(' ').unwrap_or_default();
        let index = list.project_index(at);
        let Some((project_at, project)) = list.projects.get(index) else {
            return Ok(Page { items: Vec::new(), positions: Vec::new(), next: None });
        };
        let after = if project_at == at { after } else { "" };
        let page = match list.order {
            SortOrder::OldestFirst => self.store.single_cell().api_keys(project, after, limit).await?,
            SortOrder::NewestFirst => self.store.single_cell().newest_api_keys(project, after, limit).await?,
        };
        let of_key = |position: String| format!("{project_at} {position}");
        let next_project = list.projects.get(index + 1).map(|(position, _)| format!("{position} "));
        Ok(Page {
            items: page.items,
            positions: page.positions.into_iter().map(of_key).collect(),
            next: page.next.map(of_key).or(next_project),
        })
    }
}

impl LongResponse {
    /// Reads keys of a list until a selection of them is complete or its time is over, and authorizes the caller again
    /// meanwhile.
    pub async fn select_keys(
        &mut self,
        list: &KeyList,
        selection: &mut Selection<ApiKey>,
        time: ScanTime,
        matches: impl Fn(&ApiKey) -> bool,
    ) -> Result<()> {
        let deadline = self.control_plane.scan_deadline(time);
        while let Some((position, size)) = selection.next_read() {
            self.reauthorize().await?;
            let _permit = self.control_plane.acquire_list_permit(&self.context).await?;
            let page = self.control_plane.keys_page(list, &position, size).await?;
            selection.add_page(page, &matches);
            if deadline.has_passed(self.control_plane.clock.uptime()) {
                selection.stop();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(order: SortOrder, positions: &[&str]) -> KeyList {
        let project = ProjectId::parse("prj_00a").unwrap();
        let projects = positions.iter().map(|position| ((*position).to_owned(), project.clone())).collect();
        KeyList { name: String::new(), requested_project: None, order, projects }
    }

    #[test]
    fn list_resumes_after_a_removed_project() {
        let oldest_first = list(SortOrder::OldestFirst, &["1", "3", "5"]);
        for (position, index) in [("", 0), ("1", 0), ("2", 1), ("3", 1), ("6", 3)] {
            assert_eq!(oldest_first.project_index(position), index, "{position}");
        }
        let newest_first = list(SortOrder::NewestFirst, &["5", "3", "1"]);
        for (position, index) in [("", 0), ("5", 0), ("4", 1), ("3", 1), ("0", 3)] {
            assert_eq!(newest_first.project_index(position), index, "{position}");
        }
        for order in [SortOrder::OldestFirst, SortOrder::NewestFirst] {
            assert_eq!(list(order, &[""]).project_index(""), 0);
        }
    }
}
