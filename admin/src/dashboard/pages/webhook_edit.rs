//! Changing the settings of a webhook.

use axum::extract::{Path, State};
use gatepost_control_plane::{Failure, both};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::UserSecret;
use maud::{Markup, html};

use super::webhook_frame::{self, WebhookAndProject};
use super::{overtaken_form, webhook_form, webhook_new, webhook_ping};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::parts::field::Entries;
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// What is shown above the form, and the result of a test.
#[derive(Default)]
struct Extra {
    conflict: Option<Markup>,
    test: Option<Markup>,
}

pub(crate) async fn edit(State(state): State<DashboardState>, visitor: Visitor, Path(id): Path<String>) -> PageResult {
    visitor.caller().require_write()?;
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    let form = saved_form(&state, &found)?;
    Ok(answer::html_page(edit_page(
        &state,
        &visitor,
        &found,
        Entries { form: &form, faults: &NO_FAULTS },
        Extra::default(),
    )))
}

/// Tests the endpoint, or saves the settings unless someone else has changed them since the form was drawn.
pub(crate) async fn update(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    visitor.caller().require_write()?;
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    let is_test = webhook_new::asks_for_test(&form);
    let done = match is_test {
        true => test(&state, &visitor, &found, &form).await.map(Some),
        false => save(&state, &visitor, &found, &form).await.map(|()| None),
    };
    match done {
        Ok(None) => Ok(answer::see_other(&format!("/webhooks/{id}"))),
        Ok(test) => {
            let entries = Entries { form: &form, faults: &NO_FAULTS };
            Ok(answer::html_page(edit_page(&state, &visitor, &found, entries, Extra { test, ..Extra::default() })))
        }
        Err(Failure::Refused(problem)) if problem.code == ErrorCode::PreconditionFailed => {
            let conflict = changed_meanwhile(&state, &visitor, &found, &form).await?;
            let extra = Extra { conflict: Some(conflict), ..Extra::default() };
            Ok(answer::faulty_form(edit_page(
                &state,
                &visitor,
                &found,
                Entries { form: &form, faults: &NO_FAULTS },
                extra,
            )))
        }
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            let entries = Entries { form: &form, faults: &faults };
            Ok(answer::faulty_form(edit_page(&state, &visitor, &found, entries, Extra::default())))
        }
    }
}

async fn save(
    state: &DashboardState,
    visitor: &Visitor,
    found: &WebhookAndProject,
    form: &Form,
) -> Result<(), Failure> {
    let webhook = &found.webhook.record;
    let (change, read) = webhook_form::parse_change(form, webhook);
    if read.is_err() {
        both(read, state.control_plane.check_webhook_change(&visitor.context(), webhook, &change).await)?;
    }
    state.control_plane.update_webhook(&visitor.context_at(form.version()), webhook.id.as_str(), change).await?;
    Ok(())
}

/// Tests the endpoint in the form, with the stored values in place of masks.
async fn test(
    state: &DashboardState,
    visitor: &Visitor,
    found: &WebhookAndProject,
    form: &Form,
) -> Result<Markup, Failure> {
    let stored = state.control_plane.webhook_values(&found.webhook.record)?;
    let headers = webhook_form::parse_headers(form).map(|mut headers| {
        for (name, value) in headers.iter_mut().filter(|(_, value)| *value == UserSecret::MASK) {
            let own = stored.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
            if let Some((_, own)) = own {
                *value = own.expose().to_owned();
            }
        }
        headers
    });
    webhook_ping::test_connection(state, visitor, form, headers).await
}

fn saved_form(state: &DashboardState, found: &WebhookAndProject) -> Result<Form, Failure> {
    let values = state.control_plane.webhook_values(&found.webhook.record)?;
    Ok(webhook_form::form_of(&found.webhook, values.url.expose()))
}

fn edit_page(
    state: &DashboardState,
    visitor: &Visitor,
    found: &WebhookAndProject,
    entries: Entries<'_>,
    extra: Extra,
) -> Markup {
    let webhook = &found.webhook.record;
    // After a conflict the form saves over the version that it has just shown.
    let version = match extra.conflict {
        Some(_) => found.webhook.position.version,
        None => entries.form.version().unwrap_or_default(),
    };
    let path = format!("{ROOT}/webhooks/{}", webhook.id);
    let title = format!("Edit {}", webhook.name);
    let content = html! {
        h1 { (title) }
        @if let Some(conflict) = extra.conflict { (conflict) }
        form.stack.card method="post" action={ (path) "/edit" } {
            (entries.summary(&webhook_form::FIELDS))
            (webhook_form::fields(entries, &state.control_plane))
            (webhook_form::more_fields(entries))
            @if let Some(test) = extra.test { (test) }
            input type="hidden" name="version" value=(version.as_u64());
            div.actions {
                (webhook_new::test_button(&format!("{path}/edit")))
                button.primary { "Save" }
                a.button href=(path) { "Cancel" }
            }
        }
    };
    webhook_frame::webhook_page(visitor, found, &title, content)
}

/// Says that somebody has changed a webhook since a form was drawn, and which entries differ from what is saved now.
async fn changed_meanwhile(
    state: &DashboardState,
    visitor: &Visitor,
    found: &WebhookAndProject,
    form: &Form,
) -> Result<Markup, Failure> {
    let saved = saved_form(state, found)?;
    let different = webhook_form::different_entries(&saved, form);
    overtaken_form::notice(state, visitor, "webhook", &found.webhook.record.stamps, &different).await
}
