//! Instructions of the hot path, counted by callgrind, which are the same in every run, however busy the machine is:
//! for the whole gateway next to plain Pingora, and for each step of a request. They are compared with a committed
//! baseline.

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

#[derive(Debug, Args)]
pub(crate) struct InstructionOptions {
    /// Write the counts as the new baseline
    #[arg(long)]
    accept: bool,
    /// Only count each step, not whole programs, which take minutes to build
    #[arg(long, conflicts_with = "accept")]
    steps: bool,
    /// Directory of the programs to count [default: the directory of this one]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Counts instructions, and fails if a count differs from the baseline.
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
        print_line(&format!("the gateway executes {ratio:.3} times the instructions of plain Pingora"));
    }
    if options.accept {
        return Baseline::write(counts);
    }
    let changed: Vec<String> = rows.iter().filter(|row| row.exceeds_tolerance()).map(|row| row.name.clone()).collect();
    if !changed.is_empty() {
        bail!(
            "{} differ from the baseline: if that is intended, run cargo xtask bench instructions --accept",
            changed.join(", ")
        );
    }
    Ok(())
}
