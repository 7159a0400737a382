//! Opening the store of a configuration, and waiting for one that is not there yet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use gatepost_domain::time::Clock;
use gatepost_ops::Readiness;
use gatepost_store::{ClockSkew, MasterKey, Store, StoreErrorKind, StoreOptions, StoreUrl};
use tokio::time::Instant;

use crate::config::Config;
use crate::{master_key, output};

/// Between two tries.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// Between two lines of the log that say so.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Whether a store that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreInit {
    CreateIfMissing,
    MustExist,
}

/// How a store is opened by a configuration.
fn store_options(config: &Config, clock: &Arc<dyn Clock>) -> StoreOptions {
    let store = &config.store;
    StoreOptions {
        url: store.url.clone(),
        namespace: store.namespace.clone(),
        unsafe_redis: store.unsafe_redis,
        replicas: store.replicas,
        write_format: store.write_format,
        max_fan_out_backlog: config.retention.max_entries,
        account_limits: config.account_bounds,
        clock: Arc::clone(clock),
        clock_skew: ClockSkew::default(),
    }
}

/// Opens a store that must be there, for a command. Where it is not, nothing is made: no directory and no master key.
pub(crate) async fn open_existing(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Store> {
    if let StoreUrl::Embedded(directory) = &config.store.url
        && !directory.join(master_key::STORE_FILE_NAME).exists()
    {
        bail!("there is no store in {}: gatepost up makes one", directory.display());
    }
    open(config, clock, &master_key::find_or_create(&config.store)?, StoreInit::MustExist).await
}

/// Opens the store of a configuration.
pub(crate) async fn open(
    config: &Config,
    clock: &Arc<dyn Clock>,
    master: &MasterKey,
    init: StoreInit,
) -> anyhow::Result<Store> {
    let options = store_options(config, clock);
    Ok(match init {
        StoreInit::CreateIfMissing => Store::open_or_create(&options, master).await?,
        StoreInit::MustExist => Store::open(&options, master).await?,
    })
}

/// Opens the store of a configuration, and waits for one on Redis that does not answer yet, at most for
/// `store.start_timeout_ms`. The process is alive meanwhile, and not ready.
///
/// # Errors
///
/// At once where waiting makes it no better: wrong password, wrong store, a server that is too old.
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
                readiness.set("store", Ok(()));
                return Ok(store);
            }
            Err(error) => error,
        };
        let waited = began.elapsed();
        if !is_transient(&error, config) || waited >= config.store.start_timeout {
            return Err(error);
        }
        readiness.set("store", Err("not there yet".to_owned()));
        if Instant::now() >= log_at {
            let left_s = (config.store.start_timeout - waited).as_secs();
            tracing::warn!(
                error = output::error_chain(&error),
                left_s,
                "the store does not answer yet, and is waited for"
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
