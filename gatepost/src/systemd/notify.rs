//! Reports to the service manager, of one datagram each (`sd_notify(3)`).
//!
//! The library `sd-notify` blocks while the manager does not read, and finds no socket with an abstract name.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use gatepost_runtime::error_chain;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

/// Connection to the service manager. Without one, nothing is sent. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceManager(Option<Arc<Connection>>);

#[derive(Debug)]
struct Connection {
    socket: UnixDatagram,
    stage: Mutex<Stage>,
    /// Longest time between two reports that the process is alive; none if they are not expected.
    watchdog: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    Stopping,
}

impl ServiceManager {
    /// Connects to the manager that the environment names. A failure is logged: the process works without a manager.
    #[expect(clippy::disallowed_methods, reason = "a service manager is found in the environment")]
    pub(crate) fn of_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let number = |variable: &str| std::env::var(variable).ok()?.parse::<u64>().ok();
        let is_for_this_process = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|time| is_for_this_process && *time > 0);
        match Self::connect(&name, watchdog.map(Duration::from_micros)) {
            Ok(manager) => manager,
            Err(error) => {
                let socket = name.display();
                tracing::warn!(error = %error_chain(&error), %socket, "connecting to the service manager failed");
                Self::default()
            }
        }
    }

    /// Connects to a socket; a name that starts with `@` is abstract.
    pub(super) fn connect(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        match name.as_bytes().strip_prefix(b"@") {
            Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            None => socket.connect(name)?,
        }
        Ok(Self(Some(Arc::new(Connection { socket, stage: Mutex::new(Stage::Starting), watchdog }))))
    }

    pub(super) fn is_connected(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?.watchdog
    }

    /// Reports that the process has started.
    pub(crate) fn report_ready(&self) {
        self.enter(Stage::Ready, "READY=1");
    }

    /// Reports that the process stops.
    pub(crate) fn report_stopping(&self) {
        self.enter(Stage::Stopping, "STOPPING=1\nSTATUS=draining");
    }

    /// Reports that a process that has started reads its configuration again.
    pub(crate) fn report_reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let now_us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send_while_ready(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
    }

    /// Reports the end of a reload, whatever its result: a manager knows no other.
    pub(crate) fn report_reloaded(&self) {
        self.send_while_ready("READY=1");
    }

    /// Reports the state of the process in one line for people.
    pub(super) fn report_status(&self, status: &str) {
        self.send(&format!("STATUS={}", status.replace(char::is_control, " ")));
    }

    pub(super) fn report_alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn enter(&self, stage: Stage, message: &str) {
        if let Some(connection) = &self.0 {
            *connection.stage.lock() = stage;
            self.send(message);
        }
    }

    fn send_while_ready(&self, message: &str) {
        if self.0.as_ref().is_some_and(|connection| *connection.stage.lock() == Stage::Ready) {
            self.send(message);
        }
    }

    /// Sends without waiting. A failure is logged.
    fn send(&self, message: &str) {
        let Some(connection) = &self.0 else { return };
        if let Err(error) = connection.socket.send(message.as_bytes()) {
            tracing::warn!(error = %error_chain(&error), message, "a report to the service manager failed");
        }
    }
}
