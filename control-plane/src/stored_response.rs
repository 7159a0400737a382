//! Answers that are kept for requests that are repeated with the same `Idempotency-Key`.
//!
//! A change keeps an answer in its own commit, made from its record: so whoever repeats a request whose process has
//! died is answered, and nothing is done twice. When the request has ended, its real answer takes that one's place.

use std::time::Duration;

use gatepost_deliverer::sign;
use gatepost_domain::change::Action;
use gatepost_domain::id::AccessKeyId;
use gatepost_domain::key::Secret;
use gatepost_domain::record::Record;
use gatepost_store::{Change, StoredResponse};
use gatepost_wire::{AccessKeyBody, AccountBody, ApiKeyBody, ProjectBody, WebhookBody};
use serde::{Deserialize, Serialize};

use crate::ControlPlane;
use crate::caller::Caller;
use crate::failure::Result;

/// For how long an answer is kept.
pub(crate) const RESPONSE_TTL: Duration = Duration::from_secs(24 * 3600);
/// For how long a request that has not ended keeps others with its key from beginning. Longer than any may take.
pub(crate) const IN_FLIGHT_TTL: Duration = Duration::from_secs(120);

/// How many answers are kept for an account at once, and after how long one more: what is kept has a bound.
pub(crate) const RESPONSE_BURST: u32 = 10_000;
/// See [`RESPONSE_BURST`].
pub(crate) const RESPONSE_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes of an answer that counts as one; a longer one counts as several.
const BYTES_PER_RESPONSE: u64 = 2048;
/// Accounts whose answers are counted.
pub(crate) const MAX_ACCOUNTS: u64 = 100_000;

/// What stands under a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IdempotencyRecord {
    /// Which request has used the key: a digest of its method, path and body.
    pub(crate) request: String,
    /// What it was answered; absent while it has not ended.
    pub(crate) answer: Option<ResponseSnapshot>,
}

/// An answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ResponseSnapshot {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Where the answer to a request shall be kept.
#[derive(Debug, Clone)]
pub(crate) struct IdempotencySlot {
    pub(crate) name: String,
    pub(crate) request_digest: String,
}

impl IdempotencySlot {
    pub(crate) fn to_stored_response(&self, answer: Option<ResponseSnapshot>) -> StoredResponse {
        let ttl = if answer.is_some() { RESPONSE_TTL } else { IN_FLIGHT_TTL };
        let record = IdempotencyRecord { request: self.request_digest.clone(), answer };
        let text = serde_json::to_string(&record).expect("it is made of texts and numbers");
        StoredResponse { name: self.name.clone(), response: Secret::new(text), ttl }
    }
}

impl ControlPlane {
    /// Counts an answer of this many bytes, which has counted as one already, by its length.
    pub(crate) fn charge_for_length(&self, caller: &Caller, bytes: u64) {
        let further = bytes.div_ceil(BYTES_PER_RESPONSE).saturating_sub(1);
        self.stored_response_limiter.record_many(caller.account.clone(), further, self.clock.uptime());
    }

    /// Where an access key's answers are kept. What clients choose as keys is not stored in clear.
    pub(crate) fn idempotency_slot(&self, access_key: &AccessKeyId, key: &str, request: &str) -> IdempotencySlot {
        IdempotencySlot {
            name: format!("idempotency:{access_key}:{}", self.store.digest(key).to_hex()),
            request_digest: self.store.digest(request).to_hex(),
        }
    }

    /// The answer to a change, as far as its record tells it.
    pub(crate) fn response_of_change(&self, change: &Change) -> Result<Option<ResponseSnapshot>> {
        let Some(record) = change.writes.first().and_then(|write| write.new.as_ref()) else { return Ok(None) };
        let shown = |id: &str| change.secret.as_ref().map_or(id.to_owned(), |secret| secret.expose().to_owned());
        let body = match record {
            Record::Account(account) => serde_json::to_string(&AccountBody::from(account)),
            Record::Project(project) => serde_json::to_string(&ProjectBody::from(project)),
            Record::ApiKey(key) => serde_json::to_string(&ApiKeyBody::new(key, &shown(key.id.as_str()), None)),
            Record::AccessKey(key) => serde_json::to_string(&AccessKeyBody::new(key, &shown(key.id.as_str()))),
            Record::Webhook(webhook) => {
                let secret = self.store.open_webhook_secret(&webhook.id, &webhook.secret)?;
                let secret = Some(sign::secret_text(&secret));
                serde_json::to_string(&WebhookBody { secret, ..self.unmasked_webhook_body(webhook)? })
            }
        };
        let body = body.expect("bodies are structs with text keys");
        let status = if change.action == Action::WebhookUpdated { 200 } else { 201 };
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Ok(Some(ResponseSnapshot { status, headers, body }))
    }
}
