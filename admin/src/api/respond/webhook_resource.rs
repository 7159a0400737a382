//! Webhooks as their callers see them.

use gatepost_control_plane::{ControlPlane, PAUSE_REASON, RequestContext, Result, RevealedWebhook};
use gatepost_domain::key::Secret;
use gatepost_domain::record::{Role, Status, Webhook};
use gatepost_wire::WebhookResource;

/// Returns a webhook as a caller sees it: viewers see masks.
pub(crate) fn webhook_resource(
    control_plane: &ControlPlane,
    context: &RequestContext,
    webhook: &Webhook,
) -> Result<WebhookResource> {
    match context.caller.role {
        Role::Viewer => Ok(WebhookResource::new(webhook, control_plane.now())),
        Role::User | Role::Admin => unmasked_webhook_resource(control_plane, webhook),
    }
}

/// Returns a webhook with its URL and the values of its headers.
pub(crate) fn unmasked_webhook_resource(control_plane: &ControlPlane, webhook: &Webhook) -> Result<WebhookResource> {
    let shown = |secret: &Secret| secret.expose().to_owned();
    let values = control_plane.webhook_values(webhook)?;
    Ok(WebhookResource {
        url: shown(&values.url),
        custom_headers: values.headers.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
        ..WebhookResource::new(webhook, control_plane.now())
    })
}

/// Returns a webhook with its signing secret, to be compared with what a caller sends. It must not be sent.
pub(crate) fn webhook_with_secret(control_plane: &ControlPlane, webhook: &Webhook) -> Result<WebhookResource> {
    let secret = control_plane.webhook_secret(webhook)?.expose().to_owned();
    Ok(WebhookResource { secret: Some(secret), ..WebhookResource::new(webhook, control_plane.now()) })
}

/// Returns a webhook with the secrets that only this response shows.
pub(crate) fn revealed_webhook_resource(
    control_plane: &ControlPlane,
    context: &RequestContext,
    revealed: &RevealedWebhook,
) -> Result<WebhookResource> {
    let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    Ok(WebhookResource {
        secret: text(&revealed.secret),
        theauthapi_token: text(&revealed.static_token),
        is_active: revealed.activity == Status::Active,
        recoverable: revealed.recoverable,
        ..webhook_resource(control_plane, context, &revealed.webhook.record)?
    })
}

/// Adds the pause that the receiver of a webhook has asked for, if it has.
pub(crate) async fn with_pause(
    control_plane: &ControlPlane,
    webhook: &Webhook,
    body: WebhookResource,
) -> Result<WebhookResource> {
    let paused_until = control_plane.paused_until(webhook).await?;
    Ok(WebhookResource {
        paused_until: paused_until.map(|until| until.to_string()),
        pause_reason: paused_until.map(|_| PAUSE_REASON.to_owned()),
        ..body
    })
}
