//! `gatepost store copy`: copies a whole store to another address.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use gatepost_domain::time::Clock;
use gatepost_store::clock::SystemClock;
use gatepost_store::{CopyProgress, CopyReport, CopyStart, StoreOptions, StoreUrl, copy_store};
use indicatif::ProgressBar;
use tokio::time::Instant;

use crate::cli::{Options, StoreCopyOptions};
use crate::config::Config;
use crate::{master_key, output, store};

/// Time between two lines about the progress if standard error is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

pub(super) async fn run(options: &Options, copy: &StoreCopyOptions) -> anyhow::Result<()> {
    let from = load(options, "--from", &copy.from, copy.from_namespace.as_ref())?;
    let to = load(options, "--to", &copy.to, copy.to_namespace.as_ref())?;
    super::super::print_warnings(&from);
    let (bar, last_line) = (ProgressBar::new_spinner(), std::sync::Mutex::new(Instant::now()));
    let show = |progress| {
        let message = match progress {
            CopyProgress::Written(entries) => format!("{entries} entries written"),
            CopyProgress::Compared(entries) => format!("{entries} entries of both stores compared"),
        };
        let mut last_line = last_line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if bar.is_hidden() && LINE_INTERVAL <= last_line.elapsed() {
            *last_line = Instant::now();
            output::print_error_line(&message);
        }
        bar.set_message(message);
        bar.tick();
    };
    let report = copy_store(&store_options(&from), &store_options(&to), show).await;
    bar.finish_and_clear();
    let report = report.context("the store was not copied")?;
    print(&report, &from, &to).context("the store was copied")
}

/// Reads the configuration with the store that a flag names.
fn load(options: &Options, flag: &'static str, url: &str, namespace: Option<&String>) -> anyhow::Result<Config> {
    let mut config = options.config_source_with_store(flag, url).load()?;
    if let Some(namespace) = namespace {
        config.store.namespace.clone_from(namespace);
    }
    Ok(config)
}

fn store_options(config: &Config) -> StoreOptions {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    store::store_options(config, &clock)
}

fn print(report: &CopyReport, from: &Config, to: &Config) -> anyhow::Result<()> {
    let start = match report.start {
        CopyStart::New => "copied",
        CopyStart::Resumed => "copied, after an interruption,",
        CopyStart::Restarted => "copied, from the start because it had changed since an interrupted copy,",
    };
    let mut text = format!("{start} the store {} from {} to {}\n", report.store, address(from), address(to));
    for found in &report.counts {
        text += &format!("{:>12}  {}\n", found.count, found.kind);
    }
    text += &format!("both have these entries, with the checksum {}\n", report.checksum);
    text += &next_step(from, to);
    output::print_line(&text)
}

fn address(config: &Config) -> String {
    match &config.store.url {
        StoreUrl::Redis(url) => format!("{url} (namespace {})", config.store.namespace),
        StoreUrl::Embedded(_) | StoreUrl::Memory => config.store.url.to_string(),
    }
}

/// Says which master key the copy needs, and that the old store must not be used any more.
fn next_step(from: &Config, to: &Config) -> String {
    let old_file = match &from.store.url {
        StoreUrl::Embedded(from) => Some(master_key::path_beside_store(from)).filter(|file| file.exists()),
        StoreUrl::Redis(_) | StoreUrl::Memory => None,
    };
    let key = match (old_file, &to.store.url) {
        (Some(from), StoreUrl::Embedded(to)) => format!(
            "copy {} to {}, unless the key is elsewhere",
            from.display(),
            master_key::path_beside_store(to).display()
        ),
        (Some(from), _) => {
            format!("store.master_key_file = {:?}, unless the key is elsewhere", from.display().to_string())
        }
        (None, StoreUrl::Embedded(to)) => {
            format!("store.master_key_file, or the file {}", master_key::path_beside_store(to).display())
        }
        (None, _) => "the same setting as before".to_owned(),
    };
    format!(
        "the copy needs the same master key: {key}\nnever start a process on the old store again: it would go its own way"
    )
}
