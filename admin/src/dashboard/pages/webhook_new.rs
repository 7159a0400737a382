//! Creating a webhook: the form, *Test Connection*, and the signing secret, shown once.

use axum::extract::{Path, State};
use gatepost_control_plane::{Failure, both};
use gatepost_domain::key::Secret;
use gatepost_domain::record::{Project, Webhook};
use maud::{Markup, html};

use super::webhook_frame::{self, WebhookAndProject};
use super::{webhook_form, webhook_ping};
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::layout;
use crate::dashboard::one_time::{self, Shown};
use crate::dashboard::parts::copy;
use crate::dashboard::parts::field::Entries;
use crate::dashboard::root::ROOT;
use crate::dashboard::snippets;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// What a button of the form asks for, in its field `do`.
const TEST: &str = "test";

pub(crate) async fn new(State(state): State<DashboardState>, visitor: Visitor, Path(id): Path<String>) -> PageResult {
    visitor.caller().require_write()?;
    let project = state.control_plane.active_project(&visitor.context(), Some(&id)).await?;
    let form = webhook_form::empty_form();
    Ok(answer::html_page(new_page(&state, &visitor, &project, Entries { form: &form, faults: &NO_FAULTS }, None)))
}

/// Tests the endpoint, or creates the webhook and shows its signing secret once.
pub(crate) async fn create(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    visitor.caller().require_write()?;
    let project = state.control_plane.active_project(&visitor.context(), Some(&id)).await?;
    let done = match form.text("do") {
        TEST => test(&state, &visitor, &project, &form).await,
        _ => save(&state, &visitor, &project, &form).await,
    };
    match done {
        Ok(page) => Ok(answer::html_page(page)),
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            let entries = Entries { form: &form, faults: &faults };
            Ok(answer::faulty_form(new_page(&state, &visitor, &project, entries, None)))
        }
    }
}

async fn test(state: &DashboardState, visitor: &Visitor, project: &Project, form: &Form) -> Result<Markup, Failure> {
    let result = webhook_ping::test_connection(state, visitor, form, webhook_form::parse_headers(form)).await?;
    Ok(new_page(state, visitor, project, Entries { form, faults: &NO_FAULTS }, Some(result)))
}

async fn save(state: &DashboardState, visitor: &Visitor, project: &Project, form: &Form) -> Result<Markup, Failure> {
    let control_plane = &state.control_plane;
    let (new, read) = webhook_form::parse_new(form, project.id.as_str());
    let made = one_time::make_once(state, visitor.context(), form, |context| async move {
        if read.is_err() {
            both(read, control_plane.check_new_webhook(&context, new.clone()).await)?;
        }
        let created = control_plane.create_webhook(&context, new).await?;
        let secret = created.secret.unwrap_or_else(|| Secret::new(String::new()));
        Ok(Shown { id: created.webhook.record.id.to_string(), secret })
    });
    let shown = made.await?;
    let found = webhook_frame::read(state, visitor, &shown.id).await?;
    let token = control_plane.webhook_static_token(&found.webhook.record)?;
    Ok(created_page(visitor, &found, &shown, token.as_ref()))
}

fn new_page(
    state: &DashboardState,
    visitor: &Visitor,
    project: &Project,
    entries: Entries<'_>,
    test: Option<Markup>,
) -> Markup {
    let path = format!("{ROOT}/projects/{}", project.id);
    let content = html! {
        h1 { "Create a new webhook" }
        p { "Start listening to key events." }
        form.stack.card method="post" action={ (path) "/webhooks/new" } {
            (entries.summary(&webhook_form::FIELDS))
            (webhook_form::fields(entries, &state.control_plane))
            @if visitor.sees_account() {
                (entries.choice("events", "Events of", &[("project", "This project"), ("account", "All projects of the account")]))
            }
            (webhook_form::set_live(entries))
            (webhook_form::more_fields(entries))
            @if let Some(test) = test { (test) }
            (one_time::field(entries.form))
            div.actions {
                (test_button(&format!("{path}/webhooks/new")))
                button.primary { "Save New Hook" }
                a.button href={ (path) "#webhooks" } { "Cancel" }
            }
        }
    };
    layout::project_page(visitor, project, "Create a new webhook", content)
}

/// Shows the button that sends a form to be tested, not saved.
pub(crate) fn test_button(path: &str) -> Markup {
    html! { button name="do" value=(TEST) formaction={ (path) (webhook_ping::RESULT) } formnovalidate { "Test Connection" } }
}

/// Returns whether a form is to be tested, not saved.
pub(crate) fn asks_for_test(form: &Form) -> bool {
    form.text("do") == TEST
}

fn created_page(visitor: &Visitor, found: &WebhookAndProject, shown: &Shown, token: Option<&Secret>) -> Markup {
    let webhook = &found.webhook.record;
    let content = html! {
        h1 { "Webhook created" }
        (secret_once(webhook, &shown.secret, token))
        p { a.button.primary href={ (ROOT) "/webhooks/" (webhook.id) } { "I have copied it" } }
    };
    webhook_frame::webhook_page(visitor, found, "Webhook created", content)
}

/// Shows the signing secret of a webhook, its token if there is one, and how to verify requests with it.
pub(crate) fn secret_once(webhook: &Webhook, secret: &Secret, token: Option<&Secret>) -> Markup {
    html! {
        section.card.once aria-labelledby="once-heading" {
            h2 #once-heading { "Copy it now. It is not shown again." }
            p { "The signing secret: your receiver needs it to tell our requests from others." }
            output.value { (copy::text(secret.expose(), "Copy the signing secret")) }
            @if let Some(token) = token {
                p { "The token that is sent as " code { "theauthapi-signature" } ":" }
                output.value { (copy::text(token.expose(), "Copy the token")) }
            }
            p.hint { "Later you find the webhook by its name " strong { (webhook.name) } " or its ID " code { (webhook.id) } ". A lost secret can be rotated." }
        }
        section aria-labelledby="verify-heading" {
            h2 #verify-heading { "Verify requests" }
            (snippets::verification())
        }
    }
}
