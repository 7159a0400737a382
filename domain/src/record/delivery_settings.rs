//! Settings of the deliveries of one webhook: retries, concurrency, rate, key values, and additional signatures.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::sealed::{OldSecret, Sealed};
use crate::retry_schedule::{RetrySchedule, STANDARD_SCHEDULE};
use crate::window::{Limit, WindowKind};

/// Number of windows per second in which the requests of a fast webhook are counted. More windows spread the requests
/// more evenly.
const WINDOWS_PER_SECOND: u32 = 10;

/// How the deliveries of a webhook are made. The default is what webhooks without such settings get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliverySettings {
    /// Delays between attempts. `None` for the standard schedule.
    pub retry_schedule: Option<RetrySchedule>,
    /// Maximum number of concurrent deliveries. `None` for the maximum of every webhook.
    pub max_in_flight: Option<MaxInFlight>,
    /// Maximum number of requests per second. `None` for no maximum.
    pub rate: Option<RatePerSecond>,
    /// Whether key values are sent.
    pub key_values: KeyValues,
    /// Key pair of the `v1a` signatures. `None` if requests have `v1` signatures only.
    pub signing_key: Option<SigningKey>,
    /// Replaced secret keys, the latest first.
    pub old_signing_keys: Vec<OldSecret>,
    /// What happens to events while the webhook is paused.
    pub when_paused: WhenPaused,
}

/// What happens to the events of a paused webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenPaused {
    /// They are not delivered, also when the webhook is live again.
    #[default]
    Drop,
    /// They wait until the webhook is live again.
    Keep,
}

impl WhenPaused {
    /// Returns the name used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            WhenPaused::Drop => "drop",
            WhenPaused::Keep => "keep",
        }
    }

    /// Parses the output of [`WhenPaused::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [WhenPaused::Drop, WhenPaused::Keep].into_iter().find(|one| one.as_str() == text)
    }
}

impl DeliverySettings {
    /// Returns the schedule of the webhook, its own or the standard one.
    pub fn schedule(&self) -> &RetrySchedule {
        self.retry_schedule.as_ref().unwrap_or(&STANDARD_SCHEDULE)
    }

    /// Returns the kinds of signatures that requests have.
    pub fn signatures(&self) -> &'static [SignatureKind] {
        match self.signing_key {
            None => &SignatureKind::ALL[..1],
            Some(_) => &SignatureKind::ALL,
        }
    }
}

/// Kind of signature of Standard Webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureKind {
    /// HMAC-SHA256 with a secret that the receiver knows too. Every request has one.
    V1,
    /// Ed25519 with a secret key that the receiver does not know.
    V1a,
}

impl SignatureKind {
    /// All kinds, in the order in which requests have them.
    pub const ALL: [Self; 2] = [Self::V1, Self::V1a];

    /// Returns the name used in the API and in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            SignatureKind::V1 => "v1",
            SignatureKind::V1a => "v1a",
        }
    }

    /// Parses the output of [`SignatureKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whether bodies contain the values of keys, if the webhook may receive them at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyValues {
    /// They do.
    #[default]
    Sent,
    /// They contain the masks of the values instead.
    Omitted,
}

/// Ed25519 key pair that signs the requests of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The public key, which receivers verify signatures with.
    pub public: PublicKey,
    /// Seed of the secret key (RFC 8032), sealed and bound to the webhook's id.
    pub secret: Sealed,
}

/// Ed25519 public key. Displayed as Standard Webhooks writes it: `whpk_` and base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "whpk_{}", STANDARD.encode(self.0))
    }
}

/// Maximum number of concurrent deliveries that a webhook was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxInFlight(u32);

impl MaxInFlight {
    /// The largest maximum, which webhooks without one of their own have.
    pub const LIMIT: Self = Self(16);

    /// Returns `None` for 0 and for more than [`MaxInFlight::LIMIT`].
    pub fn new(count: u32) -> Option<Self> {
        (1..=Self::LIMIT.0).contains(&count).then_some(Self(count))
    }

    /// Returns the number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Maximum number of requests per second that a webhook was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatePerSecond(u32);

impl RatePerSecond {
    /// The largest rate.
    pub const MAX: Self = Self(1000);

    /// Returns `None` for 0 and for more than [`RatePerSecond::MAX`].
    pub fn new(requests: u32) -> Option<Self> {
        (1..=Self::MAX.0).contains(&requests).then_some(Self(requests))
    }

    /// Returns the number of requests.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Returns the limit that keeps the rate: a tenth of the requests in a tenth of a second, or one request in a
    /// longer window. Windows are rounded up to milliseconds, so the rate is never exceeded.
    pub fn limit(self) -> Limit {
        let per_window = self.0.div_ceil(WINDOWS_PER_SECOND);
        let window_ms = (u64::from(per_window) * 1000).div_ceil(u64::from(self.0));
        Limit {
            max_requests: u64::from(per_window),
            window_kind: WindowKind::FromFirstUse(Duration::from_millis(window_ms)),
            // Windows are so short that the one of a replaced rate may end as it is.
            generation: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_keeps_the_rate_to_the_millisecond() {
        for requests in 1..=1000 {
            let limit = RatePerSecond::new(requests).unwrap().limit();
            let WindowKind::FromFirstUse(window) = limit.window_kind else { panic!("{limit:?}") };
            let (window_ms, requests) = (u64::try_from(window.as_millis()).unwrap(), u64::from(requests));
            assert!(limit.max_requests * 1000 <= requests * window_ms, "{requests}: {limit:?} is too fast");
            assert!(limit.max_requests * 1000 > requests * (window_ms - 1), "{requests}: {limit:?} is too slow");
            assert!((100..=1000).contains(&window_ms), "{requests}: {limit:?}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!([0, 17].map(MaxInFlight::new), [None, None]);
        assert_eq!([1, 16].map(|count| MaxInFlight::new(count).map(MaxInFlight::get)), [Some(1), Some(16)]);
        assert_eq!([0, 1001].map(RatePerSecond::new), [None, None]);
        assert_eq!([1, 1000].map(|rate| RatePerSecond::new(rate).map(RatePerSecond::get)), [Some(1), Some(1000)]);
    }

    #[test]
    fn without_settings_the_schedule_is_the_standard_one() {
        assert_eq!(*DeliverySettings::default().schedule(), STANDARD_SCHEDULE);
        let own = RetrySchedule::from_seconds(&[1]).ok();
        assert_eq!(DeliverySettings { retry_schedule: own.clone(), ..Default::default() }.schedule(), &own.unwrap());
    }
}
