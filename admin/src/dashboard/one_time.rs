//! Values that are shown once, in the response to the form that made them. A form that is sent again, by a reload or by a
//! second click, shows the same value and makes nothing new.

use std::sync::Arc;

use gatepost_control_plane::{ControlPlane, Failure, Idempotency, RequestContext, ResponseEncoder};
use gatepost_domain::base62;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Record;
use gatepost_runtime::error_chain;
use gatepost_store::{Change, ResponseClaim, os_rng};
use maud::{Markup, html};

use super::form::Form;
use super::state::DashboardState;

/// Name of the hidden field that is drawn with a form.
const FIELD: &str = "once";
/// Base-62 digits of its value: 130 bits.
const TOKEN_DIGITS: usize = 22;

/// A record that was made, and its value.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) secret: Secret,
}

/// Content of the slot of a form: a digest of its entries, and what it has made, if that is done.
struct StoredForm {
    digest: String,
    shown: Option<Shown>,
}

impl StoredForm {
    fn decode(stored: &Secret) -> Option<Self> {
        let mut lines = stored.expose().splitn(3, '\n');
        let digest = lines.next()?.to_owned();
        let shown = match (lines.next(), lines.next()) {
            (Some(id), Some(secret)) => Some(Shown { id: id.to_owned(), secret: Secret::new(secret.to_owned()) }),
            (Some(_) | None, Some(_) | None) => None,
        };
        Some(Self { digest, shown })
    }

    fn encode(&self) -> Secret {
        Secret::new(match &self.shown {
            Some(shown) => format!("{}\n{}\n{}", self.digest, shown.id, shown.secret.expose()),
            None => self.digest.clone(),
        })
    }
}

/// Returns the hidden field: the one that was sent, or a new one.
pub(crate) fn field(form: &Form) -> Markup {
    let token = form.filled(FIELD).unwrap_or_else(generate_token);
    html! { input type="hidden" name=(FIELD) value=(token); }
}

/// Makes a record with a value, or returns the one that the same form with the same entries made before.
///
/// # Errors
/// Those of `make`, `idempotency-in-flight` if the same form is still being worked on, `idempotency-mismatch` if it was
/// sent before with other entries, and `validation` without the hidden field.
pub(crate) async fn make_once<F>(
    state: &DashboardState,
    context: RequestContext,
    form: &Form,
    make: impl FnOnce(RequestContext) -> F,
) -> Result<Shown, Failure>
where
    F: Future<Output = Result<Shown, Failure>>,
{
    let control_plane = &state.control_plane;
    let token = form.filled(FIELD).ok_or_else(|| Failure::invalid("this form is not complete; open it again"))?;
    let slot = control_plane.idempotency_slot(&context.caller, &format!("dashboard:{token}"));
    let digest = control_plane.fingerprint(&form.to_text());
    let in_flight = StoredForm { digest: digest.clone(), shown: None }.encode();
    let claim = match control_plane.claim_response(&context.caller, &slot, in_flight).await? {
        ResponseClaim::Claimed(claim) => claim,
        ResponseClaim::Taken(stored) => return replay(&stored, &digest),
    };
    let encoder = Arc::new(ShownEncoder(control_plane.clone()));
    let idempotency = Some(Idempotency { slot, request_digest: digest, encoder });
    let made = make(RequestContext { idempotency, ..context }).await;
    if made.is_err()
        && let Err(error) = control_plane.release_response_claim(&claim).await
    {
        tracing::warn!(error = %error_chain(&error), "a form that failed cannot be sent again for 120 s");
    }
    made
}

/// Returns what a form has made before.
fn replay(stored: &Secret, digest: &str) -> Result<Shown, Failure> {
    let stored = StoredForm::decode(stored).ok_or(ErrorCode::Internal)?;
    if stored.digest != digest {
        let detail = "this form was sent before with other entries; open it again";
        return Err(Failure::refused(ErrorCode::IdempotencyMismatch, detail));
    }
    stored.shown.ok_or_else(|| {
        Failure::refused(ErrorCode::IdempotencyInFlight, "this form is still being worked on; reload in a moment")
    })
}

/// Encodes what a form shows, so that the change stores it in its own commit.
struct ShownEncoder(ControlPlane);

impl ResponseEncoder for ShownEncoder {
    fn encode(&self, request_digest: &str, change: &Change) -> Result<Option<Secret>, Failure> {
        let Some(record) = change.writes.first().and_then(|write| write.new.as_ref()) else { return Ok(None) };
        let (id, secret) = match record {
            Record::ApiKey(key) => (key.id.to_string(), change.secret.clone()),
            Record::AccessKey(key) => (key.id.to_string(), change.secret.clone()),
            Record::Webhook(webhook) => (webhook.id.to_string(), Some(self.0.webhook_secret(webhook)?)),
            Record::Account(_) | Record::Project(_) => return Ok(None),
        };
        let digest = request_digest.to_owned();
        Ok(secret.map(|secret| StoredForm { digest, shown: Some(Shown { id, secret }) }.encode()))
    }
}

fn generate_token() -> String {
    let mut token = String::with_capacity(TOKEN_DIGITS);
    base62::push_random(&mut token, TOKEN_DIGITS, &mut os_rng());
    token
}
