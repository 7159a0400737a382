//! Settings of the deliveries of a webhook, and the key pair of its `v1a` signatures.

use gatepost_domain::id::WebhookId;
use gatepost_domain::record::{
    DeliverySettings, KeyValues, MaxInFlight, RatePerSecond, SignatureKind, SigningKey, WhenPaused,
};
use gatepost_domain::retry_schedule::RetrySchedule;
use gatepost_webhook_client::Ed25519Seed;

use super::secrets::new_secret;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result, all, both};
use crate::use_cases::patch::Patch;

/// Requested settings; absent members stay as they are, in a new webhook as the default.
#[derive(Debug, Clone, Default)]
pub struct DeliverySettingsPatch {
    /// Delays in seconds. Null for the standard schedule.
    pub retry_schedule: Patch<Vec<u64>>,
    /// Null for the maximum of every webhook.
    pub max_in_flight: Patch<u64>,
    /// Null for no maximum.
    pub rate_per_second: Patch<u64>,
    pub omit_secrets: Option<bool>,
    pub signatures: Option<Vec<String>>,
    /// `drop` or `keep`.
    pub when_paused: Option<String>,
}

impl ControlPlane {
    /// Returns the settings after a request. A key pair is generated when `v1a` is first asked for, and removed when it
    /// is not any more.
    pub(super) fn apply_delivery(
        &self,
        id: &WebhookId,
        current: &DeliverySettings,
        request: DeliverySettingsPatch,
    ) -> Result<DeliverySettings> {
        let mut settings = current.clone();
        if let Some(omit_secrets) = request.omit_secrets {
            settings.key_values = if omit_secrets { KeyValues::Omitted } else { KeyValues::Sent };
        }
        let when_paused = request.when_paused.as_deref().map_or(Ok(settings.when_paused), parse_when_paused);
        let applied = all([
            request.retry_schedule.apply_to(&mut settings.retry_schedule, |delays_s| parse_schedule(&delays_s)),
            request.max_in_flight.apply_to(&mut settings.max_in_flight, parse_max_in_flight),
            request.rate_per_second.apply_to(&mut settings.rate, parse_rate),
            when_paused.map(|when_paused| settings.when_paused = when_paused),
        ]);
        let signatures = request.signatures.as_deref().map(parse_signatures).transpose();
        let ((), signatures) = both(applied, signatures)?;
        match signatures {
            None => {}
            Some(requested) if requested == settings.signatures() => {}
            Some([SignatureKind::V1]) => {
                settings.signing_key = None;
                settings.old_signing_keys.clear();
            }
            Some(_) => settings.signing_key = Some(self.new_signing_key(id)?),
        }
        Ok(settings)
    }

    /// Generates a key pair for a webhook.
    pub(super) fn new_signing_key(&self, id: &WebhookId) -> Result<SigningKey> {
        let seed = Ed25519Seed::new(new_secret());
        let secret = self.store.envelope().seal_signing_key(id, seed.as_bytes())?;
        Ok(SigningKey { public: seed.public_key(), secret })
    }
}

fn parse_schedule(delays_s: &[u64]) -> Result<RetrySchedule> {
    RetrySchedule::from_seconds(delays_s).map_err(|error| Failure::invalid(format!("retrySchedule: {error}")))
}

fn parse_max_in_flight(count: u64) -> Result<MaxInFlight> {
    let parsed = u32::try_from(count).ok().and_then(MaxInFlight::new);
    parsed.ok_or_else(|| Failure::invalid(format!("maxInFlight: must be 1 to {}", MaxInFlight::LIMIT.get())))
}

fn parse_rate(requests: u64) -> Result<RatePerSecond> {
    let parsed = u32::try_from(requests).ok().and_then(RatePerSecond::new);
    parsed.ok_or_else(|| Failure::invalid(format!("ratePerSecond: must be 1 to {}", RatePerSecond::MAX.get())))
}

fn parse_when_paused(text: &str) -> Result<WhenPaused> {
    WhenPaused::parse(text).ok_or_else(|| Failure::invalid("whenPaused: must be drop or keep"))
}

/// Parses the kinds of signatures: `v1`, alone or with `v1a`, in any order.
fn parse_signatures(names: &[String]) -> Result<&'static [SignatureKind]> {
    let kinds: Option<Vec<SignatureKind>> = names.iter().map(|name| SignatureKind::parse(name)).collect();
    match kinds.as_deref() {
        Some([SignatureKind::V1]) => Ok(&SignatureKind::ALL[..1]),
        Some([SignatureKind::V1, SignatureKind::V1a] | [SignatureKind::V1a, SignatureKind::V1]) => {
            Ok(&SignatureKind::ALL)
        }
        Some(_) | None => Err(Failure::invalid(r#"signatures: must be ["v1"] or ["v1", "v1a"]"#)),
    }
}
