//! Pings: requests to an address before it becomes a webhook, to see whether it can be reached.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_domain::id::EventId;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::retry_schedule::AttemptOutcome;
use gatepost_webhook_client::{ErrorClass, Message};

use super::validate;
use crate::caller::Caller;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result, both};
use crate::fair_share::FairSharePermit;
use crate::request_context::RequestContext;

/// Time that a ping waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct PingRequest {
    /// Sent as `webhook-id`.
    pub id: EventId,
    pub url: Option<String>,
    pub method: Option<String>,
    pub headers: BTreeMap<String, String>,
    /// JSON.
    pub body: Vec<u8>,
}

/// The outcome of a ping. It does not show the receiver's response: the caller may not be able to reach the receiver.
#[derive(Debug)]
pub struct PingResult {
    pub id: EventId,
    pub outcome: AttemptOutcome,
    pub status: Option<u16>,
    pub error: Option<String>,
    pub error_class: Option<ErrorClass>,
    pub took: Duration,
}

impl ControlPlane {
    /// Sends a ping, once and without a signature, as there is no secret yet.
    pub async fn ping(&self, context: &RequestContext, request: PingRequest) -> Result<PingResult> {
        let caller = &context.caller;
        caller.require_write()?;
        let url = request.url.as_deref().ok_or_else(|| Failure::invalid("url: is missing"));
        let method = validate::parse_method(request.method.as_deref());
        let ((url, method), headers) = both(both(url, method), validate::parse_headers(request.headers))?;
        self.charge_ping(caller)?;
        let url = self.check_url(url).await?;
        let _sending = self.acquire_ping(caller).await?;
        let message = Message {
            url: &url,
            method: &method,
            headers: &headers,
            id: &request.id,
            body: request.body,
            secrets: &[],
            static_token: None,
            confidential: &[],
        };
        let sent = self.sender.send(message).await;
        Ok(PingResult {
            outcome: sent.outcome,
            status: sent.status,
            error_class: sent.error.as_ref().map(|error| error.class()),
            error: sent.error.map(|error| error.to_string()),
            took: sent.elapsed,
            id: request.id,
        })
    }

    /// Counts a ping of an account, or another request whose outcome a caller learns at once.
    pub(super) fn charge_ping(&self, caller: &Caller) -> Result<()> {
        self.limits.pings.try_acquire(caller.account.clone(), self.clock.uptime()).map_err(Failure::Throttled)
    }

    /// Waits up to a second for a permit to send such a request.
    pub(super) async fn acquire_ping(&self, caller: &Caller) -> Result<FairSharePermit> {
        let permit = self.limits.concurrent_pings.acquire(&caller.account, PERMIT_TIMEOUT).await;
        permit.ok_or_else(|| {
            self.metrics.count_no_permit("pings");
            Failure::refused(ErrorCode::Overloaded, "too many pings are being sent; try again")
        })
    }
}
