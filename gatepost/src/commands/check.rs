//! `gatepost check`: checks what a start checks, and reports all errors at once. It changes nothing; with `--store` it
//! tries every operation of Redis, and removes what that wrote.

mod store_trial;

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use gatepost_domain::time::Clock;
use gatepost_runtime::error_chain;
use gatepost_store::clock::SystemClock;
use gatepost_store::{MasterKey, RedisUrl, StoreError, StoreErrorKind, StoreUrl};
use gatepost_webhook_client::Sender;
use gatepost_webhook_client::{PrivateNetworks, SsrfGuard};

use crate::cli::{CheckOptions, Options};
use crate::config::Config;
use crate::gateway_setup::{read_tls, resolution_faults, with_faults_of_files};
use crate::store;
use crate::{master_key, output, private_file};

/// Reference configuration: every key with its meaning and default.
const DEFAULT_CONFIG: &str = include_str!("../../gatepost.default.toml");

/// Result of a check.
#[derive(Default)]
struct Findings {
    errors: Vec<String>,
    notes: Vec<String>,
    /// A store that does not exist is a note.
    may_lack_store: bool,
}

pub(crate) async fn run(options: &Options, check: &CheckOptions) -> anyhow::Result<()> {
    if check.print_default {
        return output::print_line(DEFAULT_CONFIG.trim_end());
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let has_trial = options.has_store() && !check.offline;
    let config = options
        .with_configured_store()
        .config_source()
        .load()
        .map_err(|errors| with_faults_of_files(errors, clock.now()))?;
    super::print_warnings(&config);
    let mut findings = Findings::default();
    let trial = find_trial(&config, has_trial);
    if let Some(url) = trial {
        findings.errors.extend(store_trial::run(&config, url).await?);
    } else if has_trial {
        findings.notes.push("nothing was tried: --store tries the operations of a store on Redis only".to_owned());
    }
    let master = find_master_key(&config, trial, &mut findings);
    if let Err(faults) = read_tls(&config.gateway, clock.now()) {
        findings.errors.extend(faults.0);
    }
    findings.record(Sender::new(SsrfGuard::new(PrivateNetworks::Refused), clock));
    findings.may_lack_store = trial.is_some();
    check_store(&config, master.as_ref(), check.offline, &mut findings).await;
    if !check.offline {
        findings.errors.extend(resolution_faults(&config.gateway).await);
    } else if !config.gateway.upstreams.is_empty() {
        findings.notes.push("upstream host names were not resolved (--offline)".to_owned());
    }
    let routes = config.gateway.routes.len();
    findings.notes.extend(config.gateway.missing().map(|what| format!("`up` and `gateway` do not start: {what}")));
    for note in &findings.notes {
        output::print_line(note)?;
    }
    if !findings.errors.is_empty() {
        bail!(findings.errors.join("\n"));
    }
    output::print_line(&format!("no errors: store {}, routes: {routes}", config.store.url))
}

impl Findings {
    fn record<T, E: Into<anyhow::Error>>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.errors.push(error_chain(error.into().as_ref()))).ok()
    }
}

/// Returns the Redis whose operations are tried.
fn find_trial(config: &Config, has_trial: bool) -> Option<&RedisUrl> {
    match &config.store.url {
        StoreUrl::Redis(url) if has_trial => Some(url),
        StoreUrl::Redis(_) | StoreUrl::Embedded(_) | StoreUrl::Memory => None,
    }
}

/// Finds the master key. After a trial it is not an error if there is none.
fn find_master_key(config: &Config, trial: Option<&RedisUrl>, findings: &mut Findings) -> Option<MasterKey> {
    if trial.is_some() && !master_key::is_named(&config.store) {
        findings.notes.push("there is no master key, so the store was not opened".to_owned());
        return None;
    }
    findings.record(master_key::find_existing(&config.store)).flatten()
}

async fn check_store(config: &Config, master: Option<&MasterKey>, is_offline: bool, findings: &mut Findings) {
    match (&config.store.url, master) {
        (StoreUrl::Redis(url), _) if is_offline => {
            findings.notes.push(format!("the store at {url} was not checked (--offline)"));
        }
        (StoreUrl::Redis(_), Some(master)) => check_open(config, master, findings).await,
        (StoreUrl::Embedded(directory), _) if !directory.join(master_key::STORE_FILE_NAME).exists() => {
            match private_file::check_writable(directory) {
                Ok(()) => findings.notes.push(format!("a new store will be created in {}", directory.display())),
                Err(error) => findings.errors.push(error_chain(error.as_ref())),
            }
        }
        (StoreUrl::Embedded(directory), Some(master)) => check_embedded(config, directory, master, findings).await,
        // An error of the master key is reported already.
        (StoreUrl::Redis(_) | StoreUrl::Embedded(_) | StoreUrl::Memory, _) => {}
    }
}

async fn check_embedded(config: &Config, directory: &Path, master: &MasterKey, findings: &mut Findings) {
    if crate::control_socket::is_served_by_process(directory).await {
        findings.notes.push(format!("the store in {} is in use by a running process", directory.display()));
    } else {
        check_open(config, master, findings).await;
    }
}

async fn check_open(config: &Config, master: &MasterKey, findings: &mut Findings) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = store::open_for_check(config, &clock, master).await;
    if let Err(error) = &opened
        && findings.may_lack_store
        && error.downcast_ref::<StoreError>().is_some_and(|error| error.kind() == StoreErrorKind::WrongStore)
    {
        findings.notes.push(error_chain(error.as_ref()));
        return;
    }
    if let Some(store) = findings.record(opened)
        && let Some(warnings) = findings.record(store.single_cell().warnings().await)
    {
        findings.notes.extend(warnings);
    }
}
