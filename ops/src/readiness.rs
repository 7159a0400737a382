//! Whether a process may get requests: each thing that it depends on, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_runtime::TaskHealth;
use serde::Serialize;

/// Sentences about what is allowed but unwise, or will soon be a failure.
pub type Warnings = Vec<String>;

/// What a process knows of its dependencies. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    dependencies: BTreeMap<&'static str, Result<(), String>>,
    warnings: BTreeMap<&'static str, Warnings>,
    is_draining: bool,
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
pub(crate) struct ReadinessReport {
    pub(crate) ready: bool,
    dependencies: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Warnings,
}

impl Readiness {
    /// Tells how a dependency is: ready, or why not.
    pub fn set(&self, dependency: &'static str, state: Result<(), String>) {
        self.lock().dependencies.insert(dependency, state);
    }

    /// Tells what the operator should know about something, although it stops nothing, in place of what was told
    /// about it before.
    pub fn warn(&self, about: &'static str, warnings: Warnings) {
        self.lock().warnings.insert(about, warnings);
    }

    /// From now on the process is not ready, for it is about to end.
    pub fn drain(&self) {
        self.lock().is_draining = true;
    }

    pub(crate) fn report(&self) -> ReadinessReport {
        let state = self.lock();
        let text = |state: &Result<(), String>| match state {
            Ok(()) => "ready".to_owned(),
            Err(reason) => reason.clone(),
        };
        let mut dependencies: BTreeMap<&'static str, String> =
            state.dependencies.iter().map(|(name, state)| (*name, text(state))).collect();
        let mut warnings: Warnings = state.warnings.values().flatten().cloned().collect();
        let (down, up): (Vec<_>, Vec<_>) = gatepost_runtime::health().into_iter().partition(|health| health.is_down);
        let names =
            |tasks: &[TaskHealth]| tasks.iter().map(|health| health.task.as_str()).collect::<Vec<_>>().join(", ");
        if !down.is_empty() {
            dependencies.insert("tasks", format!("{} panicked, to be started again", names(&down)));
        }
        if !up.is_empty() {
            warnings.push(format!("{} panicked within the last minute and was started again", names(&up)));
        }
        if state.is_draining {
            dependencies.insert("process", "draining".to_owned());
        }
        ReadinessReport {
            ready: !state.is_draining && down.is_empty() && state.dependencies.values().all(Result::is_ok),
            dependencies,
            warnings,
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
    fn a_process_is_ready_when_all_it_depends_on_is_and_it_does_not_drain() {
        let readiness = Readiness::default();
        assert!(readiness.report().ready);
        readiness.set("store", Err("no answer".to_owned()));
        let report = readiness.report();
        assert!(!report.ready);
        assert_eq!(report.dependencies["store"], "no answer");
        readiness.set("store", Ok(()));
        assert!(readiness.report().ready);
        readiness.warn("disk", vec!["the disk is nearly full".to_owned()]);
        assert!(readiness.report().ready);
        assert_eq!(readiness.report().warnings, ["the disk is nearly full"]);
        readiness.warn("disk", vec![]);
        assert!(readiness.report().warnings.is_empty());
        readiness.drain();
        assert!(!readiness.report().ready);
    }
}
