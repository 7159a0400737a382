//! Registration of metrics.

use prometheus::Registry;
use prometheus::core::Collector;

/// Registers a new metric and returns it, so that none is defined and left out.
///
/// # Errors
/// Fails if the metric is not valid, or if one of its name is registered.
pub fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> prometheus::Result<M> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
