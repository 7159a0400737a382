//! Rotating the signing secret of a webhook: the new one is shown once.

use axum::extract::{Path, State};
use gatepost_domain::key::Secret;
use maud::{Markup, html};

use super::webhook_frame::{self, WebhookAndProject};
use super::webhook_new;
use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::form::{Form, FormFaults, NO_FAULTS};
use crate::dashboard::one_time::{self, Shown};
use crate::dashboard::parts::field::Entries;
use crate::dashboard::parts::time;
use crate::dashboard::root::ROOT;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Overlaps of a rotation: seconds, and words.
const OVERLAPS: [(&str, &str); 5] = [
    ("0", "None: requests have the new signature alone"),
    ("3600", "1 hour"),
    ("86400", "1 day"),
    ("259200", "3 days"),
    ("604800", "7 days"),
];
/// The overlap that a form begins with.
const DEFAULT_OVERLAP: &str = "86400";

pub(crate) async fn confirm_rotate(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> PageResult {
    visitor.caller().require_write()?;
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    let form = Form::with([("overlap", DEFAULT_OVERLAP.to_owned())]);
    Ok(answer::html_page(rotate_page(&visitor, &found, Entries { form: &form, faults: &NO_FAULTS })))
}

/// Gives a webhook a new signing secret, and shows it once.
pub(crate) async fn rotate(
    State(state): State<DashboardState>,
    visitor: Visitor,
    Path(id): Path<String>,
    form: Form,
) -> PageResult {
    visitor.caller().require_write()?;
    let found = webhook_frame::read(&state, &visitor, &id).await?;
    let (control_plane, overlap) = (&state.control_plane, form.number("overlap"));
    let rotated = one_time::make_once(&state, visitor.context(), &form, |context| async move {
        let rotated = control_plane.rotate_webhook_secret(&context, &id, overlap?).await?;
        let secret = rotated.secret.unwrap_or_else(|| Secret::new(String::new()));
        Ok(Shown { id, secret })
    });
    match rotated.await {
        Ok(shown) => {
            let found = webhook_frame::read(&state, &visitor, &shown.id).await?;
            Ok(answer::html_page(rotated_page(&state, &visitor, &found, &shown)))
        }
        Err(failure) => {
            let faults = FormFaults::of(failure)?;
            Ok(answer::faulty_form(rotate_page(&visitor, &found, Entries { form: &form, faults: &faults })))
        }
    }
}

fn rotated_page(state: &DashboardState, visitor: &Visitor, found: &WebhookAndProject, shown: &Shown) -> Markup {
    let (webhook, now) = (&found.webhook.record, state.control_plane.now());
    let content = html! {
        h1 { "Secret rotated" }
        @match webhook.old_secrets_until(now) {
            Some(until) => p { "Requests are signed with the old secret as well, until " (time::relative(until, now)) " (" (time::exact(until)) ")." },
            None => p { "Requests are signed with the new secret alone." },
        }
        (webhook_new::secret_once(webhook, &shown.secret, None))
        p { a.button.primary href={ (ROOT) "/webhooks/" (webhook.id) } { "I have copied it" } }
    };
    webhook_frame::webhook_page(visitor, found, "Secret rotated", content)
}

fn rotate_page(visitor: &Visitor, found: &WebhookAndProject, entries: Entries<'_>) -> Markup {
    let webhook = &found.webhook.record;
    let path = format!("{ROOT}/webhooks/{}", webhook.id);
    let title = format!("Rotate the secret of {}", webhook.name);
    let content = html! {
        h1 { (title) }
        p { "The webhook gets a new signing secret. During the overlap, requests have two signatures: one of the new secret, one of the old." }
        form.stack.card method="post" action={ (path) "/rotate-secret" } {
            (entries.summary(&[]))
            (entries.choice("overlap", "Overlap", &OVERLAPS))
            (one_time::field(entries.form))
            div.actions {
                button.primary { "Rotate" }
                a.button href=(path) { "Cancel" }
            }
        }
    };
    webhook_frame::webhook_page(visitor, found, &title, content)
}
