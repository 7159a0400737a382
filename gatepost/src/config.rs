//! Configuration from a file, overridden by the environment, overridden by flags. All errors are reported at once.
//!
//! A fuzz target compiles this file and its modules by themselves: they import no other module of the program.

mod environment;
mod files;
mod gateway;
mod header_edits;
mod https_redirect;
mod listen_addresses;
mod listeners;
mod log;
mod parsers;
mod reader;
mod redirect_faults;
mod redis_access;
mod routes;
mod settings;
mod store;
mod trace;
mod tree;
mod upstreams;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepost_control_plane::{MAX_SESSION_TTL, UnknownMembers};
use gatepost_deliverer::Retention;
use gatepost_domain::record::FailureLimits;
use gatepost_limits::OutagePolicy;
use gatepost_ops::OpsOptions;
use gatepost_runtime::plain_words;
use gatepost_store::options::DEFAULT_MAX_ENTRIES;
use gatepost_store::{AccountLimits, StoreUrl, UsageRetention};
use gatepost_webhook_client::PrivateNetworks;

use environment::Environment;
pub(crate) use environment::{ACCESS_KEY_VARIABLE, ADMIN_URL_VARIABLE, MASTER_KEY_VARIABLE};
pub(crate) use files::{ReadFile, read_file};
pub(crate) use gateway::GatewayConfig;
use listen_addresses::{ListenAddress, check_servers};
pub(crate) use log::{LogConfig, LogFormatSetting};
use parsers::{parse_address, parse_listener_name, parse_origin};
use reader::{ErrorCollector, Section};
pub(crate) use settings::Settings;
pub(crate) use store::{StoreConfig, parse_namespace};
use tree::{Node, Value, ValueSource};

/// File that is read by default, if it exists.
const DEFAULT_FILE: &str = "gatepost.toml";

const UNKNOWN_MEMBERS: [(&str, UnknownMembers); 2] =
    [("refuse", UnknownMembers::Refuse), ("ignore", UnknownMembers::Ignore)];
const OUTAGE_POLICIES: [(&str, OutagePolicy); 3] =
    [("open", OutagePolicy::Open), ("closed", OutagePolicy::Closed), ("local", OutagePolicy::Local)];

/// Parsed and validated configuration.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) store: StoreConfig,
    pub(crate) account_bounds: AccountLimits,
    pub(crate) gateway: GatewayConfig,
    pub(crate) control_plane: ControlPlaneConfig,
    /// Absent if there is no dashboard.
    pub(crate) dashboard: Option<DashboardConfig>,
    pub(crate) ops: OpsOptions,
    pub(crate) retention: Retention,
    pub(crate) usage_retention: UsageRetention,
    pub(crate) webhooks: WebhooksConfig,
    pub(crate) outage_policy: OutagePolicy,
    pub(crate) log: LogConfig,
    /// Problems that do not prevent a start.
    pub(crate) warnings: Vec<String>,
    pub(crate) settings: Settings,
}

/// Configuration of the admin API.
#[derive(Debug, Clone)]
pub(crate) struct ControlPlaneConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) hosts: Vec<String>,
    pub(crate) is_behind_proxy: bool,
    pub(crate) wrong_access_keys_a_minute: u32,
    pub(crate) unknown_members: UnknownMembers,
}

/// Configuration of the dashboard.
#[derive(Debug, Clone)]
pub(crate) struct DashboardConfig {
    /// Origin that browsers use, if it is not that of the `Host` header.
    pub(crate) origin: Option<String>,
    pub(crate) session_ttl: Duration,
}

/// Configuration of the webhooks.
#[derive(Debug, Clone)]
pub(crate) struct WebhooksConfig {
    pub(crate) private_networks: PrivateNetworks,
    pub(crate) failure_limits: FailureLimits,
}

/// Flags that override the configuration: flag, configuration key and value of each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides(pub(crate) Vec<(&'static str, &'static str, String)>);

/// All errors of a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) struct ConfigErrors {
    errors: Vec<String>,
    /// What could be read all the same, with defaults for the rest.
    rest: Option<Box<Config>>,
}

impl ConfigErrors {
    /// Returns what could be read all the same, so that other faults of it can be reported too; `None` if the file
    /// cannot be read or is not TOML.
    pub(crate) fn rest(&self) -> Option<&Config> {
        self.rest.as_deref()
    }
}

impl From<String> for ConfigErrors {
    fn from(error: String) -> Self {
        Self { errors: vec![error], rest: None }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.errors.join("\n"))
    }
}

/// Where a process gets its configuration from: a file, the environment and flags.
#[derive(Debug, Clone)]
pub(crate) struct ConfigSource {
    file: Option<PathBuf>,
    overrides: Overrides,
}

