//! Connections of clients: accepted, counted, and served one request after the other.

mod acceptor;
mod app;
mod connection_handler;
mod connection_limits;
mod listener;
mod listeners;
mod proxy_header;
mod running_listener;
mod socket;

pub(crate) use app::build_app;
pub(crate) use connection_handler::ConnectionHandler;
pub use listener::{Listener, adopt, bind};
pub(crate) use listeners::{ListenerContext, Listeners};
pub(crate) use proxy_header::ProxyHeaderError;
pub(crate) use running_listener::RunningListener;
