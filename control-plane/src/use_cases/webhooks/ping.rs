//! A request to an address before it is made a webhook, to see whether it would be reached.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_deliverer::send::Message;
use gatepost_domain::id::EventId;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::schedule::Outcome;
use gatepost_store::os_rng;
use serde_json::{Value, json};

use super::asked;
use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::{Failure, Result};

/// Pings that one process sends at a time.
pub(crate) const MAX_PINGS: usize = 64;
/// Of these, kept for accounts that send none.
pub(crate) const PINGS_KEPT: usize = 16;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pings that an account may send at once; a ping can find out what answers where.
pub(crate) const PING_BURST: u32 = 10;
/// How long it takes until it may send one more.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(6);
/// Accounts whose pings are counted at a time.
pub(crate) const MAX_ACCOUNTS: u64 = 10_000;

/// What shall be sent.
#[derive(Debug, Default)]
pub(crate) struct AskedPing {
    pub(crate) url: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<Value>,
}

/// How a ping ended. What the receiver answered is not told: it may be a place that the caller could not ask.
#[derive(Debug)]
pub(crate) struct Pinged {
    pub(crate) id: EventId,
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
    pub(crate) took: Duration,
}

impl ControlPlane {
    /// Sends a ping, once. It carries no signature, as there is no secret yet.
    pub(crate) async fn ping(&self, caller: &Caller, asked: AskedPing) -> Result<Pinged> {
        caller.may_write()?;
        let url = asked.url.as_deref().ok_or_else(|| Failure::invalid("url: is missing"))?;
        let method = asked::method(asked.method.as_deref())?;
        let headers = asked::headers(asked.headers)?;
        self.pings.take(caller.account.clone(), self.clock.uptime()).map_err(Failure::TooFast)?;
        let url = self.checked_url(url).await?;
        let Some(_sending) = self.pinging.take(&caller.account, PATIENCE).await else {
            self.metrics.no_place("pings");
            return Err(Failure::refused(ErrorCode::Overloaded, "too many pings are being sent; try again"));
        };
        let id = EventId::generate(&mut os_rng());
        let body = asked.body.unwrap_or_else(
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
        Ok(Pinged { outcome: sent.outcome, status: sent.status, error: sent.error, took: sent.took, id })
    }
}