impl ConfigSource {
    /// Uses the default file, if it exists, unless one is named.
    pub(crate) fn new(file: Option<PathBuf>, overrides: Overrides) -> Self {
        let default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|default| default.exists());
        Self { file: file.or_else(default), overrides }
    }

    /// Returns the same source with further overrides.
    pub(crate) fn with(mut self, overrides: impl IntoIterator<Item = (&'static str, &'static str, String)>) -> Self {
        self.overrides.0.extend(overrides);
        self
    }

    /// Returns the configuration file, if there is one.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    #[expect(clippy::disallowed_methods, reason = "only the configuration reads the environment")]
    pub(crate) fn load(&self) -> Result<Config, ConfigErrors> {
        let (name, text) = match self.file() {
            Some(file) => read_configuration(file)?,
            None => (DEFAULT_FILE.to_owned(), String::new()),
        };
        parse(&name, &text, std::env::vars_os(), &self.overrides, &read_file)
    }
}

/// Builds a configuration from overrides only: neither a file nor the environment changes the demo.
pub(crate) fn from_overrides(overrides: &Overrides) -> Result<Config, ConfigErrors> {
    parse(DEFAULT_FILE, "", std::iter::empty(), overrides, &read_file)
}

fn read_configuration(path: &Path) -> Result<(String, String), ConfigErrors> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(format!("{name}: cannot be read: {}", plain_words(&error)).into()),
    }
}

/// Parses the text of a file, and applies the environment and the flags. Reads the files that it names with `files`.
pub(crate) fn parse(
    name: &str,
    text: &str,
    environment: impl Iterator<Item = (OsString, OsString)>,
    overrides: &Overrides,
    files: ReadFile<'_>,
) -> Result<Config, ConfigErrors> {
    let mut root = Node::parse(name, text).map_err(|error| ConfigErrors::from(error.to_string()))?;
    let environment = Environment::read(environment);
    for (variable, path, value) in environment.keys {
        root.set(&path, Node { value: Value::Raw(value), source: ValueSource::Environment(variable) });
    }
    for (flag, key, value) in &overrides.0 {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        root.set(&path, Node { value: Value::Raw(value.clone()), source: ValueSource::Flag(flag) });
    }
    let errors = ErrorCollector::default();
    let settings = Settings::of(&root);
    let config = read_config(Section::root(root, &errors), files);
    let (errors, warnings) = errors.into_lists();
    let errors = [environment.errors, errors].concat();
    let warnings = [unrecognised_variables(&environment.unrecognised_variables), warnings].concat();
    let config = Config { settings, warnings, ..config };
    if errors.is_empty() { Ok(config) } else { Err(ConfigErrors { errors, rest: Some(Box::new(config)) }) }
}

fn unrecognised_variables(names: &[String]) -> Vec<String> {
    let warning = format!(
        "{}: ignored: the variable of a configuration key joins table and key with two underscores, such as \
         GATEPOST_STORE__URL for url in [store]",
        names.join(", ")
    );
    if names.is_empty() { Vec::new() } else { vec![warning] }
}

fn read_config(mut root: Section<'_>, files: ReadFile<'_>) -> Config {
    let (admin, ops) = (root.section("control_plane"), root.section("ops"));
    let sources = [admin.source_of("listen"), ops.source_of("listen")];
    let config = Config {
        store: store::read(root.section("store"), files),
        account_bounds: read_account_bounds(root.section("accounts")),
        gateway: gateway::read(root.section("gateway")),
        control_plane: read_control_plane(admin),
        dashboard: read_dashboard(root.section("dashboard")),
        ops: read_ops(ops),
        retention: read_retention(root.section("events")),
        usage_retention: read_usage_retention(root.section("usage")),
        webhooks: read_webhooks(root.section("webhooks")),
        outage_policy: read_outage_policy(root.section("rate_limits")),
        log: log::read(root.section("log")),
        warnings: Vec::new(),
        settings: Settings::default(),
    };
    check_listen_addresses(&config, &sources, &root);
    root.reject_unknown_keys();
    config
}

/// Checks that no two servers of one process share an address. With a store on Redis, gateway and admin API may be
/// processes on different machines.
fn check_listen_addresses(config: &Config, [admin, ops]: &[ValueSource; 2], root: &Section<'_>) {
    let admin = ListenAddress { key: "control_plane.listen", address: config.control_plane.listen, source: admin };
    let ops = ListenAddress { key: "ops.listen", address: config.ops.listen, source: ops };
    let listeners = config.gateway.listeners.iter().map(|listener| ListenAddress {
        key: "gateway.listen",
        address: listener.options.address,
        source: &listener.source,
    });
    let listeners: Vec<ListenAddress<'_>> = listeners.collect();
    match config.store.url {
        StoreUrl::Redis(_) => check_servers(&listeners, &[ops], root),
        StoreUrl::Embedded(_) | StoreUrl::Memory => check_servers(&listeners, &[admin, ops], root),
    }
}

