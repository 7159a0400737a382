//! Medians and confidence intervals.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

/// Number of bootstrap resamples.
const RESAMPLES: usize = 10_000;
/// Share of resamples outside the interval on each side.
const TAIL: f64 = 0.025;

/// Median with the range of the measurements.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct MedianRange {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl MedianRange {
    /// Computes median and range of at least one value.
    pub(crate) fn from_values(values: &[f64]) -> Self {
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self { median: median(values), min, max }
    }
}

/// Median of the ratios of values from the same round, with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Ratio {
    /// Computes the ratio of `values` to `base`, round by round.
    pub(crate) fn paired(values: &[f64], base: &[f64]) -> Self {
        let ratios: Vec<f64> = values.iter().zip(base).map(|(value, base)| value / base).collect();
        // A fixed seed, so that the same measurements result in the same table.
        let mut rng = StdRng::seed_from_u64(1);
        let mut medians: Vec<f64> = (0..RESAMPLES).map(|_| median(&resample(&ratios, &mut rng))).collect();
        medians.sort_by(f64::total_cmp);
        let at = |share: f64| medians[((RESAMPLES - 1) as f64 * share).round() as usize];
        Self { median: median(&ratios), low: at(TAIL), high: at(1.0 - TAIL) }
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} [{:.2} to {:.2}]", self.median, self.low, self.high)
    }
}

fn resample(values: &[f64], rng: &mut StdRng) -> Vec<f64> {
    (0..values.len()).map(|_| values[rng.random_range(0..values.len())]).collect()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_number_is_the_midpoint() {
        assert!((median(&[4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn constant_ratio_has_an_empty_interval() {
        let ratio = Ratio::paired(&[2.0, 4.0, 6.0], &[1.0, 2.0, 3.0]);
        assert_eq!((ratio.low, ratio.median, ratio.high), (2.0, 2.0, 2.0));
    }
}
