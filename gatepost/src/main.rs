//! Gatepost: API keys at the edge, and webhooks that tell of them.

mod cli;
mod commands;
mod config;
mod control_socket;
mod demo;
mod import;
mod log;
mod master_key;
mod open_files;
mod output;
mod parts;
mod private_file;
mod probes;
mod redacting;
mod signals;
mod store;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::cli::{Cli, Command};
use crate::commands::Wrong;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Something went wrong.
const FAILED: u8 = 1;
/// It was asked for in a wrong way. Clap uses the same.
const WRONG_USE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = run(cli);
    log::finish();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::message(&output::sentence(&error));
            ExitCode::from(if error.is::<Wrong>() { WRONG_USE } else { FAILED })
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    open_files::raise();
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a cryptography provider was installed before"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let options = cli.options;
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Demo(demo) => commands::demo::run(&demo).await,
            Command::Up => commands::up::run(&options).await,
            Command::Gateway => commands::gateway::run(&options).await,
            Command::ControlPlane(control_plane) => commands::control_plane::run(&options, &control_plane).await,
            Command::Deliverer => commands::deliverer::run(&options).await,
            Command::AccessKey(access_key) => commands::access_key::run(&options, access_key.command).await,
            Command::Import(import) => commands::import::run(&options, &import).await,
            Command::Purge(purge) => commands::purge::run(&options, &purge).await,
            Command::Store(store) => commands::store::run(&options, &store.command).await,
            Command::Backup(backup) => commands::backup::run(&options, &backup).await,
            Command::Check(check) => commands::check::run(&options, &check).await,
        }
    });
    // Names that are still being resolved must not hold up the end.
    runtime.shutdown_background();
    ended
}
