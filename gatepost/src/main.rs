//! Gatepost: API key verification at the edge, and webhooks about keys.

mod admin_client;
mod admin_url;
mod api_request;
mod cli;
mod commands;
mod config;
mod config_watch;
mod control_socket;
mod dashboard_url;
mod demo;
mod gateway_setup;
mod import;
mod log;
mod master_key;
mod next_command;
mod open_files_limit;
mod output;
mod person;
mod private_file;
mod probes;
mod process;
mod redacting_writer;
mod relay;
mod reload;
mod self_signed;
mod signals;
mod store;
mod systemd;
mod table;

use std::process::ExitCode;

use gatepost_runtime::error_chain;
use mimalloc::MiMalloc;

use crate::cli::{Cli, Command};
use crate::commands::UsageError;
use crate::systemd::InheritedSockets;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const EXIT_FAILURE: u8 = 1;
/// Usage error. Clap exits with the same code.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse_or_exit();
    let result = run(cli);
    log::flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error_line(&error_chain(error.as_ref()));
            ExitCode::from(if error.is::<UsageError>() { EXIT_USAGE } else { EXIT_FAILURE })
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    open_files_limit::raise_limit();
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a cryptography provider was installed before"))?;
    // Before the first thread: it removes variables from the environment.
    let sockets = InheritedSockets::take()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let options = cli.options;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(demo) => commands::demo::run(&demo).await,
            Command::Up(up) => commands::up::run(&options, &up, sockets).await,
            Command::Gateway(gateway) => match gateway.command {
                Some(command) => commands::resources::gateway(&options, command).await,
                None => commands::gateway::run(&options, sockets).await,
            },
            Command::ControlPlane(control_plane) => {
                commands::control_plane::run(&options, &control_plane, sockets).await
            }
            Command::Deliverer => commands::deliverer::run(&options, sockets).await,
            Command::Listen(listen) => commands::listen::run(&options, listen).await,
            Command::Trigger(trigger) => commands::trigger::run(&options, trigger).await,
            Command::Dashboard(dashboard) => commands::dashboard::run(&options, &dashboard).await,
            Command::Project(project) => commands::resources::project(&options, project).await,
            Command::Key(key) => commands::resources::key(&options, key).await,
            Command::Webhook(webhook) => commands::resources::webhook(&options, webhook).await,
            Command::Event(event) => commands::resources::event(&options, event).await,
            Command::Export(export) => commands::resources::export(&options, &export).await,
            Command::AccessKey(access_key) => commands::access_key::run(&options, access_key.command).await,
            Command::Import(import) => commands::import::run(&options, &import).await,
            Command::Purge(purge) => commands::purge::run(&options, &purge).await,
            Command::Store(store) => commands::store::run(&options, &store.command).await,
            Command::MasterKey(master_key) => commands::master_key::run(&options, &master_key.command).await,
            Command::Reload(reload) => commands::reload::run(&options, &reload).await,
            Command::Backup(backup) => commands::backup::run(&options, &backup).await,
            Command::Restore(restore) => commands::restore::run(&options, &restore).await,
            Command::Check(check) => commands::check::run(&options, &check).await,
            Command::Health(health) => commands::health::run(&options, &health).await,
            Command::Completions(completions) => commands::shell_files::print_completions(&completions),
            Command::Man(man) => commands::shell_files::write_man_pages(&man),
        }
    });
    // DNS lookups that are still running must not delay the exit.
    runtime.shutdown_background();
    result
}
