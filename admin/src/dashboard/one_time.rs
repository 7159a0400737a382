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
use rand::RngExt;

use super::form::Form;
use super::state::DashboardState;

/// Name of the hidden field that is drawn with a form.
const FIELD: &str = "once";
/// Random numbers of 64 bits in it, and digits of each in base 62.
const TOKEN_NUMBERS: usize = 2;
const NUMBER_DIGITS: u32 = 11;

/// A record that was made, and its value.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) secret: Secret,
}

impl Shown {
    fn decode(stored: &Secret) -> Option<Self> {
        let (id, secret) = stored.expose().split_once('\n')?;
        Some(Self { id: id.to_owned(), secret: Secret::new(secret.to_owned()) })
    }

    fn encode(&self) -> Secret {
        Secret::new(format!("{}\n{}", self.id, self.secret.expose()))
    }
}

/// Returns the hidden field: the one that was sent, or a new one.
pub(crate) fn field(form: &Form) -> Markup {
    let token = form.filled(FIELD).unwrap_or_else(generate_token);
    html! { input type="hidden" name=(FIELD) value=(token); }
}

/// Makes a record with a value, or returns the one that the same form made before.
///
/// # Errors
/// Those of `make`, and `idempotency-in-flight` if the same form is still being worked on.
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
    let slot = control_plane.idempotency_slot(&context.caller, &format!("dashboard:{}", form.text(FIELD)));
    let in_flight = Secret::new(String::new());
    match control_plane.claim_response(&context.caller, &slot, in_flight).await? {
        ResponseClaim::Taken(existing) => Shown::decode(&existing).ok_or_else(|| {
            Failure::refused(ErrorCode::IdempotencyInFlight, "this form is still being worked on; reload in a moment")
        }),
        ResponseClaim::Claimed(token) => {
            let encoder = Arc::new(ShownEncoder(control_plane.clone()));
            let idempotency = Some(Idempotency { slot, request_digest: String::new(), encoder });
            let made = make(RequestContext { idempotency, ..context }).await;
            if made.is_err()
                && let Err(error) = control_plane.release_response_claim(&token).await
            {
                tracing::warn!(error = %error_chain(&error), "a form that failed cannot be sent again for 120 s");
            }
            made
        }
    }
}

/// Encodes what a form shows, so that the change stores it in its own commit.
struct ShownEncoder(ControlPlane);

impl ResponseEncoder for ShownEncoder {
    fn encode(&self, _: &str, change: &Change) -> Result<Option<Secret>, Failure> {
        let Some(record) = change.writes.first().and_then(|write| write.new.as_ref()) else { return Ok(None) };
        let (id, secret) = match record {
            Record::ApiKey(key) => (key.id.to_string(), change.secret.clone()),
            Record::AccessKey(key) => (key.id.to_string(), change.secret.clone()),
            Record::Webhook(webhook) => (webhook.id.to_string(), Some(self.0.webhook_secret(webhook)?)),
            Record::Account(_) | Record::Project(_) => return Ok(None),
        };
        Ok(secret.map(|secret| Shown { id, secret }.encode()))
    }
}

fn generate_token() -> String {
    let mut rng = os_rng();
    let mut token = String::new();
    for _ in 0..TOKEN_NUMBERS {
        base62::push_number(&mut token, rng.random_range(0..=u64::MAX), NUMBER_DIGITS);
    }
    token
}