fn read_account_bounds(mut section: Section<'_>) -> AccountLimits {
    let default = AccountLimits::DEFAULT;
    let bounds = AccountLimits {
        api_keys: section.number("max_keys", default.api_keys, 0, 1_000_000_000),
        projects: section.number("max_projects", default.projects, 0, 1_000_000),
        access_keys: section.number("max_access_keys", default.access_keys, 1, 1_000_000),
        bytes: section.number("max_bytes", default.bytes, 0, 1 << 50),
    };
    section.reject_unknown_keys();
    bounds
}

fn read_control_plane(mut section: Section<'_>) -> ControlPlaneConfig {
    let listen = section.parsed("listen", SocketAddr::from(([127, 0, 0, 1], 8081)), parse_address);
    let is_behind_proxy = section.choice("behind_tls_proxy", false, true, false);
    if !is_behind_proxy && !listen.ip().is_loopback() {
        section.error_here(
            "listen is not on loopback: access keys would cross the network unencrypted; put a TLS proxy in front and \
             set behind_tls_proxy = true",
        );
    }
    let hosts = section.list("hosts", Vec::new(), parse_listener_name);
    let wrong_access_keys_a_minute = section.number("max_wrong_access_keys_a_minute", 20, 1, 60_000);
    let unknown_members = section.word("unknown_members", UnknownMembers::Refuse, &UNKNOWN_MEMBERS);
    section.reject_unknown_keys();
    ControlPlaneConfig {
        listen,
        hosts,
        is_behind_proxy,
        unknown_members,
        wrong_access_keys_a_minute: u32::try_from(wrong_access_keys_a_minute).unwrap_or(u32::MAX),
    }
}

fn read_dashboard(mut section: Section<'_>) -> Option<DashboardConfig> {
    let is_enabled = section.choice("enabled", true, true, false);
    let origin = section.parsed("origin", None, parse_origin);
    let hours = section.number("session_hours", 12, 1, MAX_SESSION_TTL.as_secs() / 3600);
    section.reject_unknown_keys();
    is_enabled.then(|| DashboardConfig { origin, session_ttl: Duration::from_secs(hours * 3600) })
}

fn read_ops(mut section: Section<'_>) -> OpsOptions {
    let options = OpsOptions {
        listen: section.parsed("listen", SocketAddr::from(([127, 0, 0, 1], 9464)), parse_address),
        hosts: section.list("hosts", Vec::new(), parse_listener_name),
    };
    section.reject_unknown_keys();
    options
}

fn read_usage_retention(mut section: Section<'_>) -> UsageRetention {
    let default = UsageRetention::DEFAULT;
    let retention = UsageRetention {
        hourly_days: section.number("hourly_days", default.hourly_days, 1, 90),
        daily_days: section.number("daily_days", default.daily_days, 1, 3650),
        monthly_months: section.number("monthly_months", default.monthly_months, 0, 120),
    };
    section.reject_unknown_keys();
    retention
}

fn read_retention(mut section: Section<'_>) -> Retention {
    let days = section.number("max_age_days", 30, 1, 3650);
    let max_entries = section.number("max_entries", DEFAULT_MAX_ENTRIES, 1000, 1_000_000_000);
    section.reject_unknown_keys();
    Retention { max_age: Duration::from_secs(days * 24 * 3600), max_entries }
}

fn read_webhooks(mut section: Section<'_>) -> WebhooksConfig {
    let (refused, allowed) = (PrivateNetworks::Refused, PrivateNetworks::Allowed);
    let mut seconds = |key, default_s| Duration::from_secs(section.number(key, default_s, 0, 365 * 24 * 3600));
    let (failing_after, disable_after) = (seconds("failing_after_s", 600), seconds("disable_after_s", 432_000));
    let config = WebhooksConfig {
        private_networks: section.choice("allow_private_networks", refused, allowed, refused),
        failure_limits: FailureLimits {
            failing_failures: section.number("failing_failures", 5, 1, 1_000_000),
            failing_after,
            disabled_failures: section.number("disable_failures", 20, 1, 1_000_000),
            disabled_after: Some(disable_after).filter(|time| !time.is_zero()),
        },
    };
    section.reject_unknown_keys();
    config
}

fn read_outage_policy(mut section: Section<'_>) -> OutagePolicy {
    let policy = section.word("when_store_is_down", OutagePolicy::Local, &OUTAGE_POLICIES);
    section.reject_unknown_keys();
    policy
}

#[cfg(test)]
mod tests;
