//! What contributors run: `cargo xtask test`.

mod install;
mod npm;
mod run;
mod steps;
mod tidy;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the tests need, and run all checks
    Test(TestOptions),
}

/// Options of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct TestOptions {
    /// Also run what takes minutes: storms and soaks
    #[arg(long)]
    long: bool,
    /// Run only this step
    #[arg(long, value_name = "STEP")]
    only: Option<String>,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Test(options) => steps::run_all(&options),
    }
}
