//! Instructions of the hot path, counted by callgrind: the same on every run, however busy the machine is. The whole
//! gateway beside a plain Pingora, and each step of a request alone. A committed baseline says what they were.

mod baseline;
mod callgrind;
mod steps;
mod whole_programs;

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::gatepost::executable_directory;
use crate::report::{Table, print_line};
use baseline::{Baseline, Counts};

/// Options of `cargo xtask bench instructions`.
#[derive(Debug, Args)]
pub(crate) struct InstructionOptions {
    /// Make what was counted the baseline
    #[arg(long)]
    accept: bool,
    /// Count each step alone, not whole programs, which take minutes to build
    #[arg(long, conflicts_with = "accept")]
    steps: bool,
    /// Where the programs to count are [default: where this one is]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Counts, and fails where a count has left the baseline.
pub(crate) async fn run(options: &InstructionOptions) -> anyhow::Result<()> {
    callgrind::check_installed()?;
    let directory = tempfile::tempdir()?;
    let programs = options.programs.clone().map_or_else(executable_directory, Ok)?;
    let mut counts = Counts::new();
    for step in steps::list_steps(&programs)? {
        let instructions = steps::count(&step, &programs, directory.path())?;
        counts.insert(step, instructions);
    }
    let mut baseline = Baseline::read()?;
    if options.steps {
        baseline = baseline.retain(|name| !whole_programs::NAMES.contains(&name));
    } else {
        counts.extend(whole_programs::count(&programs, directory.path()).await?);
    }
    let rows = baseline.compare(&counts);
    let mut table = Table::with_columns(&["what", "instructions", "baseline", "change"]);
    for row in &rows {
        table.add_row(row.cells());
    }
    print_line(&table.to_markdown());
    if let Some(ratio) = whole_programs::ratio(&counts) {
        print_line(&format!("the gateway is {ratio:.3} times a plain Pingora"));
    }
    if options.accept {
        return Baseline::write(counts);
    }
    let changed: Vec<String> = rows.iter().filter(|row| row.exceeds_tolerance()).map(|row| row.name.clone()).collect();
    if !changed.is_empty() {
        bail!(
            "{} left the baseline: if that is meant, run cargo xtask bench instructions --accept",
            changed.join(", ")
        );
    }
    Ok(())
}
