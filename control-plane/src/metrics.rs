//! Metrics of the use cases.

use gatepost_domain::change::Action;
use gatepost_runtime::registered;
use prometheus::{IntCounterVec, Opts, Registry};

#[derive(Debug)]
pub(crate) struct Metrics {
    changes: IntCounterVec,
    no_permit: IntCounterVec,
    over_limit: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, label: &str| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), &[label]))
        };
        let changes = counters("gatepost_changes_total", "Changes that this process committed.", "kind")?;
        for action in Action::ALL {
            changes.with_label_values(&[action.as_str()]);
        }
        let no_permit = counters(
            "gatepost_admin_no_place_total",
            "Requests for which there was no place among those that accounts share.",
            "of",
        )?;
        let over_limit = counters(
            "gatepost_admin_over_bound_total",
            "Changes that were refused because an account has as much as it may have, by setting.",
            "bound",
        )?;
        Ok(Self { changes, no_permit, over_limit })
    }

    pub(crate) fn count_change(&self, action: Action) {
        self.changes.with_label_values(&[action.as_str()]).inc();
    }

    pub(crate) fn count_no_permit(&self, of: &str) {
        self.no_permit.with_label_values(&[of]).inc();
    }

    pub(crate) fn count_over_limit(&self, setting: &str) {
        self.over_limit.with_label_values(&[setting]).inc();
    }
}
