//! Panics: caught, counted by task, and logged once.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts, Registry};

use crate::fail_point;
use crate::task::Task;

/// Number of panics per task since the process started, in the order of [`Task::ALL`].
static PANICS: [AtomicU64; Task::ALL.len()] = [const { AtomicU64::new(0) }; Task::ALL.len()];

thread_local! {
    /// Number of [`CatchGuard`]s on this thread. A panic with at least one is reported by its catcher.
    static CATCH_DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Report of a panic that its catcher has not logged yet.
    static LAST_PANIC: RefCell<Option<PanicReport>> = const { RefCell::new(None) };
}

struct PanicReport {
    message: String,
    location: String,
    backtrace: Option<String>,
}

/// Error of a task that panicked. The panic is already counted and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// Runs a future and catches its panic.
///
/// # Errors
/// Fails if the future panics.
pub async fn catch<F: Future>(task: Task, future: F) -> Result<F::Output, Panicked> {
    let mut future = std::pin::pin!(future);
    let guarded = std::future::poll_fn(|context| {
        let _catching = CatchGuard::enter();
        fail_point::reached(task);
        future.as_mut().poll(context)
    });
    AssertUnwindSafe(guarded).catch_unwind().await.map_err(|payload| record_panic(task, payload.as_ref()))
}

/// Runs a closure and catches its panic.
///
/// # Errors
/// Fails if the closure panics.
pub fn catch_sync<T>(task: Task, run: impl FnOnce() -> T) -> Result<T, Panicked> {
    let guarded = AssertUnwindSafe(|| {
        let _catching = CatchGuard::enter();
        fail_point::reached(task);
        run()
    });
    std::panic::catch_unwind(guarded).map_err(|payload| record_panic(task, payload.as_ref()))
}

/// Installs a panic hook that logs panics through `tracing` instead of standard error, on which a thread could
/// block forever. To be called once, at the start of the process.
pub fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let report = PanicReport::from_hook(info);
        if CATCH_DEPTH.get() == 0 {
            report.log("unnamed");
        } else {
            LAST_PANIC.replace(Some(report));
        }
    }));
}

/// Registers `gatepost_panics_total{task}`.
///
/// # Errors
/// Fails if the metric is already registered.
pub fn register_panic_metric(registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(PanicCollector::new()?))
}

/// Returns the number of panics of a task since the process started.
pub(crate) fn count(task: Task) -> u64 {
    PANICS[task as usize].load(Ordering::Relaxed)
}

struct CatchGuard;

impl CatchGuard {
    fn enter() -> Self {
        CATCH_DEPTH.set(CATCH_DEPTH.get() + 1);
        Self
    }
}

impl Drop for CatchGuard {
    fn drop(&mut self) {
        CATCH_DEPTH.set(CATCH_DEPTH.get() - 1);
    }
}

fn record_panic(task: Task, payload: &(dyn Any + Send)) -> Panicked {
    PANICS[task as usize].fetch_add(1, Ordering::Relaxed);
    let report = LAST_PANIC.take().unwrap_or_else(|| PanicReport {
        message: message_of(payload),
        location: String::new(),
        backtrace: None,
    });
    report.log(task.as_str());
    Panicked
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or_default().to_owned()
}

impl PanicReport {
    fn from_hook(info: &PanicHookInfo<'_>) -> Self {
        let backtrace = Backtrace::capture();
        Self {
            message: message_of(info.payload()),
            location: info.location().map(ToString::to_string).unwrap_or_default(),
            backtrace: (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string()),
        }
    }

    fn log(self, task: &str) {
        let Self { message, location, backtrace } = self;
        tracing::error!(task, panic = message, location, backtrace, "a task panicked: please report this bug");
    }
}

/// Exports the counters as metrics. They exist before any registry does.
struct PanicCollector(IntCounterVec, Mutex<()>);

impl PanicCollector {
    fn new() -> prometheus::Result<Self> {
        let options = Opts::new("gatepost_panics_total", "Panics by task.");
        let counters = IntCounterVec::new(options, &["task"])?;
        Ok(Self(counters, Mutex::default()))
    }
}

impl Collector for PanicCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _one_at_a_time = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        for task in Task::ALL {
            let counter = self.0.with_label_values(&[task.as_str()]);
            counter.inc_by(count(*task).saturating_sub(counter.get()));
        }
        self.0.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_what_was_caught_and_is_counted() {
        let before = count(Task::Delivery);
        assert_eq!(catch(Task::Delivery, async { 1 }).await, Ok(1));
        let panics = async { panic!("{}", "on purpose") };
        assert_eq!(catch(Task::Delivery, panics).await, Err::<(), _>(Panicked));
        assert_eq!(catch_sync(Task::Delivery, || panic!("on purpose")), Err::<(), _>(Panicked));
        assert_eq!(count(Task::Delivery) - before, 2);
        let registry = Registry::new();
        register_panic_metric(&registry).unwrap();
        let families = registry.gather();
        assert_eq!(families[0].get_metric().len(), Task::ALL.len());
    }
}
