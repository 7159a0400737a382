//! Removing webhooks.

use gatepost_domain::change::Action;
use gatepost_domain::record::Webhook;
use gatepost_runtime::error_chain;
use gatepost_store::Versioned;

use crate::control_plane::ControlPlane;
use crate::failure::Result;
use crate::request_context::RequestContext;
use crate::update::Edit;

impl ControlPlane {
    /// Removes a webhook, and returns it as it was. Its queued deliveries are dropped.
    pub async fn delete_webhook(&self, context: &RequestContext, id: &str) -> Result<Versioned<Webhook>> {
        context.caller.require_write()?;
        let edit = |_: &Webhook| Ok(Edit::Remove(Action::WebhookDeleted));
        let removed = self.update(context.into(), || self.webhook(context, id), edit).await?;
        // The webhook is removed even if this fails: the deliverer drops what is left in the queue.
        if let Err(error) = self.store.home(removed.record.id.partition()).drop_queue(&removed.record.id).await {
            let webhook = removed.record.id.as_str();
            tracing::warn!(
                error = %error_chain(&error),
                webhook,
                "dropping the queue of a removed webhook failed; the deliverer drops it"
            );
        }
        Ok(removed)
    }
}
