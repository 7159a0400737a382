//! All listeners of a gateway, which a reload adds, changes and removes.

use std::fmt;
use std::sync::Arc;

use gatepost_domain::time::Clock;

use super::connection_handler::ConnectionHandler;
use super::listener::{Listener, bind};
use super::running_listener::{ReadyListener, RunningListener};
use crate::metrics::TlsMetrics;
use crate::options::ListenerOptions;
use crate::start_error::StartError;

/// What every listener needs.
pub(crate) struct ListenerContext {
    pub(crate) handler: Arc<ConnectionHandler>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<TlsMetrics>,
}

pub(crate) struct Listeners {
    context: ListenerContext,
    running: Vec<RunningListener>,
}

/// Listeners that can replace the running ones without an error.
pub(crate) struct NextListeners(Vec<NextListener>);

enum NextListener {
    /// The running one with these options.
    Stays(ListenerOptions),
    /// A new one, or other options on the socket of a running one.
    Starts(ReadyListener),
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners").field("running", &self.running).finish_non_exhaustive()
    }
}

impl Listeners {
    /// Starts accepting connections.
    ///
    /// # Errors
    /// [`StartError::Tls`] if certificates cannot be used.
    pub(crate) async fn start(listeners: Vec<Listener>, context: ListenerContext) -> Result<Self, StartError> {
        let mut ready = Vec::with_capacity(listeners.len());
        for listener in listeners {
            ready.push(ReadyListener::load(listener, &context.clock).await?);
        }
        let running = ready.into_iter().map(|one| one.start(&context.handler, &context.clock, &context.metrics));
        Ok(Self { running: running.collect(), context })
    }

    pub(crate) fn running(&self) -> &[RunningListener] {
        &self.running
    }

    /// Binds new addresses and reads certificates, without an effect on the running listeners.
    ///
    /// # Errors
    /// [`StartError::Bind`] and [`StartError::Tls`].
    pub(crate) async fn prepare(&self, options: &[ListenerOptions]) -> Result<NextListeners, StartError> {
        let mut next = Vec::with_capacity(options.len());
        for options in options {
            next.push(self.prepare_one(options).await?);
        }
        Ok(NextListeners(next))
    }

    async fn prepare_one(&self, options: &ListenerOptions) -> Result<NextListener, StartError> {
        if self.running.iter().any(|running| running.options() == options) {
            return Ok(NextListener::Stays(options.clone()));
        }
        // With port 0 the system chooses a port for each.
        let same_address = self.running.iter().find(|running| running.options().address == options.address);
        let listener = match same_address.filter(|_| options.address.port() != 0) {
            Some(running) => running.with_options(options),
            None => bind(options)?,
        };
        Ok(NextListener::Starts(ReadyListener::load(listener, &self.context.clock).await?))
    }

    /// Replaces the running listeners. On a socket that stays, connections wait meanwhile.
    pub(crate) async fn replace(&mut self, next: NextListeners) {
        let mut before = std::mem::take(&mut self.running);
        let (mut stay, mut start) = (Vec::new(), Vec::new());
        for one in next.0 {
            match one {
                NextListener::Stays(options) => {
                    stay.extend(
                        before.iter().position(|running| *running.options() == options).map(|at| before.remove(at)),
                    );
                }
                NextListener::Starts(ready) => start.push(ready),
            }
        }
        for mut gone in before {
            gone.stop().await;
            gone.forget_metrics(&self.context.metrics);
            tracing::info!(address = %gone.address(), "the gateway has stopped listening");
        }
        let ListenerContext { handler, clock, metrics } = &self.context;
        let started = start.into_iter().map(|ready| ready.start(handler, clock, metrics));
        self.running = stay.into_iter().chain(started).collect();
    }

    /// Accepts no more, and closes the connections that wait for a request.
    pub(crate) async fn stop(&mut self) {
        for running in &mut self.running {
            running.stop().await;
        }
        self.context.handler.close_idle().await;
    }
}
