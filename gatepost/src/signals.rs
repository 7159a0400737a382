//! Handling of signals.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::log;

/// Exit code after a second signal, which ends the drain.
const EXIT_SECOND_SIGNAL: i32 = 1;
/// Time after the first signal in which further ones belong to it: a terminal sends Ctrl-C to all processes of a group,
/// and a supervisor among them forwards it.
const SAME_STOP: Duration = Duration::from_millis(500);

/// Handlers of all signals that do not end a process at once.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
    /// Called for each SIGHUP until the process stops. Without it, the signal is ignored.
    on_hang_up: Option<Box<dyn Fn() + Send>>,
    /// Time of the first signal that stops the process.
    stopped_at: Option<Instant>,
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
            on_hang_up: None,
            stopped_at: None,
        })
    }

    /// Sets what SIGHUP does until the process stops.
    pub(crate) fn on_hang_up(&mut self, action: impl Fn() + Send + 'static) {
        self.on_hang_up = Some(Box::new(action));
    }

    /// Waits for SIGTERM, SIGINT or SIGQUIT.
    pub(crate) async fn wait_for_stop(&mut self) {
        self.next_stop().await;
        self.on_hang_up = None;
        self.stopped_at.get_or_insert_with(Instant::now);
    }

    async fn next_stop(&mut self) {
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.quit.recv() => return,
                _ = self.hang_up.recv() => match &self.on_hang_up {
                    Some(action) => {
                        action();
                        continue;
                    }
                    None => "SIGHUP",
                },
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
            };
            tracing::info!(signal = ignored, "signal ignored: SIGTERM, SIGINT and SIGQUIT stop the process");
        }
    }

    /// Waits for a shutdown to finish. Another signal ends the process at once, unless it came together with the first.
    pub(crate) async fn drain<T>(&mut self, draining: impl Future<Output = T>) -> T {
        tokio::select! {
            drained = draining => drained,
            () = self.wait_for_second_stop() => {
                tracing::warn!("stopped at once by a second signal");
                log::flush();
                std::process::exit(EXIT_SECOND_SIGNAL)
            }
        }
    }

    async fn wait_for_second_stop(&mut self) {
        loop {
            self.next_stop().await;
            if !is_same_stop(self.stopped_at, Instant::now()) {
                return;
            }
            tracing::info!("signal ignored: it came with the first; one after 500 ms stops the process at once");
        }
    }
}

fn is_same_stop(first: Option<Instant>, now: Instant) -> bool {
    first.is_some_and(|first| now.duration_since(first) < SAME_STOP)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_within_500_ms_are_one_stop() {
        let first = Instant::now();
        for (after_ms, expected) in [(0, true), (499, true), (500, false), (60_000, false)] {
            assert_eq!(is_same_stop(Some(first), first + Duration::from_millis(after_ms)), expected, "{after_ms}");
        }
        assert!(!is_same_stop(None, first), "the drain was not started by a signal");
    }
}
