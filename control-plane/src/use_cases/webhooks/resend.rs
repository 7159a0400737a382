//! Sending a delivery again.

use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{Webhook, WebhookState, WhenPaused};
use gatepost_store::{DeliveryKind, LeaseStatus, SendNowOutcome};

use super::deliveries::{DeliveryView, no_delivery, parse_event_id};
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};
use crate::request_context::RequestContext;

impl ControlPlane {
    /// Sends a delivery again: a dead one with a fresh schedule, one that waits at once, one that was delivered or
    /// dropped with its event from the stream. Where the value is no longer kept, the request has its mask. Returns the
    /// delivery: while its webhook is paused and keeps its events, it waits.
    ///
    /// # Errors
    /// `not-found` if nothing is known of it; `conflict` if the webhook sends nothing (see [`reason_not_to_send`]), if the
    /// delivery is being sent, or if its event is no longer kept.
    pub async fn resend_delivery(&self, context: &RequestContext, webhook: &str, event: &str) -> Result<DeliveryView> {
        context.caller.require_write()?;
        let webhook = self.webhook(context, webhook).await?.record;
        let cell = self.store.home(webhook.id.partition());
        let event = parse_event_id(event)?;
        let delivery = cell.delivery(&webhook.id, &event).await?.ok_or_else(no_delivery)?;
        check_sends(&webhook)?;
        let is_sent = match delivery.kind {
            DeliveryKind::Waiting => match cell.send_now(&webhook.id, &event).await? {
                SendNowOutcome::Due => true,
                SendNowOutcome::InFlight => {
                    return Err(Failure::refused(ErrorCode::Conflict, "the delivery is being sent: wait for its end"));
                }
                SendNowOutcome::NotWaiting => false,
            },
            DeliveryKind::Dead => cell.resend(&webhook.id, &event).await? == LeaseStatus::Held,
            DeliveryKind::Delivered | DeliveryKind::Dropped => match delivery.event_version {
                Some(version) => cell.send_again(&webhook.id, &event, version).await?,
                None => false,
            },
        };
        if !is_sent {
            let detail =
                "the delivery cannot be sent again: its event is no longer kept, or its state has just changed";
            return Err(Failure::refused(ErrorCode::Conflict, detail));
        }
        let sent = cell.delivery(&webhook.id, &event).await?.unwrap_or(delivery);
        Ok(DeliveryView::new(sent, &webhook))
    }
}

/// Refuses to send deliveries of a webhook again that would be given up at once, or must not be sent: it is disabled, or
/// paused and drops its events.
pub(super) fn check_sends(webhook: &Webhook) -> Result<()> {
    match reason_not_to_send(webhook) {
        Some(reason) => Err(Failure::refused(ErrorCode::Conflict, reason)),
        None => Ok(()),
    }
}

/// Returns why deliveries of a webhook cannot be sent again, and what to do about it; `None` if they can.
pub fn reason_not_to_send(webhook: &Webhook) -> Option<&'static str> {
    match (webhook.state(), webhook.delivery.when_paused) {
        (WebhookState::Disabled, _) => {
            Some("the webhook is disabled and nothing is sent to it: set its status to live first, and then try again")
        }
        (WebhookState::Paused, WhenPaused::Drop) => {
            Some("the webhook is paused and nothing is sent to it: set its status to live first, and then try again")
        }
        (WebhookState::Paused, WhenPaused::Keep) | (WebhookState::Live | WebhookState::Failing, _) => None,
    }
}
