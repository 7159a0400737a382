//! Log lines: on standard error, so that they do not mix with the output of commands; text at a terminal, else JSON. A
//! bounded queue and a dedicated thread write them, so that a slow reader never blocks the process.

mod event_text;

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;

use anstream::ColorChoice;
use anyhow::Context;
use gatepost_domain::log_text::{Colours, LogFormat};
use gatepost_runtime::{LogWriter, Task, registered};
use prometheus::{IntCounter, Registry};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogConfig, LogFormatSetting};
use crate::redacting_writer::RedactingWriter;
use event_text::EventText;

/// Maximum size of queued lines in bytes. Lines that do not fit are dropped and counted.
const MAX_QUEUED_BYTES: usize = 1 << 20;

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    writer: LogWriter,
    dropped: IntCounter,
}

/// Writer that queues whole lines.
struct LogSink;

impl io::Write for LogSink {
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

/// Starts logging if it is not started, registers the metric of dropped lines, and returns the format of lines.
pub(crate) fn init(config: &LogConfig, registry: &Registry) -> anyhow::Result<LogFormat> {
    let format = resolve_format(config.format);
    if LOG.get().is_none() {
        let dropped = IntCounter::new(
            "gatepost_log_dropped_total",
            "Log lines that were dropped because standard error is slow or blocked.",
        )?;
        let writer = LogWriter::start(Task::LogWriter, MAX_QUEUED_BYTES, dropped.clone())
            .context("starting the log writer failed")?;
        // Another thread may have set it concurrently.
        let _ = LOG.set(Log { writer, dropped });
        let sink = || RedactingWriter(LogSink);
        let registry = tracing_subscriber::registry();
        // A subscriber that is set already is kept.
        let _ = match format {
            LogFormat::Json => registry.with(json_layer(&config.filter, sink)).try_init(),
            LogFormat::Text(colours) => registry.with(text_layer(colours, &config.filter, sink)).try_init(),
        };
        gatepost_runtime::install_hook();
    }
    if let Some(log) = LOG.get() {
        registered(registry, Ok(log.dropped.clone()))?;
    }
    Ok(format)
}

/// Chooses the format for where standard error leads. As in other programs, `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and
/// `TERM` decide about colours.
fn resolve_format(setting: LogFormatSetting) -> LogFormat {
    let stderr = io::stderr();
    let is_text = match setting {
        LogFormatSetting::Auto => stderr.is_terminal(),
        LogFormatSetting::Text => true,
        LogFormatSetting::Json => false,
    };
    match (is_text, anstream::AutoStream::choice(&stderr)) {
        (false, _) => LogFormat::Json,
        (true, ColorChoice::Never) => LogFormat::Text(Colours::Off),
        (true, ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always) => LogFormat::Text(Colours::On),
    }
}

/// Waits at most one second until all lines are written, at the end of a process.
pub(crate) fn flush() {
    if let Some(log) = LOG.get() {
        log.writer.flush_blocking();
    }
}

/// Waits like [`flush`] while other tasks go on.
pub(crate) async fn flush_without_blocking() {
    if let Some(log) = LOG.get() {
        log.writer.flush().await;
    }
}

fn json_layer<S, W>(filter: &str, writer: W) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    filtered(fmt::layer().json().flatten_event(true).log_internal_errors(false).with_writer(writer), filter)
}

fn text_layer<S, W>(colours: Colours, filter: &str, writer: W) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    filtered(fmt::layer().event_format(EventText(colours)).log_internal_errors(false).with_writer(writer), filter)
}

/// Returns a layer that writes the lines that match a filter. From libraries it only writes lines that cannot contain a
/// header or a body.
fn filtered<S: tracing::Subscriber>(layer: impl Layer<S>, filter: &str) -> impl Layer<S> {
    let filter = EnvFilter::new(filter);
    let max_level = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
    let is_safe =
        filter_fn(move |line| *line.level() <= max_level && is_free_of_secrets(line)).with_max_level_hint(max_level);
    // Only the outermost filter is asked for its maximum level. Without that hint each line of a library would be
    // formatted and filtered, some of them for each request.
    layer.and_then(filter).and_then(is_safe)
}

