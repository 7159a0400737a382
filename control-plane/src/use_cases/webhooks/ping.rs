//! A request to an address before it is made a webhook, to see whether it would be reached.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_deliverer::send::Message;
use gatepost_domain::id::EventId;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::retry_schedule::AttemptOutcome;
use gatepost_store::os_rng;
use serde_json::{Value, json};

use super::validate;
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::{Failure, Result};

/// Pings that one process sends at a time.
pub(crate) const MAX_PINGS: usize = 64;
/// Of these, kept for accounts that send none.
pub(crate) const RESERVED_PINGS: usize = 16;
/// How long one waits for its turn.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Pings that an account may send at once; a ping can find out what answers where.
pub(crate) const PING_BURST: u32 = 10;
/// How long it takes until it may send one more.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(6);
/// Accounts whose pings are counted at a time.
pub(crate) const MAX_ACCOUNTS: u64 = 10_000;

/// What shall be sent.
#[derive(Debug, Default)]
pub(crate) struct PingRequest {
    pub(crate) url: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<Value>,
}

/// How a ping ended. What the receiver answered is not told: it may be a place that the caller could not ask.
#[derive(Debug)]
pub(crate) struct PingResult {
    pub(crate) id: EventId,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
    pub(crate) took: Duration,
}

impl ControlPlane {
    /// Sends a ping, once. It carries no signature, as there is no secret yet.
    pub(crate) async fn ping(&self, caller: &Caller, request: PingRequest) -> Result<PingResult> {
        caller.require_write()?;
        let url = request.url.as_deref().ok_or_else(|| Failure::invalid("url: is missing"))?;
        let method = validate::parse_method(request.method.as_deref())?;
        let headers = validate::parse_headers(request.headers)?;
        self.ping_limiter.try_acquire(caller.account.clone(), self.clock.uptime()).map_err(Failure::Throttled)?;
        let url = self.check_url(url).await?;
        let Some(_sending) = self.concurrent_pings.acquire(&caller.account, PERMIT_TIMEOUT).await else {
            self.metrics.count_no_permit("pings");
            return Err(Failure::refused(ErrorCode::Overloaded, "too many pings are being sent; try again"));
        };
        let id = EventId::generate(&mut os_rng());
        let body = request.body.unwrap_or_else(
            || json!({"id": id.as_str(), "type": "ping", "timestamp": self.now().to_string(), "data": {}}),
        );
        let message = Message {
            url: &url,
            method: &method,
            headers: &headers,
            id: &id,
            body: body.to_string().into_bytes(),
            secrets: &[],
            static_token: None,
        };
        let sent = self.sender.send(message).await;
        Ok(PingResult { outcome: sent.outcome, status: sent.status, error: sent.error, took: sent.elapsed, id })
    }
}
