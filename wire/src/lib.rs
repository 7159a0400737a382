//! JSON shapes of resources, shared by the responses of the admin API and the events sent to webhooks.

#![warn(clippy::missing_errors_doc)]

mod event;
mod key;
mod members;
mod resource;

pub use event::{
    ActorMember, ChangeResource, ChangeView, KeyMember, ResourceOwner, WebhookPayload, change_resource, event_type,
};
pub use key::{AccessKeyResource, ApiKeyResource, CreationContextMember, QuotaMember, RateLimitMember};
pub use resource::{AccountResource, ProjectResource, WebhookResource};
