//! `gatepost up`: everything in one process.

use std::io::IsTerminal;
use std::path::Path;

use gatepost_control_plane::{ControlPlane, NewAccessKey};
use gatepost_domain::record::Role;
use gatepost_store::StoreUrl;

use crate::cli::Options;
use crate::parts::{Missing, Process, stop_control_plane};
use crate::{control_socket, private_file};

/// Where the first access key of an embedded store is written.
const FIRST_ACCESS_KEY_FILE: &str = "first-access-key";

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let process = Process::start(super::load(options)?, Missing::Created).await?;
    let use_cases = process.use_cases()?;
    let gateway = process.gateway().await?;
    first_access_key(&process, &use_cases).await?;
    if let StoreUrl::Embedded(directory) = &process.config.store.url {
        control_socket::listen(directory, use_cases.clone(), process.store.clone())?;
    }
    let server = process.control_plane(use_cases).await?;
    let deliverer = process.deliverer()?;
    process.run_until_signal().await?;
    gateway.stop().await;
    stop_control_plane(server).await;
    deliverer.stop().await;
    process.stop().await;
    Ok(())
}

/// Makes the first access key of a store that has none.
async fn first_access_key(process: &Process, use_cases: &ControlPlane) -> anyhow::Result<()> {
    if use_cases.has_accounts().await? {
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

async fn write_access_key(directory: &Path, use_cases: &ControlPlane) -> anyhow::Result<()> {
    let file = directory.join(FIRST_ACCESS_KEY_FILE);
    let secret = use_cases.create_access_key(first()).await?.secret;
    private_file::create(&file, &format!("{}\n", secret.expose()))?;
    tracing::info!(file = %file.display(), "the first access key was made");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the key is told once, to the one who sits there")]
async fn print_access_key(use_cases: &ControlPlane) -> anyhow::Result<()> {
    let secret = use_cases.create_access_key(first()).await?.secret;
    println!("first access key, shown only now: {}", secret.expose());
    Ok(())
}

fn first() -> NewAccessKey {
    NewAccessKey { account_name: None, project: None, role: Role::Admin, name: "first".to_owned() }
}
