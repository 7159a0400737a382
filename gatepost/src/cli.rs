//! The command line.

mod access_keys;
mod ages;
mod resources;
mod stores;
mod suggestions;
mod tools;
mod webhooks;

use std::path::PathBuf;

use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use gatepost_admin::FileFormat;

use crate::admin_url::AdminUrl;
use crate::config::{ConfigSource, Overrides};
pub(crate) use access_keys::{AccessKeyCommand, AccessKeyOptions, CreateAccessKey, Output};
pub(crate) use resources::{
    ClientOptions, EventCommand, EventListOptions, EventOptions, ExportKind, ExportOptions, GatewayCommand,
    GatewayOptions, KeyCommand, KeyListOptions, KeyMemberOptions, KeyOptions, KeyUpdateOptions, ListOptions,
    NewKeyOptions, NewProjectOptions, ProjectCommand, ProjectOptions, RateLimitFlag, ResourceOutput, RevokeOptions,
    WebhookCommand, WebhookOptions,
};
pub(crate) use stores::{RestoreOptions, StoreCopyOptions};
use suggestions::remove_dissimilar;
pub(crate) use tools::{
    CompletionsOptions, HealthOptions, ManOptions, MasterKeyCommand, MasterKeyOptions, RotateMasterKey,
};
pub(crate) use webhooks::{ListenOptions, TriggerOptions};

/// API keys in front of any HTTP API, and webhooks about them
#[derive(Debug, Parser)]
#[command(name = "gatepost", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: Options,
}

const STORE_OPTIONS: &[&str] = &["config", "store"];
const CLIENT_OPTIONS: &[&str] = &["config", "admin_listen"];
/// The options of all commands that mean something to a command. Its help shows no others. Other commands use all.
const USED_OPTIONS: &[(&[&str], &[&str])] = &[
    (&["demo", "completions", "man"], &[]),
    (&["listen", "trigger", "project", "key", "webhook", "event", "export"], CLIENT_OPTIONS),
    (&["access-key", "import", "purge", "store", "master-key", "reload", "backup", "restore"], STORE_OPTIONS),
    (&["dashboard"], &["config", "store", "admin_listen"]),
    (&["health"], &["config", "ops_listen"]),
    (&["control-plane"], &["config", "store", "admin_listen", "ops_listen"]),
    (&["deliverer"], &["config", "store", "ops_listen"]),
    (&["gateway"], &["config", "store", "listen", "tls_cert", "tls_key", "ops_listen", "upstream"]),
];

impl Cli {
    /// Parses the arguments of the process. Ends it if they are wrong, or if they ask for help.
    pub(crate) fn parse_or_exit() -> Self {
        let parsed = command().try_get_matches().and_then(|matches| Self::from_arg_matches(&matches));
        parsed.unwrap_or_else(|error| remove_dissimilar(error).exit())
    }
}

/// Returns the command line. Commands accept all options of [`Options`], and show those that they use.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let all: Vec<Arg> = command.get_arguments().cloned().collect();
    let showing = |used: &[&str]| -> Vec<Arg> {
        all.iter().map(|option| option.clone().hide(!used.contains(&option.get_id().as_str()))).collect()
    };
    let shown = USED_OPTIONS.iter().flat_map(|(names, used)| names.iter().map(move |name| (name, used)));
    shown
        .fold(command, |command, (name, used)| command.mut_subcommand(name, |one| one.args(showing(used))))
        .mut_subcommand("gateway", |gateway| gateway.mut_subcommand("list", |list| list.args(showing(CLIENT_OPTIONS))))
        .mut_subcommand("check", |check| {
            check.args(all.iter().filter(|option| option.get_id() == "store").map(optional))
        })
}

/// Returns the option `--store` of `check`, which needs no URL.
fn optional(store: &Arg) -> Arg {
    store.clone().num_args(0..=1).default_missing_value("")
}

/// Options of all commands that read the configuration.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of all commands")]
pub(crate) struct Options {
    /// Configuration file [default: gatepost.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Store of keys and events: embedded:PATH or redis://HOST:PORT (see check --print-default)
    #[arg(long, global = true, value_name = "URL")]
    store: Option<String>,
    /// Address on which the gateway listens
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Certificate of the gateway's address, with its chain, as a PEM file. Needs --tls-key
    #[arg(long, global = true, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Key of the certificate, as a PEM file
    #[arg(long, global = true, value_name = "FILE")]
    tls_key: Option<String>,
    /// Address on which the admin API listens
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    admin_listen: Option<String>,
    /// Address on which /metrics, /livez and /readyz are served
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    ops_listen: Option<String>,
    /// Your API, which receives the requests with a valid key
    #[arg(long, global = true, value_name = "http://HOST:PORT")]
    upstream: Option<String>,
}

