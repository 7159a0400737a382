//! Relay of events to a receiver on the developer's machine, as webhooks.

mod event_source;
mod keyboard;
mod receiver;
mod server_sent_events;
mod state;

pub(crate) use event_source::{EventSource, Item, Start};
pub(crate) use keyboard::Keyboard;
pub(crate) use receiver::{Receiver, WebhookRequest, outcome_line, sent_lines};
pub(crate) use state::{StateDirectory, StreamName};
