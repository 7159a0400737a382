//! Output: Markdown tables on the terminal, JSON files with all results, and the noise of the machine.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::gatepost::results_directory;
use crate::machine::{self, CpuSnapshot};

#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns an empty table with the given column names.
    pub(crate) fn with_columns(columns: &[&str]) -> Self {
        Self { rows: vec![columns.iter().map(|&column| column.to_owned()).collect()] }
    }

    pub(crate) fn add_row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Returns the table as Markdown.
    pub(crate) fn to_markdown(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let width =
            |column: usize| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or_default();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> =
                (0..columns).map(|column| format!("{:<1$}", cell(row, column), width(column))).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
            if number == 0 {
                let dashes: Vec<String> = (0..columns).map(|column| "-".repeat(width(column))).collect();
                let _ = writeln!(text, "| {} |", dashes.join(" | "));
            }
        }
        text
    }
}

/// Disturbance of a run by other processes and by the host.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Noise {
    machine: String,
    seconds: f64,
    busy_core_seconds: f64,
    stolen_core_seconds: f64,
}

/// Monitor of the noise during a run.
#[derive(Debug)]
pub(crate) struct NoiseMonitor {
    started_at: tokio::time::Instant,
    cpu_at_start: CpuSnapshot,
}

impl NoiseMonitor {
    pub(crate) fn start() -> Self {
        Self { started_at: tokio::time::Instant::now(), cpu_at_start: CpuSnapshot::now() }
    }

    /// Returns the noise since the start.
    pub(crate) fn noise(&self) -> Noise {
        let (busy, stolen) = CpuSnapshot::now().since(self.cpu_at_start);
        Noise {
            machine: machine::description(),
            seconds: self.started_at.elapsed().as_secs_f64(),
            busy_core_seconds: busy,
            stolen_core_seconds: stolen,
        }
    }
}

impl Noise {
    /// Returns the noise as one line.
    pub(crate) fn summary(&self) -> String {
        let capacity = self.seconds * machine::core_count() as f64;
        format!(
            "{}; {:.0} s; cores busy {:.0} %, stolen by the host {:.1} %.",
            self.machine,
            self.seconds,
            self.busy_core_seconds / capacity * 100.0,
            self.stolen_core_seconds / capacity * 100.0
        )
    }
}

/// Writes a result as JSON, and returns the path of the file.
pub(crate) fn write_json(name: &str, result: &impl Serialize) -> anyhow::Result<PathBuf> {
    write_file(&format!("{name}.json"), &serde_json::to_string_pretty(result)?)
}

/// Writes a file to the directory of results, and returns its path.
pub(crate) fn write_file(name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let directory = results_directory()?;
    fs::create_dir_all(&directory)?;
    let file = directory.join(name);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Returns a progress bar for a number of steps.
pub(crate) fn progress_bar(steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} (about {eta} left) {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Prints one or several lines to standard output.
#[expect(clippy::print_stdout, reason = "the results are the output of the program")]
pub(crate) fn print_line(text: &str) {
    println!("{text}");
}
