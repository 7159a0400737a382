//! What contributors run: `cargo xtask test`, `cargo xtask bench`.

mod bench;
mod install;
mod npm;
mod run;
mod schemathesis;
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
    /// Build the benchmarks as the program is shipped, and run those that are named
    Bench(BenchOptions),
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

/// What is handed on to the benchmarks.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
struct BenchOptions {
    /// A benchmark and its options; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "BENCHMARK")]
    arguments: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Test(options) => steps::run_all(&options),
        Command::Bench(options) => bench::run_bench(&options.arguments),
    }
}
