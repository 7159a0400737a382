//! Handling of signals.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::log;

/// Exit code after a second signal, which ends the drain.
const EXIT_SECOND_SIGNAL: i32 = 1;

/// Handlers of all signals that do not end a process at once.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    /// Installs the handlers. Call it before anything is started: earlier signals end the process at once.
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
            tracing::info!(signal = ignored, "signal ignored: SIGTERM, SIGINT and SIGQUIT stop the process");
        }
    }

    /// Waits for a shutdown to finish. Another signal ends the process at once.
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

/// Handlers of the signals that end a command of a developer. A closed terminal ends it too.
pub(crate) struct Interrupt {
    terminate: Signal,
    interrupt: Signal,
}

impl Interrupt {
    pub(crate) fn install() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for SIGTERM or SIGINT.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
