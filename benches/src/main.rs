//! Benchmarks: the cost of Gatepost next to its peers, in all relevant situations. `cargo xtask bench` builds and runs
//! them.

mod deliveries;
mod findings;
mod gatepost;
mod gateway_fixture;
mod gateways;
mod generator;
mod instructions;
mod load;
mod machine;
mod peers;
mod plot;
mod process;
mod redis_meter;
mod report;
mod rounds;
mod scenarios;
mod statistics;
mod store_fixture;
mod tls;
mod tls_fixture;
mod upstream;
mod usage;

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
    /// Count the instructions of the hot path and compare them with a committed baseline
    Instructions(instructions::InstructionOptions),
    /// Measure the CPU time of all peers with the same requests
    Load(load::LoadOptions),
    /// Measure handshakes, requests and memory over TLS, many routes and reloads, next to the peers
    Tls(tls::TlsOptions),
    /// Measure the gateway in all relevant situations
    Scenarios(scenarios::ScenarioOptions),
    /// Measure what up to 100 gateways cost Redis, at rest and for each change
    Gateways(gateways::GatewaysOptions),
    /// Measure what counting the uses of keys costs Redis
    Usage(usage::UsageOptions),
    /// Measure the deliverer in all relevant situations
    Deliveries(deliveries::DeliveryOptions),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // The client of Redis requires a cryptography provider, even without TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Cli::parse().command {
        Command::Instructions(options) => instructions::run(&options).await,
        Command::Load(options) => load::run(&options).await,
        Command::Tls(options) => tls::run(&options).await,
        Command::Scenarios(options) => scenarios::run(&options).await,
        Command::Gateways(options) => gateways::run(&options).await,
        Command::Usage(options) => usage::run(&options).await,
        Command::Deliveries(options) => deliveries::run(&options).await,
    }
}
