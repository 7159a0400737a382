//! The committed baseline, and comparisons with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;

/// Relative difference above which a change must be accepted.
const TOLERANCE: f64 = 0.03;
/// Absolute difference below which a change is noise of background tasks.
const MIN_DIFFERENCE: f64 = 60.0;

/// Instructions by name of the step or program.
pub(super) type Counts = BTreeMap<String, u64>;

/// Accepted counts.
#[derive(Debug)]
pub(super) struct Baseline(Counts);

/// Count next to the baseline's.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) name: String,
    current: Option<u64>,
    baseline: Option<u64>,
}

impl Baseline {
    pub(super) fn read() -> anyhow::Result<Self> {
        match fs::read_to_string(path()) {
            Ok(text) => Ok(Self(serde_json::from_str(&text).context("cannot parse the baseline")?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self(Counts::new())),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps only some of the counts.
    pub(super) fn retain(self, is_retained: impl Fn(&str) -> bool) -> Self {
        Self(self.0.into_iter().filter(|(name, _)| is_retained(name)).collect())
    }

    pub(super) fn write(counts: Counts) -> anyhow::Result<()> {
        Ok(fs::write(path(), serde_json::to_string_pretty(&counts)? + "\n")?)
    }

    /// Compares all counts that are in the baseline or new.
    pub(super) fn compare(&self, counts: &Counts) -> Vec<Comparison> {
        let mut names: Vec<&String> = self.0.keys().chain(counts.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let comparison = |name: &String| Comparison {
            name: name.clone(),
            current: counts.get(name).copied(),
            baseline: self.0.get(name).copied(),
        };
        names.into_iter().map(comparison).collect()
    }
}

impl Comparison {
    /// Returns whether the count differs from the baseline, or is missing in one of both.
    pub(super) fn exceeds_tolerance(&self) -> bool {
        let (Some(current), Some(baseline)) = (self.current, self.baseline) else { return true };
        let difference = (current as f64 - baseline as f64).abs();
        difference > MIN_DIFFERENCE && difference > baseline as f64 * TOLERANCE
    }

    pub(super) fn cells(&self) -> Vec<String> {
        let text = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let change = match (self.current, self.baseline) {
            (Some(current), Some(baseline)) => format!("{:+.1} %", (current as f64 / baseline as f64 - 1.0) * 100.0),
            (None, _) | (_, None) => "-".to_owned(),
        };
        vec![self.name.clone(), text(self.current), text(self.baseline), change]
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.json")
}
