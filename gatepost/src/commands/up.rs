//! `gatepost up`: everything in one process.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;
use gatepost_control_plane::{ControlPlane, ControlPlaneServer, NewAccessKey};
use gatepost_deliverer::Deliverer;
use gatepost_domain::key;
use gatepost_domain::record::Role;
use gatepost_store::{StoreUrl, os_rng};

use crate::cli::Options;
use crate::parts::{Process, stop_control_plane};
use crate::probes::Outage;
use crate::signals::Signals;
use crate::store::Missing;
use crate::{control_socket, output, private_file};

/// Where the first access key of an embedded store is written.
const FIRST_ACCESS_KEY_FILE: &str = "first-access-key";
/// Where it is kept until it counts.
const KEPT_FILE: &str = "first-access-key.new";

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut signals = Signals::install()?;
    let started = Process::start(&mut signals, super::load(options)?, Missing::Created, Outage::Stops).await?;
    let Some(process) = started else { return Ok(()) };
    let use_cases = process.use_cases()?;
    let gateway = process.gateway().await?;
    let (server, deliverer) = match start_beside_gateway(&process, use_cases).await {
        Ok(started) => started,
        Err(error) => {
            let signing_off = async {
                gateway.stop().await;
                process.stop().await;
            };
            signals.drain(signing_off).await;
            return Err(error);
        }
    };
    let ended = process.run(&mut signals).await;
    let draining = async {
        tokio::join!(gateway.stop(), stop_control_plane(server), deliverer.stop());
        process.stop().await;
    };
    signals.drain(draining).await;
    ended.outcome()
}

async fn start_beside_gateway(
    process: &Process,
    use_cases: ControlPlane,
) -> anyhow::Result<(ControlPlaneServer, Deliverer)> {
    first_access_key(process, &use_cases).await?;
    if let StoreUrl::Embedded(directory) = &process.config.store.url {
        control_socket::listen(directory, use_cases.clone(), process.store.clone());
    }
    let server = process.control_plane(use_cases).await?;
    Ok((server, process.deliverer()?))
}

/// Makes the first access key of a store that has none.
async fn first_access_key(process: &Process, use_cases: &ControlPlane) -> anyhow::Result<()> {
    if let StoreUrl::Embedded(directory) = &process.config.store.url {
        tell_kept(directory, use_cases).await?;
    }
    if use_cases.has_access_keys().await? {
        return Ok(());
    }
    match &process.config.store.url {
        StoreUrl::Embedded(directory) => write_access_key(directory, use_cases).await,
        StoreUrl::Redis(_) | StoreUrl::Memory if std::io::stdout().is_terminal() => print_access_key(use_cases).await,
        StoreUrl::Redis(_) | StoreUrl::Memory => {
            tracing::warn!("there is no access key yet: make one with `gatepost access-key create`");
            Ok(())
        }
    }
}

/// Keeps the value before it counts, so that no kill in between leaves an access key that nobody knows.
async fn write_access_key(directory: &Path, use_cases: &ControlPlane) -> anyhow::Result<()> {
    let secret = key::generate_access_key(&mut os_rng());
    private_file::create(&directory.join(KEPT_FILE), &format!("{}\n", secret.expose()))?;
    use_cases.create_access_key_with(&secret, &first()).await?;
    tell_kept(directory, use_cases).await
}

/// Tells a value that was kept where everybody looks for it, if it counts; else it is removed.
async fn tell_kept(directory: &Path, use_cases: &ControlPlane) -> anyhow::Result<()> {
    let (kept, file) = (directory.join(KEPT_FILE), directory.join(FIRST_ACCESS_KEY_FILE));
    let Ok(text) = std::fs::read_to_string(&kept) else { return Ok(()) };
    if use_cases.is_access_key(text.trim()).await? {
        private_file::rename(&kept, &file)?;
        tracing::info!(file = %file.display(), "the first access key was made");
    } else {
        std::fs::remove_file(&kept).with_context(|| format!("cannot remove {}", kept.display()))?;
    }
    Ok(())
}

/// Prints the value before it counts, so that none is made that nobody has seen.
async fn print_access_key(use_cases: &ControlPlane) -> anyhow::Result<()> {
    let secret = key::generate_access_key(&mut os_rng());
    output::line(&format!("first access key, shown only now: {}", secret.expose()))?;
    use_cases.create_access_key_with(&secret, &first()).await?;
    Ok(())
}

fn first() -> NewAccessKey {
    NewAccessKey { account_name: None, project: None, role: Role::Admin, name: "first".to_owned() }
}
