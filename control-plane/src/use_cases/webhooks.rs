//! Webhooks.

mod change;
mod change_deliveries;
mod create;
mod deliveries;
mod delivery;
mod destination;
mod numbers;
pub(crate) mod ping;
mod read;
mod recover;
mod remove;
mod resend;
mod revealed;
mod secrets;
mod send_test;
mod static_token;
mod validate;

pub use change::WebhookChange;
pub use change_deliveries::WebhookDelivery;
pub use create::NewWebhook;
pub use deliveries::{
    DEFAULT_DELIVERIES, DeliveryDetails, DeliveryFilter, DeliveryLimits, DeliveryPage, DeliveryStatus, DeliveryView,
    MAX_DELIVERIES,
};
pub use delivery::DeliverySettingsPatch;
pub use numbers::PAUSE_REASON;
pub use read::{WebhookFilter, WebhookScope};
pub use recover::RecoveryRequest;
pub use resend::reason_not_to_send;
pub use revealed::{RevealedWebhook, WebhookValues};
pub use send_test::{SampleEncoder, WebhookTestResult};
pub use static_token::{TokenRequest, token_request};
