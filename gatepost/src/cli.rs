//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Overrides;

/// API keys in front of any HTTP API, and webhooks that tell of them.
#[derive(Debug, Parser)]
#[command(name = "gatepost", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Options of all commands that read the configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Configuration file [default: gatepost.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where keys and events are kept: embedded:PATH or redis://HOST:PORT (see check --print-default)
    #[arg(long, global = true, value_name = "URL")]
    store: Option<String>,
    /// Where the gateway listens
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where the admin API listens
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    admin_listen: Option<String>,
    /// Where /metrics, /livez and /readyz listen
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    ops_listen: Option<String>,
    /// Your API, where requests with a valid key go
    #[arg(long, global = true, value_name = "http://HOST:PORT")]
    upstream: Option<String>,
}

impl Options {
    /// What the flags say in place of the configuration.
    pub(crate) fn overrides(&self) -> Overrides {
        let flags = [
            ("--store", "store.url", &self.store),
            ("--listen", "gateway.listen", &self.listen),
            ("--admin-listen", "control_plane.listen", &self.admin_listen),
            ("--ops-listen", "ops.listen", &self.ops_listen),
            ("--upstream", "gateway.upstream.app.servers", &self.upstream),
        ];
        let overrides = flags.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value.clone()?)));
        Overrides(overrides.collect())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show everything at once, on a temporary store, with a sample API and a sample webhook receiver
    Demo(DemoOptions),
    /// Run gateway, control plane and deliverer in one process
    Up,
    /// Run a gateway
    Gateway,
    /// Run the control plane, with a deliverer
    ControlPlane(ControlPlaneOptions),
    /// Run a deliverer
    Deliverer,
    /// Manage access keys, the credentials of the admin API
    AccessKey(AccessKeyOptions),
    /// Bring in keys from a file: the members of a create body, with the value (key) or its SHA-256 (sha256) in hex or
    /// base64. Repeated, it goes on where it was; nothing is brought in twice
    Import(ImportOptions),
    /// Remove keys for good that were shut off long ago
    Purge(PurgeOptions),
    /// Manage the store itself
    Store(StoreCommandOptions),
    /// Copy an embedded store into a file, also while it is used. The master key is not in the copy
    Backup(BackupOptions),
    /// Check what a start needs: configuration, master key, certificates, store, names of upstreams
    Check(CheckOptions),
}

#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Leave at once instead of waiting for Ctrl-C
    #[arg(long)]
    pub(crate) exit: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ControlPlaneOptions {
    /// Leave delivering to processes of `gatepost deliverer`
    #[arg(long)]
    pub(crate) no_deliverer: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackupOptions {
    /// The new file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct StoreCommandOptions {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Raise the store to the format of `store.write_format`, and rewrite what earlier releases wrote. Do it when every
    /// process is of this release: older ones stop working. It can be run again, and goes on where it was cut off
    Upgrade,
}

#[derive(Debug, Args)]
pub(crate) struct ImportOptions {
    /// What the file is; json is an array or one object a line
    #[arg(long, value_enum)]
    pub(crate) format: ImportFormat,
    /// The project of keys that name none
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// Tell webhooks of each key, as if it were made now
    #[arg(long)]
    pub(crate) notify: bool,
    /// Write nothing; tell what would be
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Import nothing if a column or member of any row is unknown; otherwise those are left out, and listed
    #[arg(long)]
    pub(crate) strict: bool,
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum, serde::Serialize, serde::Deserialize)]
pub(crate) enum ImportFormat {
    Csv,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct PurgeOptions {
    /// For how long a key must have been shut off, in days: 90d
    #[arg(long, value_name = "DAYS", value_parser = parse_days)]
    pub(crate) inactive_for: std::time::Duration,
    /// Remove nothing; tell what would be
    #[arg(long)]
    pub(crate) dry_run: bool,
}

fn parse_days(text: &str) -> Result<std::time::Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let days = days.ok_or("must be a number of days, such as 90d")?;
    Ok(std::time::Duration::from_secs(u64::from(days) * 24 * 3600))
}

#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// Print a file with every key, its meaning and its default
    #[arg(long)]
    pub(crate) print_default: bool,
    /// Leave out what needs a network: the store on Redis, names of upstreams
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AccessKeyOptions {
    #[command(subcommand)]
    pub(crate) command: AccessKeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccessKeyCommand {
    /// Make an access key and print it, this one time. On an empty store this creates the store
    Create(CreateAccessKey),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CreateAccessKey {
    /// The account by its name or id, made if there is none of that name [default: the only account]
    #[arg(long, value_name = "NAME")]
    pub(crate) account_name: Option<String>,
    /// The only project that it sees [default: all of the account]
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// What it may do
    #[arg(long, value_enum, default_value_t = RoleName::Admin)]
    pub(crate) role: RoleName,
    /// Its own name
    #[arg(long, default_value = "command line")]
    pub(crate) name: String,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleName {
    Admin,
    User,
    Viewer,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}
