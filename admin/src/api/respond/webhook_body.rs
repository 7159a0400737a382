//! Webhooks as their callers see them.

use gatepost_control_plane::{ControlPlane, RequestContext, Result, RevealedWebhook};
use gatepost_domain::key::Secret;
use gatepost_domain::record::{Role, Status, Webhook};
use gatepost_wire::WebhookBody;

/// Returns a webhook as a caller sees it: viewers see masks.
pub(crate) fn webhook_body(
    control_plane: &ControlPlane,
    context: &RequestContext,
    webhook: &Webhook,
) -> Result<WebhookBody> {
    match context.caller.role {
        Role::Viewer => Ok(WebhookBody::new(webhook)),
        Role::User | Role::Admin => unmasked_webhook_body(control_plane, webhook),
    }
}

/// Returns a webhook with its URL and the values of its headers.
pub(crate) fn unmasked_webhook_body(control_plane: &ControlPlane, webhook: &Webhook) -> Result<WebhookBody> {
    let shown = |secret: &Secret| secret.expose().to_owned();
    let values = control_plane.webhook_values(webhook)?;
    Ok(WebhookBody {
        url: shown(&values.url),
        custom_headers: values.headers.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
        ..WebhookBody::new(webhook)
    })
}

/// Returns a webhook with the secrets that only this response shows.
pub(crate) fn revealed_body(
    control_plane: &ControlPlane,
    context: &RequestContext,
    revealed: &RevealedWebhook,
) -> Result<WebhookBody> {
    let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    Ok(WebhookBody {
        secret: text(&revealed.secret),
        theauthapi_token: text(&revealed.static_token),
        is_active: revealed.activity == Status::Active,
        ..webhook_body(control_plane, context, &revealed.webhook.record)?
    })
}
