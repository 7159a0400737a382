//! What contributors run: `cargo xtask check`, `demo`, `test`, `fuzz`, `names`, `manifests`, `pictures`, `bench`,
//! `dist`, `third-party`, `release`, `earlier-release` and `golden`.

mod bare_machine;
mod bench;
mod build_time;
mod circles;
mod crate_map;
mod demo;
mod deny;
mod deploy;
mod depth;
mod dist;
mod earlier_release;
mod fast_check;
mod fuzz;
mod gatepost_server;
mod install;
mod links;
mod names;
mod openapi;
mod packages;
mod pictures;
mod python_environment;
mod redis_versions;
mod release;
mod run;
mod schemathesis;
mod sources;
mod steps;
mod third_party;
mod tidy;
mod time_limit;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the checks that need nothing but Rust: format, structure, lints and unit tests
    Check,
    /// Build the program and show it at work
    Demo(DemoOptions),
    /// Install what the tests need, and run all checks
    Test(TestOptions),
    /// Run the fuzz target of a parser until it fails or is stopped, or with one input
    Fuzz(FuzzOptions),
    /// Write the names that users rely on to docs/names.txt, after a change that is meant
    Names,
    /// Write the manifests for Kubernetes to deploy/kubernetes/manifests, after a change of the chart
    Manifests,
    /// Write pictures of the dashboard to docs/images, after its look has changed
    Pictures,
    /// Build the benchmarks as the program is shipped, and run those that are named
    Bench(BenchOptions),
    /// Build the program for packages, with a profile of what it does under load: two builds, and benchmarks between
    Dist,
    /// Write the licences of the dependencies to THIRD-PARTY.txt, after these have changed
    ThirdParty,
    /// Make everything of a release in target/release-kit, and try each part in fresh Debian roots
    Release(ReleaseOptions),
    /// Build the program of an earlier release from its commit, into target/releases
    EarlierRelease {
        /// As releases.toml names it
        name: String,
    },
    /// Make the golden stores of an earlier release with its program, into gatepost/tests/golden
    Golden {
        /// As releases.toml names it
        name: String,
    },
}

/// Arguments of `gatepost demo`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct DemoOptions {
    /// Such as `--exit`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// Options of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct TestOptions {
    /// Also run what takes long: storms, soaks, and the two commands of README in fresh Debian roots
    #[arg(long)]
    long: bool,
    /// Run only this step
    #[arg(long, value_name = "STEP")]
    only: Option<String>,
    /// Let steps take as long as they do, on a slow machine or beside other work
    #[arg(long)]
    no_time_limits: bool,
}

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, Args)]
pub(crate) struct FuzzOptions {
    /// Such as `path`
    target: String,
    /// Input to run once, such as one that failed
    file: Option<std::path::PathBuf>,
}

/// What is handed on to the benchmarks.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct BenchOptions {
    /// As in packages: built with a profile of the program under load (takes a profile first if there is none)
    #[arg(long)]
    guided: bool,
    /// A benchmark and its options; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "BENCHMARK")]
    arguments: Vec<String>,
}

/// Options of `cargo xtask release`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("signer").required(true))]
pub(crate) struct ReleaseOptions {
    /// Sign with a key made for this run; neither a tag nor the changelog's section is needed
    #[arg(long, group = "signer")]
    dry_run: bool,
    /// Secret key of minisign that signs the release
    #[arg(long, value_name = "FILE", group = "signer")]
    key: Option<std::path::PathBuf>,
    /// In a dry run: build with another profile of cargo, such as `dev` for a quick try
    #[arg(long, value_name = "PROFILE", requires = "dry_run")]
    profile: Option<String>,
    /// In a dry run: build the packages with a profile of the program under load, as a release is
    #[arg(long, requires = "dry_run", conflicts_with = "profile")]
    guided: bool,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Check => fast_check::run_all(),
        Command::Demo(options) => demo::run_demo(&options),
        Command::Test(options) => steps::run_all(&options),
        Command::Fuzz(options) => fuzz::run_one(&options),
        Command::Names => names::write(),
        Command::Manifests => deploy::write_manifests(),
        Command::Pictures => pictures::make(),
        Command::Bench(options) => bench::run_bench(&options),
        Command::Dist => dist::build(),
        Command::ThirdParty => third_party::write(),
        Command::Release(options) => release::make(&options),
        Command::EarlierRelease { name } => earlier_release::build_one(&name),
        Command::Golden { name } => earlier_release::make_golden(&name),
    }
}
