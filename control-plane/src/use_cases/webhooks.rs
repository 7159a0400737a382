//! Webhooks.

mod change;
mod create;
mod delivery;
mod destination;
pub(crate) mod ping;
mod read;
mod remove;
mod revealed;
mod secrets;
mod static_token;
mod validate;

pub use change::WebhookChange;
pub use create::NewWebhook;
pub use delivery::DeliveryRequest;
pub use read::WebhookFilter;
pub use revealed::{RevealedWebhook, WebhookValues};
pub use static_token::{TokenRequest, token_request};
