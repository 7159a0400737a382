//! `[gateway.trace]` section of the configuration.

use gatepost_gateway::{IncomingTrace, TraceOptions};

use super::reader::Section;

const INCOMING_TRACES: [(&str, IncomingTrace); 2] =
    [("continue", IncomingTrace::Continue), ("restart", IncomingTrace::Restart)];

/// Returns none if trace headers pass unchanged.
pub(super) fn read(mut section: Section<'_>) -> Option<TraceOptions> {
    let defaults = TraceOptions::default();
    let is_propagated = section.choice("propagate", true, true, false);
    let sample_percent = section.number("sample_percent", defaults.sample_percent.into(), 0, 100);
    let options = TraceOptions {
        incoming: section.word("incoming", defaults.incoming, &INCOMING_TRACES),
        sample_percent: u8::try_from(sample_percent).unwrap_or(defaults.sample_percent),
    };
    section.reject_unknown_keys();
    is_propagated.then_some(options)
}
