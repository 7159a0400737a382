//! Revoking a key: typed confirmation, and which gateways refuse it.

use axum::extract::{Path, State};
use gatepost_control_plane::Failure;
use gatepost_domain::change::Topic;
use maud::{Markup, html};

use super::key::{self, KeyAndProject};
use super::notified_webhooks;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFault};
use crate::dashboard::parts::fence::Effect;
use crate::dashboard::parts::{confirm, fence};
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Characters at the end of a mask that may be typed in place of the name.
const MASK_END_CHARS: usize = 4;

pub(crate) async fn confirm(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> PageResult {
    visitor.caller().require_write()?;
    let found = key::read(&state, &visitor, &id).await?;
    Ok(answer::html_page(confirm_page(&state, &visitor, &found, &Form::default(), None).await?))
}

/// Revokes a key, and waits up to 10 s until gateways refuse it.
pub(crate) async fn revoke(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    visitor.caller().require_write()?;
    let found = key::read(&state, &visitor, &id).await?;
    let record = &found.key.record;
    if let Some(fault) = confirm::check(&form, &[&record.name, mask_end(&record.mask)]) {
        return Ok(answer::faulty_form(confirm_page(&state, &visitor, &found, &form, Some(&fault)).await?));
    }
    let revoked = state.control_plane.deactivate_api_key(&visitor.context(), &key::key_ref(&id)?).await?;
    let fence = fence::wait(&state, &visitor, revoked.key.position).await?;
    let content = html! {
        h1 { "Key revoked" }
        (fence::region(&fence, Effect::RefuseKey, state.control_plane.now()))
        p { "Webhooks that subscribe to " code { "api-key.deleted" } " hear of it." }
        p { a.button.primary href={ (ROOT) "/keys/" (record.id) } { "Back to the key" } }
    };
    Ok(answer::html_page(key::key_page(&visitor, &found, "Key revoked", content)))
}

fn mask_end(mask: &str) -> &str {
    let start = mask.char_indices().rev().nth(MASK_END_CHARS - 1).map_or(0, |(index, _)| index);
    &mask[start..]
}

async fn confirm_page(
    state: &DashboardState,
    visitor: &Visitor,
    found: &KeyAndProject,
    form: &Form,
    fault: Option<&FormFault>,
) -> Result<Markup, Failure> {
    let record = &found.key.record;
    let end = mask_end(&record.mask);
    let label =
        html! { "Type the name " strong { (record.name) } ", or the last characters of the key " code { (end) } };
    let title = format!("Revoke {}?", record.name);
    let content = html! {
        h1 { (title) }
        p { "Every gateway refuses the key within moments, and this page says when. It can be reactivated later." }
        (notified_webhooks::sentence(state, visitor, &found.project, Topic::ApiKeyDeleted).await?)
        form.stack.card method="post" action={ (ROOT) "/keys/" (record.id) "/revoke" } {
            (confirm::field(&[&record.name, end], label, form, fault))
            div.actions {
                button.danger { "Revoke the key" }
                a.button href={ (ROOT) "/keys/" (record.id) } { "Cancel" }
            }
        }
    };
    Ok(key::key_page(visitor, found, &title, content))
}
