//! Benchmarks: what the program costs beside its peers, in every situation that matters. `cargo xtask bench` builds
//! it and starts it.

mod deliveries;
mod gatepost;
mod gateway_fixture;
mod generator;
mod instructions;
mod load;
mod machine;
mod peers;
mod plot;
mod process;
mod report;
mod rounds;
mod scenarios;
mod statistics;
mod store_fixture;
mod upstream;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Instructions of the hot path, beside a committed baseline
    Instructions(instructions::InstructionOptions),
    /// Every peer with the same requests, by processor time
    Load(load::LoadOptions),
    /// The gateway in every situation that matters
    Scenarios(scenarios::ScenarioOptions),
    /// The deliverer in every situation that matters
    Deliveries(deliveries::DeliveryOptions),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Redis is asked without TLS, but its client wants a provider all the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    match Cli::parse().command {
        Command::Instructions(options) => instructions::run(&options).await,
        Command::Load(options) => load::run(&options).await,
        Command::Scenarios(options) => scenarios::run(&options).await,
        Command::Deliveries(options) => deliveries::run(&options).await,
    }
}
