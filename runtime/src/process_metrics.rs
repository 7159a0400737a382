//! Metrics of the process as the system sees it.

use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;

/// Registers `process_*`: CPU time, memory, open files, threads and the time of the start. They are read from `/proc`
/// when they are collected.
///
/// # Errors
/// Fails if they are registered.
pub fn register_process_metrics(registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(ProcessCollector::for_self()))
}
