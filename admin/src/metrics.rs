//! Metrics of the requests to the admin API.

use std::time::Duration;

use gatepost_runtime::registered;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

/// Upper bounds in seconds of the buckets of request durations.
const BUCKETS_S: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Debug)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    duration_s: Histogram,
    ignored_members: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let duration_s = HistogramOpts::new("gatepost_admin_request_duration_seconds", "How long admin requests took.")
            .buckets(BUCKETS_S.to_vec());
        Ok(Self {
            requests: counters(
                "gatepost_admin_requests_total",
                "Requests of the admin API by route and status.",
                &["route", "method", "status"],
            )?,
            duration_s: registered(registry, Histogram::with_opts(duration_s))?,
            ignored_members: counters(
                "gatepost_admin_ignored_members_total",
                "Members of request bodies that the admin API does not know and has ignored, by route.",
                &["route", "method"],
            )?,
        })
    }

    pub(crate) fn count_ignored_members(&self, route: &str, method: &str, members: usize) {
        self.ignored_members.with_label_values(&[route, method]).inc_by(members as u64);
    }

    pub(crate) fn observe_request(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.duration_s.observe(took.as_secs_f64());
    }
}

/// Returns the label of a method. Clients must not be able to create new label values.
pub(crate) fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
