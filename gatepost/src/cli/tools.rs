//! Options of commands for containers, shells and packages.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct HealthOptions {
    /// Address of the process' /readyz [default: ops.listen]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) address: Option<SocketAddr>,
    /// Ask only whether the process is alive (/livez)
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsOptions {
    /// Shell that reads the script
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManOptions {
    /// Existing directory for the pages, such as /usr/local/share/man/man1
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct MasterKeyOptions {
    #[command(subcommand)]
    pub(crate) command: MasterKeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MasterKeyCommand {
    /// Create a file with a new master key, which only this user can read
    Create(CreateMasterKey),
    /// Replace the master key of a store, in two steps between which processes start with either key
    ///
    /// Run it with --new-file, which leaves the store open to the configured master key too. Then configure the new one for
    /// all processes and restart them one by one, and run it with --finish. Running processes go on all the time. Keys and
    /// secrets stay as they are. An embedded store must not be in use.
    Rotate(RotateMasterKey),
}

#[derive(Debug, Args)]
pub(crate) struct CreateMasterKey {
    /// File to create
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RotateMasterKey {
    /// File with the new master key: begin
    #[arg(long, value_name = "FILE")]
    pub(crate) new_file: Option<PathBuf>,
    /// Accept only the new master key from now on, which must be the configured one
    #[arg(long)]
    pub(crate) finish: bool,
    /// Accept only the old master key again, which must be the configured one
    #[arg(long)]
    pub(crate) cancel: bool,
}
