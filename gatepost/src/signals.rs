//! Signals: which end a process, and which it ignores.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::log;

/// Another signal while the first one drains.
const EXIT_SECOND_SIGNAL: i32 = 1;

/// The signals of a process, from the moment at which they were installed.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    /// Installs the handlers. Call it before anything else is started: what comes earlier ends the process at once.
    pub(crate) fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for SIGTERM, SIGINT or SIGQUIT.
    pub(crate) async fn wait_for_stop(&mut self) {
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.quit.recv() => return,
                _ = self.hang_up.recv() => "SIGHUP",
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
            };
            tracing::info!(signal = ignored, "a signal was ignored: SIGTERM, SIGINT and SIGQUIT end the process");
        }
    }

    /// Waits for something that a signal has begun. Another signal ends the process at once.
    pub(crate) async fn drain<T>(&mut self, draining: impl Future<Output = T>) -> T {
        tokio::select! {
            drained = draining => drained,
            () = self.wait_for_stop() => {
                tracing::warn!("stopped at once by a second signal");
                log::flush();
                std::process::exit(EXIT_SECOND_SIGNAL)
            }
        }
    }
}
