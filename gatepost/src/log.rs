//! Log lines: JSON on standard error, so that what a command prints stays apart. They go through a queue with a bound to
//! a thread of their own: nobody waits for who reads them.

use std::io;
use std::sync::OnceLock;

use anyhow::Context;
use gatepost_runtime::{LogWriter, Task};
use prometheus::{IntCounter, Registry};
use tracing_subscriber::EnvFilter;

/// Bytes of lines that wait for their writer; beyond, lines are dropped and counted.
const MAX_WAITING_BYTES: usize = 1 << 20;

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    writer: LogWriter,
    dropped: IntCounter,
}

/// Takes the bytes of whole lines.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(log) = LOG.get() {
            log.writer.push(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to log, and registers how many lines were dropped. What was begun before goes on.
pub(crate) fn start(filter: &str, registry: &Registry) -> anyhow::Result<()> {
    if LOG.get().is_none() {
        let dropped = IntCounter::new(
            "gatepost_log_dropped_total",
            "Lines of the log that were dropped because standard error took them too slowly or not at all.",
        )?;
        let writer = LogWriter::start(Task::LogWriter, MAX_WAITING_BYTES, dropped.clone()).context("the log")?;
        // Somebody else may have been faster.
        drop(LOG.set(Log { writer, dropped }));
        let format = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(EnvFilter::new(filter));
        // That somebody logs already is what we want.
        drop(format.log_internal_errors(false).with_writer(|| Lines).try_init());
        gatepost_runtime::install_hook();
    }
    if let Some(log) = LOG.get() {
        registry.register(Box::new(log.dropped.clone()))?;
    }
    Ok(())
}

/// Waits until what was logged is written, at most a second. For the end of a process.
pub(crate) fn finish() {
    if let Some(log) = LOG.get() {
        log.writer.written_blocking();
    }
}
