//! JSON shapes of resources, shared by the responses of the admin API and the events sent to webhooks.

mod event;
mod key;
mod members;
mod resource;

pub use event::{ActorBody, ChangeBody, ChangeView, EventBody, change_body, event_body, event_type};
pub use key::{AccessKeyBody, ApiKeyBody, CreationContextBody, QuotaBody, RateLimitBody};
pub use resource::{AccountBody, ProjectBody, WebhookBody};
