//! Opening of the configured store, with retries while it is not reachable.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use gatepost_domain::time::Clock;
use gatepost_ops::{DependencyState, Readiness};
use gatepost_runtime::error_chain;
use gatepost_store::{
    ClockSkew, MasterKey, RotationOutcome, RotationStep, Store, StoreErrorKind, StoreOptions, StoreUrl,
};
use tokio::time::Instant;

use crate::config::Config;
use crate::master_key;

const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// Interval between two log lines about failed attempts.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Behaviour if the store does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreInit {
    CreateIfMissing,
    MustExist,
}

pub(crate) fn store_options(config: &Config, clock: &Arc<dyn Clock>) -> StoreOptions {
    let store = &config.store;
    StoreOptions {
        url: store.url.clone(),
        redis_access: store.redis_access.clone(),
        namespace: store.namespace.clone(),
        unsafe_redis: store.unsafe_redis,
        replicas: store.replicas,
        write_format: store.write_format,
        max_fan_out_backlog: config.retention.max_entries,
        account_limits: config.account_bounds,
        usage_retention: config.usage_retention,
        clock: Arc::clone(clock),
        clock_skew: ClockSkew::default(),
    }
}

/// Opens a store for a command. If it does not exist, neither a directory nor a master key is created.
pub(crate) async fn open_existing(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Store> {
    require_existing(config)?;
    let opened = open(config, clock, &master_key::find_or_create(&config.store)?, StoreInit::MustExist).await;
    opened.map_err(|error| with_next_step(error, config))
}

/// Takes a step of a rotation of the master key of an existing store.
pub(crate) async fn rotate_master_key(
    config: &Config,
    clock: &Arc<dyn Clock>,
    step: RotationStep<'_>,
) -> anyhow::Result<RotationOutcome> {
    require_existing(config)?;
    let master = master_key::find_or_create(&config.store)?;
    let rotated = Store::rotate_master_key(&store_options(config, clock), &master, step).await;
    rotated.map_err(|error| with_next_step(error.into(), config))
}

/// Checks that the directory of an embedded store has one.
fn require_existing(config: &Config) -> anyhow::Result<()> {
    match &config.store.url {
        StoreUrl::Embedded(directory) if !directory.join(master_key::STORE_FILE_NAME).exists() => {
            bail!(missing(directory))
        }
        StoreUrl::Embedded(_) | StoreUrl::Redis(_) | StoreUrl::Memory => Ok(()),
    }
}

/// Says that there is no embedded store, and what to do.
pub(crate) fn missing(directory: &Path) -> String {
    let directory = std::path::absolute(directory).unwrap_or(directory.to_owned());
    format!(
        "there is no store in {}: run the command in the directory of `gatepost up`, name the store with --store, or \
         create one with `gatepost up`",
        directory.display()
    )
}

/// Adds what to do about a server that does not respond.
fn with_next_step(error: anyhow::Error, config: &Config) -> anyhow::Error {
    if is_transient(&error, config) {
        error.context("the store does not respond: start it, or correct its address (--store or store.url)")
    } else {
        error
    }
}

/// Opens a store for a command, and creates it and its master key if they do not exist.
pub(crate) async fn open_or_create(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Store> {
    let opened = open(config, clock, &master_key::find_or_create(&config.store)?, StoreInit::CreateIfMissing).await;
    opened.map_err(|error| with_next_step(error, config))
}

/// Opens an existing store with a master key that was found before.
pub(crate) async fn open_for_check(
    config: &Config,
    clock: &Arc<dyn Clock>,
    master: &MasterKey,
) -> anyhow::Result<Store> {
    let opened = open(config, clock, master, StoreInit::MustExist).await;
    opened.map_err(|error| with_next_step(error, config))
}

/// Opens a store once, and leaves its error as it is.
async fn open(config: &Config, clock: &Arc<dyn Clock>, master: &MasterKey, init: StoreInit) -> anyhow::Result<Store> {
    let options = store_options(config, clock);
    Ok(match init {
        StoreInit::CreateIfMissing => Store::open_or_create(&options, master).await?,
        StoreInit::MustExist => Store::open(&options, master).await?,
    })
}

/// Opens the configured store, and retries for up to `store.start_timeout_ms` while Redis is not reachable. The process
/// is live and not ready in the meantime.
///
/// # Errors
///
/// Permanent failures are returned at once: a wrong password, a wrong store, a server that is too old.
pub(crate) async fn open_with_retry(
    config: &Config,
    clock: &Arc<dyn Clock>,
    master: &MasterKey,
    init: StoreInit,
    readiness: &Readiness,
) -> anyhow::Result<Store> {
    let began = Instant::now();
    let mut log_at = began;
    loop {
        let error = match open(config, clock, master, init).await {
            Ok(store) => {
                readiness.set("store", DependencyState::Ready);
                return Ok(store);
            }
            Err(error) => error,
        };
        let waited = began.elapsed();
        if !is_transient(&error, config) || waited >= config.store.start_timeout {
            return Err(with_next_step(error, config));
        }
        readiness.set("store", DependencyState::not_ready("not reachable yet"));
        if Instant::now() >= log_at {
            let left_s = (config.store.start_timeout - waited).as_secs();
            tracing::warn!(
                error = %error_chain(error.as_ref()),
                left_s,
                "opening the store failed, retrying in 250 ms"
            );
            log_at = Instant::now() + LOG_INTERVAL;
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

fn is_transient(error: &anyhow::Error, config: &Config) -> bool {
    let is_outage = error
        .downcast_ref::<gatepost_store::StoreError>()
        .is_some_and(|error| error.kind() == StoreErrorKind::Unavailable);
    is_outage && matches!(config.store.url, StoreUrl::Redis(_))
}
