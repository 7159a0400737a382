//! `gatepost up`: everything in one process.

mod greeting;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use gatepost_admin::ControlPlaneServer;
use gatepost_control_plane::{ControlPlane, NewAccessKey};
use gatepost_deliverer::Deliverer;
use gatepost_domain::key;
use gatepost_domain::record::Role;
use gatepost_domain::time::Clock as _;
use gatepost_runtime::error_chain;
use gatepost_store::clock::SystemClock;
use gatepost_store::{StoreUrl, os_rng};

use crate::cli::{Options, UpOptions};
use crate::config::{Config, ConfigSource};
use crate::control_socket::{self, Executor, SocketLocation, StoreAccess};
use crate::next_command::FIRST_ACCESS_KEY_FILE;
use crate::person::Terminal;
use crate::probes::StoreOutage;
use crate::process::{Process, stop_control_plane};
use crate::reload::Reloader;
use crate::signals::Signals;
use crate::store::StoreInit;
use crate::systemd::{InheritedSockets, Part};
use crate::{output, private_file, self_signed};

use super::UsageError;

/// File of the key until it is committed to the store.
const PENDING_ACCESS_KEY_FILE: &str = "first-access-key.new";

pub(crate) async fn run(options: &Options, up: &UpOptions, sockets: InheritedSockets) -> anyhow::Result<()> {
    let mut signals = Signals::install()?;
    let (source, config) = load(options, up)?;
    let sockets = sockets.assign(&config, &[Part::Gateway, Part::ControlPlane])?;
    let started =
        Process::start(&mut signals, config, sockets, StoreInit::CreateIfMissing, StoreOutage::NotReady).await?;
    let Some(process) = started else { return Ok(()) };
    let use_cases = process.build_use_cases()?;
    let gateway = process.start_gateway().await?;
    let reloader = process.start_reloading(source, &gateway, &mut signals)?;
    let (server, deliverer) = match start_control_plane_and_deliverer(&process, &use_cases, reloader).await {
        Ok(started) => started,
        Err(error) => {
            let cleanup = async {
                gateway.stop().await;
                process.stop().await;
            };
            signals.drain(cleanup).await;
            return Err(error);
        }
    };
    process.mark_started();
    if let Some(terminal) = Terminal::find() {
        greeting::print(terminal, &process, &gateway, &server, &use_cases).await;
    }
    let ended = process.run(&mut signals).await;
    let draining = async {
        tokio::join!(gateway.stop(), stop_control_plane(server), deliverer.stop());
        process.stop().await;
    };
    signals.drain(draining).await;
    ended.into_result()
}

/// Reads the configuration. `--tls-self-signed` adds its certificate.
fn load(options: &Options, up: &UpOptions) -> anyhow::Result<(ConfigSource, Config)> {
    let source = options.config_source();
    let config = source.load()?;
    super::check_gateway(&config)?;
    if !up.tls_self_signed {
        return Ok((source, config));
    }
    if options.has_certificate() {
        return Err(UsageError("use either --tls-self-signed or --tls-cert and --tls-key".to_owned()).into());
    }
    let StoreUrl::Embedded(directory) = &config.store.url else {
        let what = "--tls-self-signed keeps its certificate in the directory of an embedded store; for a store elsewhere \
                    use --tls-cert and --tls-key";
        return Err(UsageError(what.to_owned()).into());
    };
    let certificate = self_signed::find_or_create(directory, SystemClock.now())?;
    let source = source.with(certificate.overrides());
    let mut config = source.load()?;
    config.warnings.push(certificate.warning());
    Ok((source, config))
}

async fn start_control_plane_and_deliverer(
    process: &Process,
    use_cases: &ControlPlane,
    reloader: Arc<Reloader>,
) -> anyhow::Result<(ControlPlaneServer, Deliverer)> {
    ensure_first_access_key(process, use_cases).await?;
    ensure_first_project(use_cases).await;
    let server = process.start_control_plane(use_cases.clone()).await?;
    let deliverer = process.start_deliverer()?;
    if let StoreUrl::Embedded(directory) = &process.config.store.url {
        let dashboard = process.dashboard_url(&server);
        let access = StoreAccess { control_plane: use_cases.clone(), store: process.store.clone(), dashboard };
        let executor = Executor { reloader, store: Some(access) };
        control_socket::listen(&SocketLocation::of_store(directory), executor);
    }
    Ok((server, deliverer))
}

/// Creates the first access key of a store that has none.
async fn ensure_first_access_key(process: &Process, use_cases: &ControlPlane) -> anyhow::Result<()> {
    if let StoreUrl::Embedded(directory) = &process.config.store.url {
        publish_pending_access_key(directory, use_cases).await?;
    }
    if use_cases.has_access_keys().await? {
        return Ok(());
    }
    match &process.config.store.url {
        StoreUrl::Embedded(directory) => create_and_write_access_key(directory, use_cases).await,
        StoreUrl::Redis(_) | StoreUrl::Memory if std::io::stdout().is_terminal() => {
            print_and_create_access_key(use_cases).await
        }
        StoreUrl::Redis(_) | StoreUrl::Memory => {
            tracing::warn!("the store has no access key: create one with `gatepost access-key create`");
            Ok(())
        }
    }
}

/// Writes the value to a file before the key is committed, so that a crash never leaves an access key that nobody
/// knows.
async fn create_and_write_access_key(directory: &Path, use_cases: &ControlPlane) -> anyhow::Result<()> {
    let secret = key::generate_access_key(&mut os_rng());
    private_file::create(&directory.join(PENDING_ACCESS_KEY_FILE), &format!("{}\n", secret.expose()))?;
    use_cases.create_access_key_from_secret(&secret, &first_access_key_options()).await?;
    publish_pending_access_key(directory, use_cases).await
}

/// Moves a pending value to its final file if its key was committed, else removes it.
async fn publish_pending_access_key(directory: &Path, use_cases: &ControlPlane) -> anyhow::Result<()> {
    let (pending, file) = (directory.join(PENDING_ACCESS_KEY_FILE), directory.join(FIRST_ACCESS_KEY_FILE));
    let Ok(text) = std::fs::read_to_string(&pending) else { return Ok(()) };
    if use_cases.is_access_key(text.trim()).await? {
        private_file::rename(&pending, &file)?;
        tracing::info!(file = %file.display(), "the first access key was created");
    } else {
        std::fs::remove_file(&pending).with_context(|| format!("cannot remove {}", pending.display()))?;
    }
    Ok(())
}

/// Prints the value before the key is committed, so that there is never an access key that nobody has seen.
async fn print_and_create_access_key(use_cases: &ControlPlane) -> anyhow::Result<()> {
    let secret = key::generate_access_key(&mut os_rng());
    output::print_line(&format!("first access key, shown only once: {}", secret.expose()))?;
    use_cases.create_access_key_from_secret(&secret, &first_access_key_options()).await?;
    Ok(())
}

/// Creates the project of a store that has never had one. Everything else works without it.
async fn ensure_first_project(use_cases: &ControlPlane) {
    match use_cases.create_first_project().await {
        Ok(Some(project)) => tracing::info!(%project, "the first project was created"),
        Ok(None) => {}
        Err(error) => tracing::warn!(
            error = %error_chain(&error),
            "creating the first project failed: create one with `gatepost project create`"
        ),
    }
}

fn first_access_key_options() -> NewAccessKey {
    NewAccessKey { account_name: None, project: None, role: Role::Admin, name: "first".to_owned() }
}
