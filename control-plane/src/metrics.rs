//! What a control plane tells.

use std::time::Duration;

use gatepost_domain::change::Action;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

/// Seconds of an admin request.
const BUCKETS_S: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The metrics of a control plane.
#[derive(Debug)]
pub(crate) struct Metrics {
    changes: IntCounterVec,
    requests: IntCounterVec,
    duration_s: Histogram,
    ignored_members: IntCounterVec,
    no_permit: IntCounterVec,
    over_limit: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let changes =
            IntCounterVec::new(Opts::new("gatepost_changes_total", "Changes that this process committed."), &["kind"])?;
        let requests = IntCounterVec::new(
            Opts::new("gatepost_admin_requests_total", "Requests of the admin API by route and status."),
            &["route", "method", "status"],
        )?;
        let duration_s = Histogram::with_opts(
            HistogramOpts::new("gatepost_admin_request_duration_seconds", "How long admin requests took.")
                .buckets(BUCKETS_S.to_vec()),
        )?;
        let ignored_members = IntCounterVec::new(
            Opts::new(
                "gatepost_admin_ignored_members_total",
                "Members of request bodies that the admin API does not know and has ignored, by route.",
            ),
            &["route", "method"],
        )?;
        let no_permit = IntCounterVec::new(
            Opts::new(
                "gatepost_admin_no_place_total",
                "Requests for which there was no place among those that accounts share.",
            ),
            &["of"],
        )?;
        let over_limit = IntCounterVec::new(
            Opts::new(
                "gatepost_admin_over_bound_total",
                "Changes that were refused because an account has as much as it may have, by setting.",
            ),
            &["bound"],
        )?;
        registry.register(Box::new(over_limit.clone()))?;
        registry.register(Box::new(no_permit.clone()))?;
        registry.register(Box::new(changes.clone()))?;
        registry.register(Box::new(ignored_members.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration_s.clone()))?;
        for action in Action::ALL {
            changes.with_label_values(&[action.as_str()]);
        }
        Ok(Self { changes, requests, duration_s, ignored_members, no_permit, over_limit })
    }

    pub(crate) fn count_change(&self, action: Action) {
        self.changes.with_label_values(&[action.as_str()]).inc();
    }

    pub(crate) fn count_ignored_members(&self, route: &str, method: &str, members: usize) {
        self.ignored_members.with_label_values(&[route, method]).inc_by(members as u64);
    }

    pub(crate) fn count_no_permit(&self, of: &str) {
        self.no_permit.with_label_values(&[of]).inc();
    }

    pub(crate) fn count_over_limit(&self, setting: &str) {
        self.over_limit.with_label_values(&[setting]).inc();
    }

    pub(crate) fn observe_request(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.duration_s.observe(took.as_secs_f64());
    }
}
