//! The committed baseline, and how far counts are from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;

/// How far a count may go up or down before somebody must say that it is meant.
const TOLERANCE: f64 = 0.03;
/// Differences below are of tasks in the background, whatever their share.
const MIN_DIFFERENCE: f64 = 60.0;

/// Instructions by what they were counted for.
pub(super) type Counts = BTreeMap<String, u64>;

/// What was counted when it was last accepted.
#[derive(Debug)]
pub(super) struct Baseline(Counts);

/// A count beside the baseline's.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) name: String,
    current: Option<u64>,
    baseline: Option<u64>,
}

impl Baseline {
    pub(super) fn read() -> anyhow::Result<Self> {
        match fs::read_to_string(path()) {
            Ok(text) => Ok(Self(serde_json::from_str(&text).context("the baseline cannot be read")?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self(Counts::new())),
            Err(error) => Err(error.into()),
        }
    }

    /// Only of some of what is counted.
    pub(super) fn retain(self, is_retained: impl Fn(&str) -> bool) -> Self {
        Self(self.0.into_iter().filter(|(name, _)| is_retained(name)).collect())
    }

    pub(super) fn write(counts: Counts) -> anyhow::Result<()> {
        Ok(fs::write(path(), serde_json::to_string_pretty(&counts)? + "\n")?)
    }

    /// All that was counted now or then.
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
    /// Whether it is not where it was, or was not counted before or now.
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
