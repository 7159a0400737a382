//! Readiness of a process: whether it may receive requests, with the state of each dependency.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_runtime::TaskHealth;
use serde::Serialize;

/// Messages about settings that are allowed but unwise, and about failures to expect.
pub type Warnings = Vec<String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependencyState {
    Ready,
    NotReady {
        /// Reason for people.
        reason: Cow<'static, str>,
    },
}

impl DependencyState {
    /// Returns the state of a dependency that cannot be used, for this reason.
    pub fn not_ready(reason: impl Into<Cow<'static, str>>) -> Self {
        DependencyState::NotReady { reason: reason.into() }
    }

    fn is_ready(&self) -> bool {
        matches!(self, DependencyState::Ready)
    }

    fn text(&self) -> String {
        match self {
            DependencyState::Ready => "ready".to_owned(),
            DependencyState::NotReady { reason } => reason.clone().into_owned(),
        }
    }
}

/// States of a process's dependencies. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    dependencies: BTreeMap<&'static str, DependencyState>,
    warnings: BTreeMap<&'static str, Warnings>,
    versions: BTreeMap<&'static str, String>,
    is_draining: bool,
}

/// Body of `/readyz`.
#[derive(Debug, Serialize)]
pub(crate) struct ReadinessReport {
    pub(crate) ready: bool,
    dependencies: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Warnings,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    versions: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// Sets the state of a dependency.
    pub fn set(&self, dependency: &'static str, state: DependencyState) {
        self.lock().dependencies.insert(dependency, state);
    }

    /// Sets the warnings about a subject, which do not affect readiness. Replaces earlier warnings about it.
    pub fn warn(&self, about: &'static str, warnings: Warnings) {
        self.lock().warnings.insert(about, warnings);
    }

    /// Sets the name and the version of what a dependency is.
    pub fn set_version(&self, dependency: &'static str, version: String) {
        self.lock().versions.insert(dependency, version);
    }

    /// Marks the process as draining: it is not ready any more because it is about to stop.
    pub fn drain(&self) {
        self.lock().is_draining = true;
    }

    /// Returns the state in one line for people: ready or not, why not, and how many warnings there are.
    pub fn summary(&self) -> String {
        let report = self.report();
        if report.ready && report.warnings.is_empty() {
            return "ready".to_owned();
        }
        if report.ready {
            return format!("ready; warnings: {}", report.warnings.join("; "));
        }
        let waiting = report.dependencies.iter().filter(|(_, state)| *state != "ready");
        let reasons: Vec<String> = waiting.map(|(name, state)| format!("{name}: {state}")).collect();
        format!("not ready: {}", reasons.join(", "))
    }

    pub(crate) fn report(&self) -> ReadinessReport {
        let state = self.lock();
        let mut dependencies: BTreeMap<&'static str, String> =
            state.dependencies.iter().map(|(name, state)| (*name, state.text())).collect();
        let mut warnings: Warnings = state.warnings.values().flatten().cloned().collect();
        let (down, up): (Vec<_>, Vec<_>) = gatepost_runtime::health().into_iter().partition(|health| health.is_down);
        let names =
            |tasks: &[TaskHealth]| tasks.iter().map(|health| health.task.as_str()).collect::<Vec<_>>().join(", ");
        if !down.is_empty() {
            dependencies.insert("tasks", format!("{} panicked, restart pending", names(&down)));
        }
        if !up.is_empty() {
            warnings.push(format!("{} panicked within the last minute and was restarted", names(&up)));
        }
        if state.is_draining {
            dependencies.insert("process", "draining".to_owned());
        }
        ReadinessReport {
            ready: !state.is_draining && down.is_empty() && state.dependencies.values().all(DependencyState::is_ready),
            dependencies,
            warnings,
            versions: state.versions.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_its_dependencies_are_and_it_is_not_draining() {
        let readiness = Readiness::default();
        assert!(readiness.report().ready);
        readiness.set("store", DependencyState::not_ready("no response"));
        let report = readiness.report();
        assert!(!report.ready);
        assert_eq!(report.dependencies["store"], "no response");
        assert_eq!(readiness.summary(), "not ready: store: no response");
        readiness.set("store", DependencyState::Ready);
        assert!(readiness.report().ready);
        readiness.warn("disk", vec!["the disk is nearly full".to_owned()]);
        assert!(readiness.report().ready);
        assert_eq!(readiness.report().warnings, ["the disk is nearly full"]);
        assert_eq!(readiness.summary(), "ready; warnings: the disk is nearly full");
        readiness.warn("disk", vec![]);
        assert_eq!(readiness.summary(), "ready");
        assert!(readiness.report().warnings.is_empty());
        readiness.drain();
        assert!(!readiness.report().ready);
    }
}