/// Returns whether a line cannot contain secrets. Below the level of errors, libraries log requests, responses and
/// their contents. The Redis library logs digests of keys, and its warnings are about connections only.
fn is_free_of_secrets(line: &Metadata<'_>) -> bool {
    let target = line.target();
    let is_from = |name: &str| target == name || target.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"));
    if target.starts_with("gatepost") {
        return true;
    }
    *line.level() <= if is_from("redis") { Level::WARN } else { Level::ERROR }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use gatepost_runtime::error_chain;
    use gatepost_store::StoreErrorKind;

    use super::*;

    #[derive(Clone, Default)]
    struct CapturedLog(Arc<Mutex<Vec<u8>>>);

    impl io::Write for CapturedLog {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn capture_log(filter: &str, log: impl FnOnce()) -> String {
        capture_log_as(LogFormat::Json, filter, log)
    }

    fn capture_log_as(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
        let written = CapturedLog::default();
        let writer = written.clone();
        let sink = move || RedactingWriter(writer.clone());
        let registry = tracing_subscriber::registry();
        match format {
            LogFormat::Json => tracing::subscriber::with_default(registry.with(json_layer(filter, sink)), log),
            LogFormat::Text(colours) => {
                tracing::subscriber::with_default(registry.with(text_layer(colours, filter, sink)), log);
            }
        }
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn the_highest_level_of_the_filter_is_known_before_a_line_is_written() {
        for (filter, expected) in
            [("info", LevelFilter::INFO), ("warn,redis=debug", LevelFilter::DEBUG), ("off", LevelFilter::OFF)]
        {
            let subscriber = tracing_subscriber::registry().with(json_layer(filter, io::sink));
            assert_eq!(tracing::Subscriber::max_level_hint(&subscriber), Some(expected), "{filter}");
        }
    }

    #[test]
    fn no_filter_makes_a_library_log_more_than_errors() {
        for filter in ["trace", "h2=trace,hyper=trace,redis=trace", "trace,h2::codec=trace", "info,h2[{}]=trace"] {
            let text = capture_log(filter, || {
                tracing::trace!(target: "h2::codec", "a frame");
                tracing::info!(target: "hyper", "a header");
                tracing::warn!(target: "pingora_core::protocols", "a value");
                tracing::info!(target: "redis", "a command");
                tracing::warn!(target: "redistribution", "another library");
                tracing::error!(target: "h2", "an error");
                tracing::warn!(target: "redis::aio", "a connection");
            });
            let messages: Vec<&str> = text.lines().filter(|line| line.contains("\"a ")).collect();
            assert!(!text.contains("another library"), "{text}");
            assert_eq!(messages.iter().filter(|line| !line.contains("a connection")).count(), 0, "{filter}: {text}");
        }
        let text = capture_log("trace", || tracing::trace!(target: "gatepost_gateway::proxy", "ours"));
        assert!(text.contains("ours"), "{text}");
        assert!(!capture_log("warn", || tracing::info!(target: "gatepost::access", "ours")).contains("ours"));
    }

    #[test]
    fn a_logged_error_has_each_of_its_causes_once() {
        let error = StoreErrorKind::Unavailable.with(io::Error::from(io::ErrorKind::ConnectionReset));
        let error = StoreErrorKind::Unconfirmed.with(error);
        let text =
            capture_log("info", || tracing::info!(target: "gatepost", error = %error_chain(&error), "waiting failed"));
        let expected = "\"error\":\"store unconfirmed: store unavailable: connection reset\"";
        assert!(text.contains(expected), "{text}");
        assert_eq!(text.matches("connection reset").count(), 1, "{text}");
    }

    #[test]
    fn a_key_is_masked_in_messages_fields_and_errors() {
        let key = format!("live_{}", "0123456789abcdef".repeat(4));
        for format in [LogFormat::Json, LogFormat::Text(Colours::Off), LogFormat::Text(Colours::On)] {
            let text = capture_log_as(format, "info", || {
                let error = io::Error::other(format!("cannot read {key}"));
                tracing::info!(target: "gatepost", %error, key, "{key}");
                tracing::error!(target: "h2", "{key}");
            });
            assert_eq!(text.lines().count(), 2, "{format:?}");
            assert!(!text.contains("0123456789abcdef") && text.matches("live_***").count() == 4, "{format:?}: {text}");
        }
    }

    #[test]
    fn text_is_for_people() {
        let text = capture_log_as(LogFormat::Text(Colours::Off), "info", || {
            tracing::info!(target: "gatepost", address = %"127.0.0.1:80", count = 2, "it\nlistens");
            let (method, route, status, duration_us) = ("GET", "/projects", 200, 1500);
            tracing::info!(target: "gatepost::admin", request_id = "req_1", method, route, status, duration_us);
            tracing::debug!(target: "gatepost", "hidden");
        });
        let lines: Vec<&str> = text.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
        assert_eq!(lines, ["INFO  it\\nlistens address=127.0.0.1:80 count=2", "200 GET /projects 1.5ms admin API"]);
    }
}