impl Options {
    /// Returns where the configuration is read from.
    pub(crate) fn config_source(&self) -> ConfigSource {
        ConfigSource::new(self.config.clone(), self.overrides())
    }

    /// Returns whether `--store` is given, with or without a URL.
    pub(crate) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Returns the same options with the configured store if `--store` is given without a URL.
    pub(crate) fn with_configured_store(&self) -> Self {
        Self { store: self.store.clone().filter(|url| !url.is_empty()), ..self.clone() }
    }

    /// Returns where the configuration is read from, with the store that a flag of a command names.
    pub(crate) fn config_source_with_store(&self, flag: &'static str, url: &str) -> ConfigSource {
        let Overrides(mut overrides) = Self { store: None, ..self.clone() }.overrides();
        overrides.push((flag, "store.url", url.to_owned()));
        ConfigSource::new(self.config.clone(), Overrides(overrides))
    }

    /// Returns whether a flag names a certificate.
    pub(crate) fn has_certificate(&self) -> bool {
        self.tls_cert.is_some() || self.tls_key.is_some()
    }

    /// Returns the flags that override the configuration.
    fn overrides(&self) -> Overrides {
        let flags = [
            ("--store", "store.url", &self.store),
            ("--listen", "gateway.listen", &self.listen),
            ("--tls-cert", "gateway.tls_cert", &self.tls_cert),
            ("--tls-key", "gateway.tls_key", &self.tls_key),
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
    /// Run a demo of everything on a temporary store, with a sample API and a sample webhook receiver
    Demo(DemoOptions),
    /// Run gateway, control plane and deliverer in one process
    Up(UpOptions),
    /// Run a gateway, or list those that run
    Gateway(GatewayOptions),
    /// Run the control plane, with a deliverer
    ControlPlane(ControlPlaneOptions),
    /// Run a deliverer
    Deliverer,
    /// Relay events to a URL on this machine as signed webhooks, until Ctrl-C. To send the last one again, type r and Enter
    ///
    /// Bodies and headers are those of a delivery to a webhook that may not see key values. Events are forwarded in order,
    /// one at a time; each has 15 s to be responded to. While the URL refuses connections, the command waits; nothing else
    /// is retried. When the command is run again, it continues after the last event that it forwarded. The signing secret stays the same; it is kept in ~/.config/gatepost (or
    /// $XDG_CONFIG_HOME/gatepost).
    Listen(ListenOptions),
    /// Send a signed sample event to a URL on this machine, or to a webhook
    ///
    /// The sample is marked with "test": true. By default it goes where `gatepost listen` forwarded events last. Exits with
    /// 1 if it is not accepted within 15 s.
    Trigger(TriggerOptions),
    /// Print a link that signs in to the dashboard, once and within 10 minutes
    ///
    /// With an embedded store, the process that holds it must be running. With a store on Redis, the link leads to
    /// dashboard.origin or control_plane.listen of the configuration that this command reads.
    Dashboard(DashboardOptions),
    /// Manage projects through the admin API
    Project(ProjectOptions),
    /// Manage API keys through the admin API
    Key(KeyOptions),
    /// Manage webhooks through the admin API
    Webhook(WebhookOptions),
    /// Show who changed what, through the admin API
    Event(EventOptions),
    /// Print all keys, webhooks or changes that the access key sees, one line of JSON each, without secrets
    Export(ExportOptions),
    /// Manage access keys, the credentials of the admin API, directly in the store: it needs no access key
    AccessKey(AccessKeyOptions),
    /// Import keys from a file. Rows have the members of a create request, and the value (key) or its SHA-256 (sha256)
    /// in hex or base64. Run it again to resume: no key is imported twice
    Import(ImportOptions),
    /// Permanently remove keys that were deactivated long ago
    Purge(PurgeOptions),
    /// Manage the store
    Store(StoreCommandOptions),
    /// Create the master key, which encrypts the secrets of a store, or replace that of a store
    MasterKey(MasterKeyOptions),
    /// Have a running gateway read its configuration again, as SIGHUP does
    ///
    /// Routes, upstreams, listeners, certificates and limits of the gateway are taken over together, or not at all. A change
    /// of the configuration file is noticed without this command, within three seconds.
    Reload(ReloadOptions),
    /// Copy an embedded store into a file, even while it is in use. The copy does not contain the master key
    Backup(BackupOptions),
    /// Put a backup in place of an embedded store. An existing store is not overwritten
    ///
    /// Changes since the backup are lost: keys created since are unknown, and keys revoked since are accepted again.
    Restore(RestoreOptions),
    /// Check what a start checks: configuration, master key, certificates, store, upstream host names
    ///
    /// With --store, with or without a URL, every operation is also tried once on a store on Redis, with keys of its own that
    /// are removed at the end. That needs neither a store nor a master key. The report has no passwords and no data.
    Check(CheckOptions),
    /// Ask a process on this machine whether it is ready. Exits with 1 if it is not, or does not respond within 2 s
    ///
    /// The process is that of ops.listen in the configuration that this command reads: in a container, its own.
    Health(HealthOptions),
    /// Print a script that completes the commands of gatepost in a shell
    Completions(CompletionsOptions),
    /// Write manual pages, one for each command, for `man`
    Man(ManOptions),
}

#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Exit at the end instead of waiting for Ctrl-C
    #[arg(long)]
    pub(crate) exit: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpOptions {
    /// Serve HTTPS with a certificate for localhost that is made for it, for use on this machine. It is kept next to the
    /// store
    #[arg(long)]
    pub(crate) tls_self_signed: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DashboardOptions {
    /// Access key to sign in with, by its ID [default: the oldest one of an admin]
    #[arg(long, value_name = "ID")]
    pub(crate) access_key: Option<String>,
    /// Address at which the browser reaches the admin API [default: dashboard.origin, or where the admin API listens]
    #[arg(long, value_name = "URL")]
    pub(crate) admin_url: Option<AdminUrl>,
}

#[derive(Debug, Args)]
pub(crate) struct ControlPlaneOptions {
    /// Do not deliver webhooks: `gatepost deliverer` processes do
    #[arg(long)]
    pub(crate) no_deliverer: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReloadOptions {
    /// Wait until the configuration is in use, and fail if it has errors
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackupOptions {
    /// File to create
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
    /// Upgrade the store to the format of `store.write_format`, and rewrite what earlier releases wrote. Run it after
    /// all processes have been upgraded: older ones stop working. Run it again to resume after an interruption
    Upgrade,
    /// Copy the whole store to another address while no process uses it: from an embedded store to Redis, back, or from
    /// one Redis to another. Run it again to resume after an interruption
    Copy(StoreCopyOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ImportOptions {
    /// Format of the file; json is an array, or one object per line
    #[arg(long, value_enum)]
    pub(crate) format: ImportFormat,
    /// Project of the keys that name none
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// Notify webhooks of each key, as if it were created now
    #[arg(long)]
    pub(crate) notify: bool,
    /// Write nothing; report what would be imported
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Import nothing if any row has an unknown column or member; otherwise these are ignored and listed
    #[arg(long)]
    pub(crate) strict: bool,
    /// File to import
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum, serde::Serialize, serde::Deserialize)]
pub(crate) enum ImportFormat {
    Csv,
    Json,
}

impl From<ImportFormat> for FileFormat {
    fn from(format: ImportFormat) -> Self {
        match format {
            ImportFormat::Csv => FileFormat::Csv,
            ImportFormat::Json => FileFormat::Json,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PurgeOptions {
    /// Minimum time since a key was deactivated, in days: 90d
    #[arg(long, value_name = "DAYS", value_parser = parse_days)]
    pub(crate) inactive_for: std::time::Duration,
    /// Remove nothing; report what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The text is not a number of days.
#[derive(Debug, thiserror::Error)]
#[error("must be a number of days, such as 90d")]
struct ParseDaysError;

fn parse_days(text: &str) -> Result<std::time::Duration, ParseDaysError> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let days = days.ok_or(ParseDaysError)?;
    Ok(std::time::Duration::from_secs(u64::from(days) * 24 * 3600))
}

#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// Print a configuration file with every key, its meaning and its default
    #[arg(long)]
    pub(crate) print_default: bool,
    /// Skip what needs a network: the store on Redis, upstream host names
    #[arg(long)]
    pub(crate) offline: bool,
}

#[cfg(test)]
mod tests;
