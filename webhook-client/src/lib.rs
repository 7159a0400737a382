//! Sends one signed webhook message: the SSRF guard, the signatures, and one HTTP attempt. Start with [`Sender`].

#![warn(clippy::missing_errors_doc)]

mod bounds;
mod ed25519;
mod message;
mod redaction;
mod response;
mod retry_after;
mod send;
mod send_error;
pub mod sign;
mod ssrf_guard;

pub use bounds::{ATTEMPT_DEADLINE, MAX_CAPTURED_HEADER_BYTES, MAX_EXCERPT_BYTES};
pub use ed25519::Ed25519Seed;
pub use message::{Message, is_header_name, is_header_value, is_reserved};
pub use response::CapturedResponse;
pub use send::{LoadCertificatesError, SendResult, Sender};
pub use send_error::{ErrorClass, SendError, root_cause};
pub use sign::SigningSecret;
pub use ssrf_guard::{PrivateNetworks, SsrfGuard, WebhookUrlError};
