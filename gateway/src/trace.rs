//! Trace of a request, by W3C Trace Context: continued from the client or started here, for the upstream and the access
//! log.

use std::cell::RefCell;
use std::num::NonZeroU64;

use gatepost_edge::PeerTrust;
use http::{HeaderMap, HeaderName, HeaderValue};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::traceparent::{Sampling, TraceId, Traceparent, TraceparentValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Cap on all `tracestate` fields of a request together; longer ones are removed. Section 3.3.1.5 asks for at least
/// this much.
const MAX_TRACESTATE_BYTES: usize = 512;

thread_local! {
    /// Source of ids, which are unique and no secrets: no request waits for the system's randomness.
    static RANDOM: RefCell<SmallRng> = RefCell::new(SmallRng::from_rng(&mut gatepost_store::os_rng()));
}

/// Propagation of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceOptions {
    pub incoming: IncomingTrace,
    /// Share of the traces, in percent, for which the gateway sets the sampled flag. Those of trusted proxies have one.
    pub sample_percent: u8,
}

/// Use of a valid `traceparent` of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncomingTrace {
    /// The request belongs to the client's trace.
    Continue,
    /// Every request starts a trace.
    Restart,
}

/// The trace of one request.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    /// Names the gateway's span of the request as the parent of the next one.
    traceparent: TraceparentValue,
    origin: TraceOrigin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TraceOrigin {
    Client,
    Gateway,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self { incoming: IncomingTrace::Continue, sample_percent: 0 }
    }
}

impl Trace {
    /// Continues the trace of a request, or starts one: without a single valid `traceparent`, or by configuration.
    pub(crate) fn of(headers: &HeaderMap, trust: PeerTrust, options: TraceOptions) -> Self {
        let incoming = match options.incoming {
            IncomingTrace::Continue => incoming(headers),
            IncomingTrace::Restart => None,
        };
        RANDOM.with_borrow_mut(|random| Self::with_ids(random, incoming, trust, options.sample_percent))
    }

    fn with_ids(random: &mut impl Rng, incoming: Option<Traceparent>, trust: PeerTrust, sample_percent: u8) -> Self {
        let span_id: NonZeroU64 = random.random();
        let (traceparent, origin) = match (incoming, trust) {
            (Some(incoming), PeerTrust::Trusted) => (incoming, TraceOrigin::Client),
            // The flag makes the upstream record the request, which not everyone may ask for.
            (Some(Traceparent { trace_id, .. }), PeerTrust::Untrusted) => {
                (Traceparent { trace_id, sampling: sample(span_id, sample_percent) }, TraceOrigin::Client)
            }
            (None, _) => {
                let trace_id = TraceId::new(random.random(), random.random());
                (Traceparent { trace_id, sampling: sample(span_id, sample_percent) }, TraceOrigin::Gateway)
            }
        };
        Self { traceparent: traceparent.with_parent(span_id), origin }
    }

    pub(crate) fn id(&self) -> &str {
        self.traceparent.trace_id()
    }

    /// Sets the trace in the headers for the upstream. A `tracestate` belongs to the trace that it came with.
    pub(crate) fn set_headers(&self, headers: &mut HeaderMap) {
        let value = HeaderValue::from_bytes(self.traceparent.as_bytes());
        headers.insert(TRACEPARENT, value.expect("digits and hyphens are a header's value"));
        let is_kept = || tracestate_bytes(headers) <= MAX_TRACESTATE_BYTES;
        if self.origin == TraceOrigin::Gateway || !is_kept() {
            headers.remove(TRACESTATE);
        }
    }
}

/// Returns the valid `traceparent` of a request, unless there are two.
fn incoming(headers: &HeaderMap) -> Option<Traceparent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { Traceparent::parse(value.as_bytes()) }
}

/// Returns the length of the fields when they are joined by commas.
fn tracestate_bytes(headers: &HeaderMap) -> usize {
    headers.get_all(TRACESTATE).iter().map(|value| value.len() + 1).sum::<usize>().saturating_sub(1)
}

/// Decides by an id that the client does not choose.
fn sample(span_id: NonZeroU64, percent: u8) -> Sampling {
    if span_id.get() % 100 < u64::from(percent) { Sampling::Sampled } else { Sampling::NotSampled }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INCOMING: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn sampled_percent(incoming: Option<Traceparent>, trust: PeerTrust, sample_percent: u8) -> usize {
        let mut random = SmallRng::seed_from_u64(1);
        let traces = (0..10_000).map(|_| Trace::with_ids(&mut random, incoming, trust, sample_percent));
        traces.filter(|trace| trace.traceparent.as_bytes().ends_with(b"-01")).count().div_ceil(100)
    }

    #[test]
    fn the_configured_share_is_sampled_unless_a_trusted_proxy_has_decided() {
        let incoming = Traceparent::parse(INCOMING.as_bytes());
        let not_sampled = Traceparent::parse(INCOMING.replace("-01", "-00").as_bytes());
        for trust in [PeerTrust::Trusted, PeerTrust::Untrusted] {
            assert_eq!([0, 100].map(|percent| sampled_percent(None, trust, percent)), [0, 100]);
            assert!((8..=12).contains(&sampled_percent(None, trust, 10)));
        }
        for percent in [0, 10, 100] {
            assert_eq!(sampled_percent(incoming, PeerTrust::Trusted, percent), 100);
            assert_eq!(sampled_percent(not_sampled, PeerTrust::Trusted, percent), 0);
        }
        assert_eq!([0, 100].map(|percent| sampled_percent(incoming, PeerTrust::Untrusted, percent)), [0, 100]);
    }

    #[test]
    fn every_request_has_a_span_and_a_started_trace_of_its_own() {
        let trace = |headers: &HeaderMap| Trace::of(headers, PeerTrust::Untrusted, TraceOptions::default());
        let none = HeaderMap::new();
        assert_ne!(trace(&none).id(), trace(&none).id());
        let given = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(INCOMING))]);
        assert_eq!([trace(&given).id(), trace(&given).id()], ["0af7651916cd43dd8448eb211c80319c"; 2]);
        assert_ne!(trace(&given).traceparent, trace(&given).traceparent);
    }
}
