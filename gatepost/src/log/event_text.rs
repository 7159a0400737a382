//! Log lines for people. Unlike those of the library's formats, each stays one line whatever its values contain.

use std::fmt;

use gatepost_domain::log_text::{Colours, LogText, LoggedRequest, Severity};
use gatepost_domain::time::Clock as _;
use gatepost_store::clock::SystemClock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Target of the requests of the admin API.
const ADMIN_TARGET: &str = "gatepost::admin";
/// Prefix of what the bridge from the crate `log` adds to the lines of libraries.
const BRIDGE_PREFIX: &str = "log.";

/// Formats events as [`LogText`].
pub(super) struct EventText(pub(super) Colours);

impl<S, N> FormatEvent<S, N> for EventText
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        writer.write_str(&fields.render(event.metadata(), LogText::new(SystemClock.now(), self.0)))
    }
}

/// The fields of an event as text, in their order.
#[derive(Default)]
struct Fields {
    message: String,
    details: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name if name.starts_with(BRIDGE_PREFIX) => {}
            name => self.details.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Fields {
    fn render(&self, metadata: &Metadata<'_>, line: LogText) -> String {
        if metadata.target() == ADMIN_TARGET
            && let Some(request) = self.request()
        {
            return line.request(&request);
        }
        let details = self.details.iter().map(|(name, value)| (*name, value.as_str()));
        line.event(severity(*metadata.level()), &self.message, details)
    }

    /// Returns the request that an event of the admin API is about.
    fn request(&self) -> Option<LoggedRequest<'_>> {
        Some(LoggedRequest {
            status: self.detail("status")?.parse().ok()?,
            method: self.detail("method")?,
            path: self.detail("route")?,
            duration_us: self.detail("duration_us")?.parse().ok()?,
            note: "admin API",
        })
    }

    fn detail(&self, name: &str) -> Option<&str> {
        self.details.iter().find_map(|(detail, value)| (*detail == name).then_some(value.as_str()))
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warning,
        Level::INFO => Severity::Info,
        Level::DEBUG | Level::TRACE => Severity::Debug,
    }
}
