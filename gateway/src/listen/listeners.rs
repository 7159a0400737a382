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
use crate::tls::{TlsListeners, TlsMaterial, TlsMaterials};

/// What every listener needs.
pub(crate) struct ListenerContext {
    pub(crate) handler: Arc<ConnectionHandler>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<TlsMetrics>,
    /// Those of the running listeners.
    pub(crate) tls_listeners: TlsListeners,
}

pub(crate) struct Listeners {
    context: ListenerContext,
    running: Vec<RunningListener>,
}

/// Listeners that can replace the running ones without an error.
pub(crate) struct NextListeners(Vec<NextListener>);

enum NextListener {
    /// The running one with these options, and what was read of its files.
    Stays(ListenerOptions, Option<TlsMaterial>),
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
    /// [`StartError::TlsNotRead`].
    pub(crate) fn start(
        listeners: Vec<Listener>,
        materials: &mut TlsMaterials,
        context: ListenerContext,
    ) -> Result<Self, StartError> {
        let mut ready = Vec::with_capacity(listeners.len());
        for listener in listeners {
            ready.push(ReadyListener::new(listener, materials)?);
        }
        let running = ready.into_iter().map(|one| one.start(&context.handler, &context.clock, &context.metrics));
        let started = Self { running: running.collect(), context };
        started.publish_tls();
        Ok(started)
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.context.clock
    }

    pub(crate) fn running(&self) -> &[RunningListener] {
        &self.running
    }

    /// Binds new addresses, without an effect on the running listeners.
    ///
    /// # Errors
    /// [`StartError::Bind`] and [`StartError::TlsNotRead`].
    pub(crate) fn prepare(
        &self,
        options: &[ListenerOptions],
        materials: &mut TlsMaterials,
    ) -> Result<NextListeners, StartError> {
        let mut next = Vec::with_capacity(options.len());
        for options in options {
            next.push(self.prepare_one(options, materials)?);
        }
        Ok(NextListeners(next))
    }

    fn prepare_one(&self, options: &ListenerOptions, materials: &mut TlsMaterials) -> Result<NextListener, StartError> {
        if self.running.iter().any(|running| running.options() == options) {
            return Ok(NextListener::Stays(options.clone(), materials.take_listener(&options.name)));
        }
        let listener = match self.running.iter().find(|running| running.listener().fits(options)) {
            Some(running) => running.listener().with_options(options),
            None => bind(options)?,
        };
        Ok(NextListener::Starts(ReadyListener::new(listener, materials)?))
    }

    /// Replaces the running listeners. On a socket that stays, connections wait meanwhile. Returns the names of those
    /// whose socket somebody else keeps open, so that connections to it wait for nobody.
    pub(crate) async fn replace(&mut self, next: NextListeners) -> Vec<String> {
        let mut before = std::mem::take(&mut self.running);
        let (mut stay, mut start) = (Vec::new(), Vec::new());
        for one in next.0 {
            match one {
                NextListener::Stays(options, material) => {
                    let at = before.iter().position(|running| *running.options() == options);
                    let Some(running) = at.map(|at| before.remove(at)) else { continue };
                    if let Some(material) = material {
                        running.take_over(material, &self.context.metrics);
                    }
                    stay.push(running);
                }
                NextListener::Starts(ready) => start.push(ready),
            }
        }
        let used: Vec<Listener> = start.iter().map(|ready| ready.listener().clone()).collect();
        let mut left = Vec::new();
        for mut gone in before {
            let listener = gone.listener();
            if listener.is_adopted() && !used.iter().any(|used| used.shares_socket_with(listener)) {
                left.push(listener.options.name.clone());
            }
            gone.stop().await;
            gone.forget_metrics(&self.context.metrics);
            tracing::info!(address = %gone.address(), "the gateway has stopped listening");
        }
        let ListenerContext { handler, clock, metrics, .. } = &self.context;
        let started = start.into_iter().map(|ready| ready.start(handler, clock, metrics));
        self.running = stay.into_iter().chain(started).collect();
        self.publish_tls();
        left
    }

    /// Ends all WebSockets, and tells their clients.
    pub(crate) fn end_websockets(&self) {
        self.context.handler.end_websockets();
    }

    fn publish_tls(&self) {
        let tls = self.running.iter().filter_map(RunningListener::tls).map(Arc::clone);
        self.context.tls_listeners.replace(tls.collect());
    }

    /// Accepts no more, and closes the connections that wait for a request; new ones after their first.
    pub(crate) async fn stop(&mut self) {
        for running in &mut self.running {
            running.stop().await;
        }
        self.context.handler.await_first_requests().await;
        self.context.handler.close_idle().await;
    }
}
