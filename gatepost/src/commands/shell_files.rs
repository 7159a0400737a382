//! `gatepost completions` and `gatepost man`: files for shells and for `man`, from the command line itself.

use anyhow::Context;

use crate::cli::{self, CompletionsOptions, ManOptions};
use crate::output;

const PROGRAM: &str = "gatepost";

/// Prints the script that completes commands in a shell.
pub(crate) fn print_completions(options: &CompletionsOptions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut cli::command(), PROGRAM, &mut script);
    output::print_line(String::from_utf8(script)?.trim_end())
}

/// Writes a page for each command into an existing directory.
pub(crate) fn write_man_pages(options: &ManOptions) -> anyhow::Result<()> {
    let directory = &options.directory;
    clap_mangen::generate_to(cli::command(), directory)
        .with_context(|| format!("the pages cannot be written to {}", directory.display()))
}
