//! Revoking all keys of a customer: how many there are, typed confirmation, and which gateways refuse them.

use axum::extract::{Path, Query, State};
use gatepost_control_plane::{Failure, Rest, RevokeManyRequest, RevokedKeys, RunMode};
use gatepost_domain::change::Topic;
use gatepost_domain::record::Project;
use maud::{Markup, html};
use serde::Deserialize;

use super::{keys, notified_webhooks};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFault};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::parts::fence::Effect;
use crate::dashboard::parts::{confirm, empty, fence, number};
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Field with the cursor from which revoking continues.
const AFTER: &str = "after";

#[derive(Debug, Deserialize)]
pub(crate) struct CustomerQuery {
    #[serde(default)]
    customer: String,
}

/// A customer of a project.
struct Customer {
    project: Project,
    id: String,
}

/// Counts the keys, and asks for a confirmation.
pub(crate) async fn confirm(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<CustomerQuery>,
) -> PageResult {
    let customer = Customer::read(&state, &visitor, &id, query).await?;
    let counted = customer.revoke(&state, &visitor, RunMode::DryRun, None).await?;
    Ok(answer::html_page(customer.confirm_page(&state, &visitor, &counted, &Form::default(), None).await?))
}

/// Revokes the keys, and waits up to 10 s until gateways refuse them.
pub(crate) async fn revoke(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<CustomerQuery>,
    form: Form,
) -> PageResult {
    let customer = Customer::read(&state, &visitor, &id, query).await?;
    if let Some(fault) = confirm::check(&form, &[&customer.id]) {
        let counted = customer.revoke(&state, &visitor, RunMode::DryRun, None).await?;
        let page = customer.confirm_page(&state, &visitor, &counted, &form, Some(&fault)).await?;
        return Ok(answer::faulty_form(page));
    }
    let revoked = customer.revoke(&state, &visitor, RunMode::Apply, form.filled(AFTER)).await?;
    let fence = match revoked.position.filter(|_| revoked.count > 0) {
        Some(position) => {
            let fence = fence::wait(&state, &visitor, position).await?;
            fence::region(&fence, Effect::RefuseKeys, state.control_plane.now())
        }
        None => Markup::default(),
    };
    Ok(answer::html_page(customer.result_page(&visitor, &revoked, &form, &fence)))
}

impl Customer {
    async fn read(
        state: &DashboardState,
        visitor: &Visitor,
        project: &str,
        query: CustomerQuery,
    ) -> Result<Self, Failure> {
        visitor.caller().require_write()?;
        let project = state.control_plane.project(&visitor.context(), project).await?.record;
        Ok(Self { project, id: query.customer })
    }

    async fn revoke(
        &self,
        state: &DashboardState,
        visitor: &Visitor,
        mode: RunMode,
        after: Option<String>,
    ) -> Result<RevokedKeys, Failure> {
        let request = RevokeManyRequest {
            project: Some(self.project.id.to_string()),
            custom_account_id: Some(self.id.clone()),
            after,
            limit: None,
            mode,
        };
        state.control_plane.clone().revoke_api_keys(visitor.context(), request).await
    }

    fn list_path(&self) -> String {
        keys::customer_path(&self.project.id, &self.id)
    }

    fn form_path(&self) -> String {
        keys::customer_revoke_path(&self.project.id, &self.id)
    }

    async fn confirm_page(
        &self,
        state: &DashboardState,
        visitor: &Visitor,
        counted: &RevokedKeys,
        form: &Form,
        fault: Option<&FormFault>,
    ) -> Result<Markup, Failure> {
        let title = format!("Revoke all keys of {}?", self.id);
        let label = html! { "Type the customer ID " code { (self.id) } };
        let content = html! {
            h1 { (title) }
            @if counted.count == 0 && counted.rest == Rest::Nothing {
                (empty::state("No active key", html! {
                    p { "This customer has none in the project " (self.project.name) "." }
                    p { a.button href=(self.list_path()) { "Back to the keys" } }
                }))
            } @else {
                p {
                    "The customer has "
                    strong { @if counted.rest == Rest::More { "at least " } (active_keys(counted.count)) }
                    " in the project " (self.project.name)
                    ". Every gateway refuses them within moments, and this page says when. Each can be reactivated later."
                }
                (notified_webhooks::sentence(state, visitor, &self.project, Topic::ApiKeyDeleted).await?)
                form.stack.card method="post" action=(self.form_path()) {
                    (confirm::field(&[&self.id], label, form, fault))
                    div.actions {
                        button.danger { "Revoke the keys" }
                        a.button href=(self.list_path()) { "Cancel" }
                    }
                }
            }
        };
        Ok(self.page(visitor, &title, content))
    }

    fn result_page(&self, visitor: &Visitor, revoked: &RevokedKeys, form: &Form, fence: &Markup) -> Markup {
        let title = if revoked.count == 0 { "No key revoked" } else { "Keys revoked" };
        let content = html! {
            h1 { (title) }
            @if revoked.count > 0 {
                p { (number::count(revoked.count as u64, "key", "keys")) " of the customer " code { (self.id) } " revoked." }
            }
            (fence)
            @if revoked.rest == Rest::More {
                form.stack.card method="post" action=(self.form_path()) {
                    p { strong { "There may be more keys of this customer." } " One step revokes up to 1,000." }
                    (confirm::repeated(form))
                    input type="hidden" name=(AFTER) value=(revoked.next);
                    div.actions { button.danger { "Revoke the rest" } }
                }
            } @else {
                p { "No active key of the customer is left in the project " (self.project.name) "." }
            }
            @if revoked.count > 0 {
                p { "Webhooks that subscribe to " code { "api-key.deleted" } " hear of each of them." }
            }
            p { a.button.primary href=(self.list_path()) { "Back to the keys" } }
        };
        self.page(visitor, title, content)
    }

    fn page(&self, visitor: &Visitor, title: &str, content: Markup) -> Markup {
        let mut trail = layout::project_trail(visitor, &self.project);
        trail.push((format!("/projects/{}/keys", self.project.id), "API keys".to_owned()));
        layout::page(visitor, Page { title, section: Section::Projects, trail, project: Some(&self.project), content })
    }
}

fn active_keys(count: usize) -> String {
    number::count(count as u64, "active key", "active keys")
}
